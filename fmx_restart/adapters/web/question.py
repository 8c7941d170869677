"""A question that may take long, asked in a thread: whoever waits for the answer looks now and then, and renews its leases."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")


class Question(Generic[T]):
	def __init__(self, ask: Callable[[], T]) -> None:
		self._ask, self._answers, self._error = ask, [], None
		self._thread = threading.Thread(target=self._run, name="web-question", daemon=True)
		self._thread.start()

	def is_answered(self, within: float) -> bool:
		"""`within`: seconds."""
		self._thread.join(within)
		return not self._thread.is_alive()

	def answer(self) -> T:
		"""Once it is answered. Raises what the question raised."""
		if self._error is not None:
			raise self._error
		return self._answers[0]

	def _run(self) -> None:
		try:
			self._answers.append(self._ask())
		except Exception as error:  # noqa: BLE001 - raised again where the answer is read
			self._error = error
