"""
The locks that Frappe itself takes (frappe/utils/synchronization.py), by the library it takes them with. Whether one
is held is asked of the lock; the file alone says nothing, it stays when the lock is gone.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from fmx_restart.engine.errors import WrongEnvironment

PATIENCE = 10.0  # seconds; less than a lease


@contextmanager
def file_lock(path: Path, timeout: float) -> Iterator[None]:
	"""Raises WrongEnvironment when somebody else keeps it, or when the file cannot be opened."""
	lock = FileLock(path, timeout=timeout)
	try:
		path.parent.mkdir(exist_ok=True)
		lock.acquire()
	except Timeout as error:
		raise WrongEnvironment(f"another process keeps {path} locked.") from error
	except OSError as error:
		raise WrongEnvironment(f"{path} cannot be locked: {error.strerror}.") from error
	try:
		yield
	finally:
		lock.release()


def is_held(path: Path) -> bool:
	"""By whom does not matter. A lock file that was never made is not held."""
	if not path.exists():
		return False
	try:
		with FileLock(path, timeout=0):
			return False
	except Timeout:
		return True
	except OSError as error:
		raise WrongEnvironment(f"{path} cannot be locked: {error.strerror}.") from error
