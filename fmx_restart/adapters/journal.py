"""
One file per operation under the bench's logs, one fact a line, written before the act it announces.

Whoever works on the operation holds an exclusive lock on its file (flock), and the kernel gives it back the instant that
process dies: so the lock tells for certain, whatever happened to the clock or to Redis, whether anybody is at work on it.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from fmx_restart.adapters.atomic_file import write_all
from fmx_restart.engine import events
from fmx_restart.engine.facts import json_line


class Journal:
	"""Flushed to disk line by line; readable by its owner only (it names sites and methods)."""

	def __init__(self, folder: Path, operation: str, *, waits: bool = True) -> None:
		"""
		Waits for the lock: one that only looks whether it is held has it for a moment. Raises OSError; BlockingIOError
		where somebody holds it and we do not wait. Nothing is written yet.
		"""
		folder.mkdir(mode=0o700, parents=True, exist_ok=True)
		self.path = folder / f"{operation}.jsonl"
		self._file = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
		self._is_whole = False  # its last line, as far as we know
		self._lock(fcntl.LOCK_EX if waits else fcntl.LOCK_EX | fcntl.LOCK_NB)

	def __call__(self, event: events.Event) -> None:
		if isinstance(event, events.MigrationOutput):
			return  # its own log has it all
		if not self._is_whole:
			self._drop_half_a_line()
		write_all(self._file, (json_line(event) + "\n").encode())
		os.fsync(self._file)

	def close(self) -> None:
		os.close(self._file)

	def _lock(self, kind: int) -> None:
		try:
			fcntl.flock(self._file, kind)
		except OSError:
			os.close(self._file)
			raise

	def _drop_half_a_line(self) -> None:
		"""
		A process that died while it wrote left one. What it was to announce was not begun, and every line that stays can
		be read: the others would not be trusted otherwise.
		"""
		size = os.fstat(self._file).st_size
		if size and os.pread(self._file, 1, size - 1) != b"\n":
			os.ftruncate(self._file, os.pread(self._file, size, 0).rfind(b"\n") + 1)
		self._is_whole = True


def is_worked_on(path: Path) -> bool:
	"""Whether a process holds the journal: the operation itself, or whoever puts it right."""
	with suppress(FileNotFoundError), locked(path, fcntl.LOCK_SH) as is_free:
		return not is_free
	return False


@contextmanager
def locked(path: Path, kind: int) -> Iterator[bool]:
	"""False, and no lock, where somebody holds it."""
	file = os.open(path, os.O_RDONLY)
	try:
		try:
			fcntl.flock(file, kind | fcntl.LOCK_NB)
		except BlockingIOError:
			yield False
		else:
			yield True
	finally:
		os.close(file)
