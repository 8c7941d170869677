"""How quickly somebody answers."""

from __future__ import annotations

import time
from collections.abc import Callable

ATTEMPTS = 5
QUICK = 0.01  # seconds; good enough


def shortest(ask: Callable[[], object]) -> float:
	"""Seconds of the quickest of a few attempts: the others may have waited for this process itself."""
	best = float("inf")
	for _ in range(ATTEMPTS):
		began = time.perf_counter()
		ask()
		best = min(best, time.perf_counter() - began)
		if best < QUICK:
			break
	return best
