"""Waiting in tests: on a condition, with a deadline, never on luck."""

from __future__ import annotations

import time
from collections.abc import Callable

DEADLINE = 30.0  # seconds; generous, because a busy machine is no failure
#: Seconds between two looks: many wait for processes that need the machine themselves.
SHORTEST, LONGEST = 0.01, 0.05
#: Of what takes seconds, such as a boot of Frappe: this part of the time that was waited so far, at most so many seconds.
PART, MOST = 0.03, 0.15


def eventually(condition: Callable[[], object], what: str, *, deadline: float = DEADLINE) -> object:
	"""The first true answer. Raises AssertionError when time is up."""
	begun, pause = time.monotonic(), SHORTEST
	while not (answer := condition()):
		waited = time.monotonic() - begun
		if waited > deadline:
			raise AssertionError(f"not within {deadline:g} s: {what}")
		time.sleep(pause)
		pause = min(pause * 1.2, max(LONGEST, min(waited * PART, MOST)))
	return answer
