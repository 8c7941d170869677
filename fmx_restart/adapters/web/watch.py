"""How long users get no answer: one request at a time, a few times a second, in a thread of its own."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

EVERY = 0.25  # seconds between two requests


class Watch:
	"""`ask`: whether the web server answers as users need it. It may take as long as its own time-out."""

	def __init__(self, ask: Callable[[], bool], *, clock: Callable[[], float] = time.monotonic) -> None:
		self._ask, self._clock = ask, clock
		self._guard, self._over = threading.Lock(), threading.Event()
		self._answered_at: float | None = None  # when the last good answer came
		self._is_out = False
		self._seconds = 0.0  # of the outages that are over

	def start(self) -> None:
		"""Returns when the first answer has come, or has not."""
		self.note(self._ask())
		threading.Thread(target=self._run, name="web-watch", daemon=True).start()

	def end(self) -> float | None:
		"""
		Seconds without an answer, each outage from the last good answer to the next one. None where it did not answer at
		first, or does not now: then nobody knows.
		"""
		self._over.set()
		with self._guard:
			return None if self._is_out or self._answered_at is None else self._seconds

	def _run(self) -> None:
		while not self._over.wait(EVERY):
			self.note(self._ask())

	def note(self, is_good: bool) -> None:
		"""An answer that somebody got just now."""
		now = self._clock()
		with self._guard:
			if self._over.is_set() or (self._answered_at is None and self._is_out):
				return
			if not is_good:
				self._is_out = True
				return
			if self._is_out:
				self._seconds += now - self._answered_at
			self._answered_at, self._is_out = now, False
