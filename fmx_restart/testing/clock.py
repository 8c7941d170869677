"""A clock that only moves when someone sleeps, so that a test can script a history and replay it at once."""

from __future__ import annotations

import heapq
from collections.abc import Callable
from itertools import count

EPOCH = 1_700_000_000.0  # seconds since the epoch when a fake clock shows 0; any fixed moment will do


class FakeClock:
	"""Starts at 0 seconds. Sleeping runs everything that was scheduled for the time slept through, in order."""

	def __init__(self, epoch: float = EPOCH) -> None:
		self.epoch = epoch  # at the beginning
		self.slept: list[float] = []  # seconds of every sleep so far
		self._now = 0.0
		self._epochs = [(0.0, epoch)]  # since when each was in force
		self._order = count()
		self._scheduled: list[tuple[float, int, Callable[[], object]]] = []

	def now(self) -> float:
		"""Monotonic seconds, which only sleeping moves."""
		return self._now

	def time(self) -> float:
		"""Seconds since 1970 by the wall clock, which tests may set."""
		return self.time_at(self._now)

	def time_at(self, moment: float) -> float:
		"""What time() was when now() was that."""
		if len(self._epochs) == 1:
			return moment + self.epoch
		return moment + next(epoch for since, epoch in reversed(self._epochs) if since <= max(0.0, moment))

	def step(self, seconds: float) -> None:
		"""Someone sets the clock on the wall; nothing else changes."""
		self._epochs.append((self._now, self._epochs[-1][1] + seconds))

	def sleep(self, seconds: float) -> None:
		"""Raises ValueError for a negative time, as time.sleep does."""
		if seconds < 0:
			raise ValueError("sleep length must be non-negative")
		self.slept.append(seconds)
		end = self._now + seconds
		while self._scheduled and self._scheduled[0][0] <= end:
			moment, _, action = heapq.heappop(self._scheduled)
			self._now = max(self._now, moment)
			action()
		self._now = max(self._now, end)

	def at(self, seconds: float, action: Callable[[], object]) -> None:
		"""Do it when the clock shows this many seconds; in the next sleep if that is past already."""
		heapq.heappush(self._scheduled, (seconds, next(self._order), action))

	def after(self, seconds: float, action: Callable[[], object]) -> None:
		"""Do it this many seconds from now."""
		self.at(self._now + seconds, action)
