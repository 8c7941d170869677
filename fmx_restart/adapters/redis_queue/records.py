"""
What other programs wrote into Redis, read field by field. A field that cannot be read is unknown, and ends nothing; which
records have one is counted and named, so that people hear of it.
"""

from __future__ import annotations

from datetime import datetime
from threading import Lock
from typing import Any

from redis import ResponseError

from fmx_restart.adapters.setting_rules import number
from fmx_restart.engine.plain_text import printable
from fmx_restart.engine.ports import UnreadableRecord, UnreadableRecords

NAMED = 20  # records whose names are kept
COUNTED = 10_000  # records that are told apart
ODD_TYPE = "its key is not of the type that RQ uses"
PIDS = range(1, 1 << 31)


def of_its_type(answer: Any) -> Any:
	"""None instead of the error that a key holds another type than was asked for. Raises every other error."""
	if not isinstance(answer, Exception):
		return answer
	if isinstance(answer, ResponseError) and "WRONGTYPE" in str(answer):
		return None
	raise answer


def text(value: bytes | None) -> str:
	"""Without loss: bytes that are no UTF-8 become lone surrogates, which `raw` turns back."""
	return "" if value is None else value.decode(errors="surrogateescape")


def raw(text: str) -> bytes:
	"""As it stands in Redis."""
	return text.encode(errors="surrogateescape")


def instant(value: str) -> float | None:
	"""RQ's time stamps (rq/utils.py utcformat) as seconds since the epoch. Python 3.10 reads no final Z."""
	try:
		return datetime.fromisoformat(value.rstrip("Z") + "+00:00").timestamp()
	except (ValueError, OverflowError):
		return None


def pid(value: str) -> int | None:
	"""A process id, as the kernel could give it."""
	return int(value) if value.isdecimal() and len(value) < 11 and int(value) in PIDS else None


class Unreadable:
	"""The records of one queue's readers that could not be read. For any thread."""

	def __init__(self) -> None:
		self._lock = Lock()
		self._seen: set[int] = set()
		self._named: list[UnreadableRecord] = []

	def note(self, kind: str, name: str, reason: str) -> None:
		"""Each record once, whatever else of it cannot be read. `reason` must not hold anything that it contains."""
		with self._lock:
			key = hash((kind, name))
			if key in self._seen or len(self._seen) >= COUNTED:
				return
			self._seen.add(key)
			if len(self._named) < NAMED:
				self._named.append(UnreadableRecord(kind, printable(name), reason))

	def summary(self) -> UnreadableRecords:
		"""How many records could not be read, and some of them by name. `is_more`: there may be others."""
		with self._lock:
			return UnreadableRecords(len(self._seen), tuple(self._named), is_more=len(self._seen) >= COUNTED)


class Record:
	"""One record that is being read: a field that is there and cannot be read is noted."""

	def __init__(self, unreadable: Unreadable, kind: str, name: str) -> None:
		self.unreadable, self.kind, self.name = unreadable, kind, name

	def note(self, reason: str) -> None:
		"""Count this record among those that cannot be read. The reason never holds the value."""
		self.unreadable.note(self.kind, self.name, reason)

	def instant(self, field: str, value: str | None) -> float | None:
		"""Seconds since the epoch."""
		time = instant(value) if value else None
		if value and time is None:
			self.note(f"its {field} is not an RQ time stamp")
		return time

	def number(self, field: str, value: str | None) -> float | None:
		"""A finite number; None for none, and for what is not one, which is noted."""
		parsed = number(value) if value else None
		if value and parsed is None:
			self.note(f"its {field} is not a number")
		return parsed
