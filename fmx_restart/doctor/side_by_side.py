"""The same question to many, side by side: one that hangs holds up no other, and nobody for longer than the limit."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from typing import TypeVar

Item = TypeVar("Item")
Answer = TypeVar("Answer")
THREADS = 32
LIMIT = 1.4  # seconds: less than a check has, so that what did answer is told


def ask_each(
	items: Sequence[Item],
	ask: Callable[[Item], Answer],
	failed: Callable[[Exception], Answer],
	*,
	threads: int = THREADS,
	limit: float = LIMIT,
) -> Iterator[tuple[Item, Answer]]:
	"""Answers as they come. Items that have not answered in time are missing. `failed`: the answer where `ask` raises."""
	deadline = time.monotonic() + limit
	waiting: queue.SimpleQueue[Item] = queue.SimpleQueue()
	answers: queue.SimpleQueue[tuple[Item, Answer]] = queue.SimpleQueue()
	for item in items:
		waiting.put(item)

	def answer(item: Item) -> Answer:
		try:
			return ask(item)
		except Exception as error:  # noqa: BLE001 - it ends in a finding of this item, not in a thread that nobody sees
			return failed(error)

	def work() -> None:
		with suppress(queue.Empty):
			while time.monotonic() < deadline:  # after that nobody would hear the answer
				item = waiting.get_nowait()
				answers.put((item, answer(item)))

	for _ in range(min(threads, len(items))):
		threading.Thread(target=work, daemon=True).start()
	with suppress(queue.Empty):
		for _ in items:
			yield answers.get(timeout=max(0.0, deadline - time.monotonic()))
