"""A stream of jobs for real workers, while something is done to them."""

from __future__ import annotations

import threading
from collections.abc import Callable
from itertools import count

PAUSE = 0.1  # seconds between two jobs
QUEUES = ("short", "long")


class Load(threading.Thread):
	"""Jobs in turn for both queues, until it is told to end. `enqueue`: called with an id and the name of a queue. `pause`: seconds between two."""

	def __init__(self, enqueue: Callable[[str, str], object], pause: float = PAUSE) -> None:
		super().__init__()
		self.pause = pause
		self.enqueue, self.ids, self.is_over = enqueue, [], threading.Event()

	def run(self) -> None:
		for number in count():
			id = f"load-{number}"
			self.enqueue(id, QUEUES[number % len(QUEUES)])
			self.ids.append(id)
			if self.is_over.wait(self.pause):
				return

	def __enter__(self) -> Load:
		self.start()
		return self

	def __exit__(self, *about: object) -> None:
		self.is_over.set()
		self.join()
