"""What a job may use of this app: fmx_restart.should_stop and fmx_restart.restartable."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
	import mmap

Function = TypeVar("Function", bound=Callable)
TRIES = "fmx_restart_tries"
DEFAULT_TRIES = 3


#: Memory that a worker shares with the processes of its jobs: its first byte says whether the job shall end. None elsewhere
_page: mmap.mmap | None = None


def should_stop() -> bool:
	"""
	Whether someone wants the worker to leave, or a restart waits for this job. A job that asks often, and ends early then,
	keeps nobody waiting. Costs as much as a look into a list. Always False outside of a worker of this app.
	"""
	return _page is not None and _page[0] != 0


def tell_job(*, to_stop: bool) -> None:
	"""In the worker; also in a signal handler."""
	if _page is not None:
		_page[0] = to_stop


def share_page() -> None:
	"""Before the first job's process is forked."""
	global _page
	import mmap  # whoever only asks whether to stop needs none

	_page = _page or mmap.mmap(-1, 1)


def restartable(function: Function | None = None, *, tries: int = DEFAULT_TRIES) -> Function | Callable:
	"""
	Decorator: this job may be run again from its beginning if its process is killed, `tries` times at most. Without it, such
	a job fails. Raises ValueError for tries below 1.
	"""
	if isinstance(tries, bool) or not isinstance(tries, int) or tries < 1:
		raise ValueError("tries is a whole number from 1 on")

	def decorated(function: Function) -> Function:
		setattr(function, TRIES, tries)
		return function

	return decorated(function) if function is not None else decorated
