"""All waiting happens here, with one deadline and a clock that tests can replace."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol


class Clock(Protocol):
	def now(self) -> float:
		"""Seconds on a clock that never jumps; only differences mean something."""

	def time(self) -> float:
		"""Seconds since the epoch, for stamps that people and other processes read."""

	def sleep(self, seconds: float) -> None: ...


LONGEST_PAUSE = 0.25  # seconds between two looks, however long a look takes


@dataclass(frozen=True)
class Patience:
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
