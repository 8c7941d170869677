"""A hold of the queue: a fence that outlives the command that made it, with a name, a reason and an end."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from dataclasses import asdict

from fmx_restart.engine.format import seconds_in
from fmx_restart.engine.frozen import frozen
from fmx_restart.engine.notes import read_note

LONGEST_HOLD = 86400.0  # seconds
SHORTEST_HOLD = 1.0  # seconds
USUAL_HOLD = 1200.0  # seconds
LONGEST_TEXT = 140  # characters of an owner, and of a reason


class InvalidHold(ValueError):
	"""What nobody can be given. Its text is a sentence for who asked."""


def seconds_of(duration: str) -> float:
	"""20m, 1h30m, 90s: seconds from SHORTEST_HOLD to LONGEST_HOLD. Raises InvalidHold."""
	seconds = seconds_in(duration)
	if seconds is None:
		raise InvalidHold(f"{duration!r} is not a duration; type for example 20m, 1h30m or 90s.")
	return checked_seconds(seconds)


def checked_seconds(seconds: float) -> float:
	"""The same. Raises InvalidHold where a hold cannot last so long; NaN lies outside of all bounds."""
	if not SHORTEST_HOLD <= seconds <= LONGEST_HOLD:
		raise InvalidHold("A hold lasts from one second to 24 hours.")
	return float(seconds)


def checked_text(what: str, text: str) -> str:
	"""`what`: how the sentence calls it. Raises InvalidHold for what does not fit into one line."""
	if len(text) > LONGEST_TEXT or not text.isprintable():
		raise InvalidHold(f"{what} has at most {LONGEST_TEXT} characters, in one line.")
	return text


@frozen
class QueueHold:
	"""Instants are seconds since the epoch, by Redis' clock."""

	bench: str  # which bench's command made it; it holds every bench on that Redis
	owner: str  # under which name: only a release by this name lifts it
	reason: str
	by: str  # who typed it, and where
	since: float
	until: float
	is_beginning: bool = False  # its command still waits, and takes it back if it does not succeed
	has_stood: bool = True  # False: someone lifted the suspension meanwhile, or Redis lost it

	@classmethod
	def parse(cls, value: str | None) -> QueueHold | None:
		"""From the value of a lease or the note in it; None where it is not the note of a hold."""
		return read_note(cls, value)

	def note(self) -> str:
		"""The text that parse reads."""
		return json.dumps(asdict(self))

	def __str__(self) -> str:
		if self.is_beginning:
			return f"a hold by {self.name}, which waits for running jobs"
		return f"a hold by {self.name} until {clock_time(self.until)}"

	@property
	def name(self) -> str:
		"""Its owner, and why."""
		return f"{self.owner} ({self.reason})" if self.reason else self.owner


def by_whom(holds: Sequence[QueueHold]) -> str:
	"""`holds`: at least one; the last one ends last. Until when, and by whom, for the end of a sentence."""
	return f"until {clock_time(holds[-1].until)} by {' and '.join(hold.name for hold in holds)}"


def clock_time(instant: float) -> str:
	"""20:45:12 CET, with the date where that is not today."""
	moment, today = time.localtime(instant), time.localtime()
	is_today = moment[:3] == today[:3]
	return time.strftime("%H:%M:%S %Z" if is_today else "%Y-%m-%d %H:%M:%S %Z", moment)
