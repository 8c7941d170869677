"""The clock of the machine we are on."""

from __future__ import annotations

import time


class SystemClock:
	"""All answers are in seconds."""

	def now(self) -> float:
		return time.monotonic()

	def time(self) -> float:
		return time.time()

	def sleep(self, seconds: float) -> None:
		time.sleep(seconds)
