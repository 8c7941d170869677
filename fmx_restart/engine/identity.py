"""Who an operation is: its id, the machine it runs on, and what it writes beside its lock and its fence."""

from __future__ import annotations

import json
import re
import secrets
from contextlib import suppress
from dataclasses import asdict
from datetime import datetime, timedelta, tzinfo

from fmx_restart.engine.frozen import frozen
from fmx_restart.engine.notes import MOST_SHOWN, read_note
from fmx_restart.engine.phases import doing, time_of
from fmx_restart.engine.plain_text import printable
from fmx_restart.engine.queue_hold import QueueHold

ID = re.compile(r"[0-9]{8}-[0-9]{6}-[0-9a-f]{4}")
STAMP = "%Y%m%d-%H%M%S"


def new_operation_id(newest: str = "") -> str:
	"""
	Ids sort in the order in which they were made. `newest`: the last one that is known; where the clock was set back, or one
	second has two of them, the new one still sorts after it.
	"""
	now = datetime.now()
	with suppress(ValueError, OverflowError):
		now = max(now, datetime.strptime(newest[:15], STAMP) + timedelta(seconds=1))
	return f"{now.strftime(STAMP)}-{secrets.token_hex(2)}"


def is_operation_id(text: object) -> bool:
	"""Whether it has the form of the ids that new_operation_id makes."""
	return isinstance(text, str) and ID.fullmatch(text) is not None


@frozen
class Machine:
	"""A machine or a container. All but `name` are empty where they are not known, or an older version wrote them."""

	name: str  # host name
	id: str = ""  # stays the same over a restart of the machine
	boot: str = ""  # another one after each restart; equal for no two machines
	up_since: float = 0.0  # seconds since the epoch; 0 where it is not known


def is_same_machine(noted: Machine, at: float, this: Machine) -> bool:
	"""
	Whether `this` is the machine that was noted at that instant (seconds since the epoch). Equal host names prove nothing:
	two containers, or two clones of one machine, may have the same. One that ran already when the other one wrote is not
	that other one after a restart. A host name alone, from a version that noted no more, is all there is to compare then.
	"""
	if noted.boot and noted.boot == this.boot:
		return True  # also one that was renamed since
	if noted.name != this.name:
		return False
	if not noted.boot:
		return True
	return noted.id == this.id and this.up_since > at


@frozen
class Holder:
	"""Who holds a lock or a fence, as its note tells. Instants are seconds since the epoch."""

	operation: str
	requested_by: str
	host: str
	pid: int
	phase: str
	since: float  # when the operation began
	is_recovery: bool = False  # it cleans up after that operation, whose process died
	identity: str = ""  # of that process (HostProcess); empty in notes of older versions

	def note(self) -> str:
		"""The text that parse reads."""
		return json.dumps(asdict(self))

	@classmethod
	def parse(cls, value: str | None) -> Holder | None:
		"""The value of a lease: an owner, a space, a note. None where it is no note of an operation."""
		return read_note(cls, value)

	def __str__(self) -> str:
		return self.text()

	def text(self, zone: tzinfo | None = None) -> str:
		"""In words. `zone`: of the clock time; by default that of this machine."""
		since = datetime.fromtimestamp(self.since, zone).astimezone(zone).strftime("%Y-%m-%d %H:%M:%S %Z")
		what = (
			f"cleaning up, as it died during {time_of(self.phase)}" if self.is_recovery else doing(self.phase)
		)
		return (
			f"{self.operation} by {self.requested_by or 'someone'}, since {since}, {what}"
			f" (pid {self.pid} on {self.host})"
		)


#: What `rq suspend` writes, and every program that calls it
BY_RQ = "1"


def describe(value: str) -> str:
	"""Any lease's value in words: ours in full, someone else's as it stands, but for what cannot be shown."""
	if value == BY_RQ:
		return "rq suspend"
	return str(Holder.parse(value) or QueueHold.parse(value) or printable(value, MOST_SHOWN))


def is_strangers(suspension: str | None) -> bool:
	"""Whether somebody suspended the queue who neither holds it nor is an operation."""
	return bool(suspension) and not (Holder.parse(suspension) or QueueHold.parse(suspension))
