"""Parts of a bench that are read once and shared by all checks, and questions asked side by side."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from typing import Any, Generic, TypeVar, overload

from fmx_restart.engine.errors import OperationError

T = TypeVar("T")


class Cell:
	def __init__(self) -> None:
		self.lock = threading.Lock()
		self.reader: int | None = None  # the thread that reads it just now
		self.is_read = False
		self.value: Any = None
		self.error: Exception | None = None


class Parts:
	"""Values and errors alike are kept: whoever comes later gets the same object."""

	def __init__(self) -> None:
		self._guard = threading.Lock()
		self._cells: dict[str, Cell] = {}
		self._waits: dict[int, list[str]] = {}  # thread → parts that it is waiting for, the innermost last
		self._faults: dict[int, tuple[str, OperationError]] = {}

	def get(self, name: str, read: Callable[[], Any]) -> Any:
		"""What `read` returns, read once for all checks; others wait for it. An error is raised for each that asks."""
		with self._guard:
			cell = self._cells.setdefault(name, Cell())
		waits = self._waits.setdefault(threading.get_ident(), [])
		waits.append(name)
		try:
			self._fill(name, cell, read)
		finally:
			waits.pop()
		if cell.error is not None:
			raise cell.error
		return cell.value

	def _fill(self, name: str, cell: Cell, read: Callable[[], Any]) -> None:
		with cell.lock:
			if cell.is_read:
				return
			cell.reader = threading.get_ident()
			try:
				cell.value = read()
			except Exception as error:  # noqa: BLE001 - kept for everybody who asks
				cell.error = error
				if isinstance(error, OperationError):
					self._faults.setdefault(id(error), (name, error))  # the innermost part fails first
			finally:
				cell.is_read, cell.reader = True, None

	def kept(self, name: str) -> Any:
		"""The value of a part that was read, else None."""
		cell = self._cells.get(name)
		return cell.value if cell else None

	def fault_of(self, error: Exception) -> str | None:
		"""The part that could not be reached, where that is what this error tells."""
		name, kept = self._faults.get(id(error), (None, None))
		return name if kept is error else None

	def blamed(self, thread: int | None) -> str | None:
		"""The part that this thread waits for; where another one reads that, what that one waits for."""
		for _ in range(len(self._cells) + 1):
			waits = self._waits.get(thread or 0)
			if not waits:
				return None
			reader = self._cells[waits[-1]].reader
			if reader in (None, thread):
				return waits[-1]
			thread = reader
		return None


class part(Generic[T]):
	"""A property of an object that has `parts`. Thread-safe; what it raises is raised for everybody."""

	def __init__(self, read: Callable[[Any], T]) -> None:
		self.read, self.__doc__ = read, read.__doc__
		self.name = read.__name__

	@overload
	def __get__(self, owner: None, kind: type) -> part[T]: ...
	@overload
	def __get__(self, owner: Any, kind: type) -> T: ...
	def __get__(self, owner: Any, kind: type) -> Any:
		if owner is None:
			return self
		return owner.parts.get(self.name, lambda: self.read(owner))


Item = TypeVar("Item")
Answer = TypeVar("Answer")
THREADS = 32
LIMIT = 1.4  # seconds: less than a check has, so that what did answer is told


def ask_each(
	items: Sequence[Item],
	ask: Callable[[Item], Answer],
	failed: Callable[[Exception], Answer],
	*,
	threads: int = THREADS,
	limit: float = LIMIT,
) -> Iterator[tuple[Item, Answer]]:
	"""Answers as they come. Items that have not answered in time are missing. `failed`: the answer where `ask` raises."""
	deadline = time.monotonic() + limit
	waiting: queue.SimpleQueue[Item] = queue.SimpleQueue()
	answers: queue.SimpleQueue[tuple[Item, Answer]] = queue.SimpleQueue()
	for item in items:
		waiting.put(item)

	def answer(item: Item) -> Answer:
		try:
			return ask(item)
		except Exception as error:  # noqa: BLE001 - it ends in a finding of this item, not in a thread that nobody sees
			return failed(error)

	def work() -> None:
		with suppress(queue.Empty):
			while time.monotonic() < deadline:  # after that nobody would hear the answer
				item = waiting.get_nowait()
				answers.put((item, answer(item)))

	for _ in range(min(threads, len(items))):
		threading.Thread(target=work, daemon=True).start()
	with suppress(queue.Empty):
		for _ in items:
			yield answers.get(timeout=max(0.0, deadline - time.monotonic()))
