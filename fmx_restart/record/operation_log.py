"""The sentences of an operation, as the log of its row: bounded, however long the operation takes."""

from __future__ import annotations

from collections import deque
from datetime import datetime, tzinfo

FIRST, LAST = 500, 1000  # lines that are kept


class OperationLog:
	"""`zone`: of the clock times. The journal has every line; those in the middle of a long one are only counted here."""

	def __init__(self, zone: tzinfo | None = None) -> None:
		self.zone = zone
		self._first: list[str] = []
		self._last: deque[str] = deque(maxlen=LAST)
		self._count = 0

	def add(self, time: float, text: str) -> None:
		line = f"{datetime.fromtimestamp(time, self.zone):%H:%M:%S}  {text}\n"
		self._count += 1
		(self._first if len(self._first) < FIRST else self._last).append(line)

	def text(self) -> str:
		left_out = self._count - len(self._first) - len(self._last)
		middle = [f"… {left_out} entries are left out here. The journal has them all.\n"] if left_out else []
		return "".join([*self._first, *middle, *self._last])
