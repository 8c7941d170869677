"""Who holds the bench, as it stands in Redis beside the lock and the fence: enough to find and to judge them."""

from __future__ import annotations

import json
import time
from dataclasses import asdict, dataclass, fields

from fmx_restart.engine.plain_text import printable

MOST_SHOWN = 140  # characters of a name that someone else wrote
LATEST = 1e11  # seconds since the epoch: the year 5138; what lies beyond is no instant


@dataclass(frozen=True)
class Holder:
	"""Instants are seconds since the epoch."""

	operation: str
	requested_by: str
	host: str
	pid: int
	phase: str
	since: float  # when the operation began
	is_recovery: bool = False  # its process died, another one puts things right
	identity: str = ""  # of that process (HostProcess); empty in notes of older versions

	def note(self) -> str:
		return json.dumps(asdict(self))

	@classmethod
	def parse(cls, value: str | None) -> Holder | None:
		"""
		The value of a lease: an owner, a space, a note. None where it is no note of ours. Anyone on the same Redis may have
		written it: whatever does not have the right types is no note, text is cut to what can be shown, and what another
		version notes in addition is left out.
		"""
		names = {field.name for field in fields(cls)}
		_, brace, rest = (value or "").partition("{")
		try:
			note = json.loads(brace + rest)
			holder = cls(**{name: cleaned(one) for name, one in note.items() if name in names})
		except (ValueError, TypeError, AttributeError, RecursionError):
			return None
		return holder if holder._is_sound() else None

	def _is_sound(self) -> bool:
		kinds = {"str": str, "int": int, "float": (int, float), "bool": bool}
		are_right = all(
			isinstance(getattr(self, field.name), kinds[str(field.type)]) for field in fields(self)
		)
		return are_right and 0 <= self.since <= LATEST

	def __str__(self) -> str:
		since = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(self.since))
		what = "recovery, was in" if self.is_recovery else "in"
		return (
			f"{self.operation} by {self.requested_by or 'somebody'}, since {since}, {what} {self.phase}"
			f" (pid {self.pid} on {self.host})"
		)


def cleaned(value: object) -> object:
	return printable(value, MOST_SHOWN) if isinstance(value, str) else value


def describe(value: str) -> str:
	"""Any lease's value in words: ours in full, somebody else's as it stands, but for what cannot be shown."""
	return str(Holder.parse(value) or printable(value, MOST_SHOWN))
