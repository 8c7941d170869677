"""
Being told to stop. A signal handler that raises, or that talks to Redis, may do so between the pop of a job and the note of
it. So these set a flag, and a pipe wakes whoever waits.
"""

from __future__ import annotations

import os
import select
import signal
import time
from collections.abc import Collection
from contextlib import suppress
from types import FrameType

from fmx_restart.worker.jobs import tell_job

SIGNALS = (signal.SIGINT, signal.SIGTERM)
TWICE = 1.0  # seconds: a pool and a terminal both send the first signal


class Stop:
	def __init__(self) -> None:
		self.asked_at: float | None = None  # by the monotonic clock
		self.is_cold = False  # asked twice: without waiting for the job
		self._woken, self._wakes = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)

	def listen(self) -> None:
		for number in SIGNALS:
			signal.signal(number, self._note)
		self.hear()
		let_in()  # a reload held them back

	def hear(self) -> None:
		"""Whatever runs in this process may have taken the wake-up for itself, as asyncio does."""
		signal.set_wakeup_fd(self._wakes, warn_on_full_buffer=False)

	def _note(self, _number: int, _frame: FrameType | None) -> None:
		tell_job(to_stop=True)
		if self.asked_at is None:
			self.asked_at = time.monotonic()
		elif time.monotonic() - self.asked_at > TWICE:
			self.is_cold = True

	def wait(self, seconds: float, files: Collection[int] = ()) -> list[int]:
		"""Those of the files that can be read. Returns at once when a signal comes."""
		poll = select.poll()
		for file in (self._woken, *files):
			poll.register(file, select.POLLIN)
		ready = [file for file, _ in poll.poll(max(0.0, seconds) * 1000)]
		with suppress(BlockingIOError):
			os.read(self._woken, 4096)
		return [file for file in ready if file != self._woken]


def hold_back() -> None:
	"""Signals that come from now on stay pending; also if this process runs another program."""
	signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)


def let_in() -> None:
	"""Those that are pending come at once."""
	signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)


def leave_to_the_worker() -> None:
	"""
	In the process that runs a job: the worker decides when it ends. By a handler, which the job's own children do not
	inherit as they would inherit SIG_IGN.
	"""
	signal.set_wakeup_fd(-1)
	signal.signal(signal.SIGINT, signal.SIG_IGN)
	signal.signal(signal.SIGTERM, lambda _number, _frame: None)
