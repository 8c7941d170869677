"""Calm progress: one line for each thing as it begins, with the seconds since we began."""

from __future__ import annotations

import sys
import time


class Progress:
	def __init__(self, stream=None, clock=time.monotonic) -> None:
		self.stream = stream
		self.clock = clock
		self.began = clock()

	@property
	def seconds(self) -> float:
		"""Since it began."""
		return self.clock() - self.began

	def say(self, text: str) -> None:
		write(f"{self.seconds:6.1f} s  {text}", self.stream)


def write(text: str, stream=None) -> None:
	"""One line to the terminal, at once. Nothing else here writes to it."""
	stream = stream or sys.stdout
	stream.write(text + "\n")
	stream.flush()
