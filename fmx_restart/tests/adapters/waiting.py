"""Waiting in tests: on a condition, with a deadline, never on luck."""

from __future__ import annotations

import time
from collections.abc import Callable

DEADLINE = 30.0  # seconds; generous, because a busy machine is no failure
SHORTEST, LONGEST = (
	0.01,
	0.05,
)  # seconds between two looks: many wait for processes that need the machine themselves


def eventually(condition: Callable[[], object], what: str, *, deadline: float = DEADLINE) -> object:
	"""The first true answer. Raises AssertionError when time is up."""
	end, pause = time.monotonic() + deadline, SHORTEST
	while not (answer := condition()):
		if time.monotonic() > end:
			raise AssertionError(f"not within {deadline:g} s: {what}")
		time.sleep(pause)
		pause = min(pause * 1.2, LONGEST)
	return answer
