"""Who holds the bench, as it stands in Redis beside the lock and the fence: enough to find and to judge them."""

from __future__ import annotations

import json
import time
from dataclasses import asdict, dataclass, fields


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
		The value of a lease: an owner, a space, a note. None where it is no note of ours. What another version notes in
		addition is left out.
		"""
		names = {field.name for field in fields(cls)}
		try:
			note = json.loads((value or "").partition(" ")[2])
			return cls(**{name: told for name, told in note.items() if name in names})
		except (ValueError, TypeError, AttributeError):
			return None

	def __str__(self) -> str:
		since = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(self.since))
		what = "recovery, was in" if self.is_recovery else "in"
		return (
			f"{self.operation} by {self.requested_by or 'somebody'}, since {since}, {what} {self.phase}"
			f" (pid {self.pid} on {self.host})"
		)


def describe(value: str) -> str:
	"""Any lease's value in words: ours in full, somebody else's as it stands."""
	return str(Holder.parse(value) or value)
