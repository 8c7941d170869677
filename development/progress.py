"""Calm progress: one line for each thing as it begins, with the seconds since we began."""

from __future__ import annotations

import sys
import time


class Progress:
	def __init__(self, stream=None, clock=time.monotonic) -> None:
		self.stream = stream or sys.stdout
		self.clock = clock
		self.began = clock()

	def say(self, text: str) -> None:
		print(f"{self.clock() - self.began:6.1f} s  {text}", file=self.stream, flush=True)
