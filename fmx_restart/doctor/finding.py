"""What a check finds."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from fmx_restart.engine.plain_text import escaped


class Severity(str, Enum):
	ERROR = "error"  # something does not work, or jobs are lost or stuck
	WARNING = "warning"  # it works now and will hurt later
	NOTE = "note"  # nothing is wrong; it says what could not be looked at, and no exit code depends on it


@dataclass(frozen=True)
class Finding:
	"""One thing that is wrong. No job's arguments and no passwords in any of its texts."""

	check: str  # the check's name; docs/doctor/<check>.md tells what it means
	severity: Severity
	subject: str  # the site, queue, worker or program that it is about; "" for the bench
	text: str  # what is wrong, in one sentence
	remedy: str  # the command to type
	fix: str = ""  # the name of a fix that --fix can apply; "" for none

	def __post_init__(self) -> None:
		"""Names that other programs chose stand in these texts: a terminal, JSON and a database must be able to take them."""
		for name in ("subject", "text", "remedy"):
			object.__setattr__(self, name, escaped(getattr(self, name), "\n"))
