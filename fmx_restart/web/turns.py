"""
New workers boot a few at a time while old ones serve. The first of them answers after its own boot and not after that of all,
and users keep a part of the processors.
"""

from __future__ import annotations

import fcntl
import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

PATIENCE = 30.0  # seconds that a worker waits at most: one that never gets ready keeps nobody back
LOOK = 0.1  # seconds
SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT)


class Turns:
	"""Locks that the kernel takes back when their holder dies: one for every two processors. The master makes them."""

	def __init__(self) -> None:
		self._made = [os.memfd_create("fmx-turn") for _ in range(places())]
		self._opened: list[int] = []  # in a worker

	def take(self, worker: object, is_of_use: Callable[[], bool]) -> None:
		"""In a worker, before it loads the application: wait for a turn, while that is of use. Ends it where its master is gone."""
		# a lock belongs to whoever has opened the file, and what the master has opened all workers share
		self._opened = [os.open(f"/proc/self/fd/{file}", os.O_RDWR | os.O_CLOEXEC) for file in self._made]
		until, master = time.monotonic() + PATIENCE, os.getppid()
		with ended_by_signals():
			while not any(map(is_locked_now, self._opened)) and is_of_use() and time.monotonic() < until:
				if os.getppid() != master:
					os._exit(0)
				worker.notify()
				time.sleep(LOOK)

	def leave(self) -> None:
		"""Once this worker is ready, or has said why it is not."""
		while self._opened:
			os.close(self._opened.pop())


def places() -> int:
	"""How many workers boot at once: the others' processors are for users, and for job workers that boot as well."""
	return max(1, len(os.sched_getaffinity(0)) // 2)


def is_locked_now(file: int) -> bool:
	"""By this process: False where another one has it."""
	with suppress(BlockingIOError):
		fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
		return True
	return False


@contextmanager
def ended_by_signals() -> Iterator[None]:
	"""A worker that has just been forked still has its master's handlers, which do nothing there."""
	before = {number: signal.signal(number, signal.SIG_DFL) for number in SIGNALS}
	try:
		yield
	finally:
		for number, handler in before.items():
			signal.signal(number, handler)
