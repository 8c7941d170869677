"""All waiting happens here, with one deadline and a clock that tests can replace. And how a step of the clock is noticed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from fmx_restart.engine.errors import QueueUnreachable
from fmx_restart.engine.frozen import frozen


class Clock(Protocol):
	"""All waiting and all time stamps use it, so that tests need not wait."""

	def now(self) -> float:
		"""Seconds on a clock that never jumps; only differences mean something."""

	def time(self) -> float:
		"""Seconds since the epoch, for stamps that people and other processes read."""

	def sleep(self, seconds: float) -> None:
		"""Wait at least so long."""


LONGEST_PAUSE = 0.25  # seconds between two looks, however long a look takes


@frozen
class Patience:
	"""How long, and how often, wait_until looks."""

	timeout: float  # seconds
	poll: float = 0.05  # seconds between two looks


def wait_until(condition: Callable[[], bool], patience: Patience, clock: Clock) -> bool:
	"""
	Look until the condition holds. False when time is up; what that means is the caller's business.
	There is always one look after the deadline, so a late success is not called a failure. A look that
	takes long is followed by a longer pause, so that looking does not load what it looks at.
	"""
	deadline = clock.now() + patience.timeout
	while True:
		began = clock.now()
		if condition():
			return True
		ended = clock.now()
		if began >= deadline:
			return False
		pause = max(patience.poll, min(4 * (ended - began), LONGEST_PAUSE))
		clock.sleep(max(0.0, min(pause, deadline - ended)))


class Outage:
	"""
	Acts that may find Redis away, within one wait. The time that Redis was away is added to the wait, and as much again for
	the workers: RQ asks again after ever longer pauses, each about as long as all before.
	"""

	LONGEST = 60.0  # seconds after which Redis is not waited for any more
	STEP = 1.0  # seconds that are granted at once while it is away

	def __init__(self, clock: Clock, tell: Callable[[QueueUnreachable], object]) -> None:
		self.clock, self.tell = clock, tell
		self.error: QueueUnreachable | None = None  # of the last look; None when Redis answered it
		self.is_reported = False
		self.lost = self.granted = 0.0  # seconds
		self.since = 0.0

	def outlast(self, act: Callable[[], bool]) -> bool:
		"""False when Redis is away."""
		try:
			return act()
		except QueueUnreachable as error:
			if not self.is_reported:
				self.tell(error)
			self.is_reported = True
			return False

	def look(self, condition: Callable[[], bool]) -> bool:
		"""outlast for the condition that is waited for: until when Redis was away is remembered."""
		began = self.clock.now()
		before, self.error = self.error, None

		def note() -> bool:
			try:
				return condition()
			except QueueUnreachable as error:
				self.error = error
				raise

		holds = self.outlast(note)
		if self.error and not before:
			self.since = began
		elif before and not self.error:
			self.lost += began - self.since
		return holds

	def owed(self) -> float:
		"""Seconds that whoever waits gets in addition when the time is over. 0 when there is no more."""
		if self.error:
			return self.STEP if self.clock.now() - self.since < self.LONGEST else 0.0
		owed, self.granted = 2 * self.lost - self.granted, 2 * self.lost
		return owed


MARGIN = 1.0  # seconds; clocks are also corrected little by little


class ClockSteps:
	"""`forward`: seconds by which it was set forward since the first note, in sum."""

	def __init__(self) -> None:
		self.forward = 0.0
		self._earliest: float | None = None
		self._latest = 0.0

	def note(self, time: float, before: float, after: float) -> float:
		"""
		`time`: what Redis' clock showed at some moment between `before` and `after` on ours, which nobody can set. Returns by
		how much it was set since the last note; negative for back, 0 for not at all.
		"""
		earliest, latest = time - after, time - before
		step = 0.0
		if self._earliest is not None:
			step = max(earliest - self._latest, 0.0) + min(latest - self._earliest, 0.0)
		self._earliest, self._latest = earliest, latest
		if abs(step) <= MARGIN:
			return 0.0
		self.forward += max(step, 0.0)
		return step
