"""What is asked of a migration, what can speak against it, and what became of each site."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum

TIMEOUT = 600.0  # seconds for one site


@dataclass(frozen=True)
class MigrationOptions:
	"""Built once at the edge. The sites stand in the operation's own options."""

	timeout: float = TIMEOUT  # seconds for one site
	command: tuple[str, ...] = ()  # instead of Frappe's own; {site} is replaced in each word
	skip_failing: bool = False  # Frappe goes on after a patch that fails
	backup: bool = False
	force: bool = False  # in spite of what speaks against it, as far as that can be overruled


class Gravity(str, Enum):
	"""How much a finding weighs."""

	BLOCKS = "blocks"  # it could not work; no force overrules that
	DOUBTFUL = "doubtful"  # refused unless forced
	PASSING = "passing"  # told before the drain, refused (unless forced) when it is still there after it
	TOLD = "told"  # a fact worth knowing


@dataclass(frozen=True)
class Finding:
	"""Something about a site (or about the whole bench, where `site` is empty) that a migration should know."""

	site: str
	gravity: Gravity
	text: str
	remedy: str = ""


class Result(str, Enum):
	DONE = "done"
	FAILED = "failed"
	TIMED_OUT = "timed out"
	NOT_TRIED = "not tried"


@dataclass
class SiteMigration:
	"""One site's part. `culprit` is the patch or the file of the DocType, only where the output proves it."""

	site: str
	result: Result = Result.NOT_TRIED
	seconds: float = 0.0
	exit_code: int | None = None
	log: str = ""
	backup: str = ""
	culprit: str = ""
	last_lines: list[str] = field(default_factory=list)
