"""What is asked of a migration, what can speak against it, and what became of each site."""

from __future__ import annotations

import re
from collections import deque
from dataclasses import dataclass, field
from enum import Enum

from fmx_restart.engine.frozen import frozen

TIMEOUT = 600.0  # seconds for one site


@frozen
class MigrationOptions:
	"""Built once at the edge. The sites stand in the operation's own options."""

	timeout: float = TIMEOUT  # seconds for one site
	command: tuple[str, ...] = ()  # instead of Frappe's own; {site} is replaced in each word
	skip_failing: bool = False  # Frappe goes on after a patch that fails
	backup: bool = False
	force: bool = False  # in spite of what speaks against it, as far as that can be overruled
	hold_web: bool = False  # web is stopped meanwhile, and its requests wait


class Gravity(str, Enum):
	"""How much a finding weighs."""

	BLOCKS = "blocks"  # it could not work; no force overrules that
	DOUBTFUL = "doubtful"  # refused unless forced
	TRANSIENT = "passing"  # told before the drain, refused (unless forced) when it is still there after it
	NOTE = "told"  # a fact worth knowing


@frozen
class Finding:
	"""Something about a site (or about the whole bench, where `site` is empty) that a migration should know."""

	site: str
	gravity: Gravity
	text: str
	remedy: str = ""


class Result(str, Enum):
	"""What became of one site."""

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


LAST_LINES = 15
LONGEST_LINE = 500  # characters; a traceback with variables can be megabytes
PROGRESS_EVERY = 2.0  # seconds between two states of one progress bar

#: frappe/modules/patch_handler.py prints the first before a patch and the second after it
PATCH_BEGINS = re.compile(r"Executing (?P<patch>\S.*) in (?P<site>\S+) \([^()]*\)$")
PATCH_ENDS = re.compile(r"Success: Done in [\d.]+s$")
PATCH_SKIPPED = "Failed to execute patch"  # with --skip-failing
#: a variable in the traceback that Frappe's migrate prints (traceback_with_variables): frappe/model/sync.py, sync_for
DOCTYPE_FILE = re.compile(r"\s+doc_path = '(?P<path>[^']+/doctype/[^']+\.json)'$")
SECRET = re.compile(
	r"(?P<name>['\"]?\w*(?:password|passwd|secret|token|api_key|encryption_key)\w*['\"]?\s*[:=]\s*)"
	r"(?P<value>'[^']*'|\"[^\"]*\"|[^\s,;)}\]]+)",
	re.IGNORECASE,
)


def masked(line: str) -> str:
	"""Values of anything that is named like a secret are hidden."""
	return SECRET.sub(r"\g<name>***", line)


class Output:
	"""A run's output, fed in pieces of any size. A progress bar redraws its line with \\r: a few of its states are shown."""

	def __init__(self, site: str) -> None:
		self.site = site
		self.last_lines: deque[str] = deque(maxlen=LAST_LINES)
		self._rest = ""
		self._patches: list[str] = []
		self._doctype_file = ""
		self._progress_at = float("-inf")

	def feed(self, text: str, now: float) -> list[str]:
		"""The lines that are worth showing now: complete ones, and now and then a progress bar's."""
		*complete, self._rest = (self._rest + text).replace("\r\n", "\n").split("\n")
		lines = [line for raw in complete if (line := self._finish(raw))]
		return lines + self._progress(now)

	def close(self) -> list[str]:
		"""The last line, when it has no end."""
		rest, self._rest = self._rest, ""
		return [line] if (line := self._finish(rest)) else []

	def add(self, remarks: list[str]) -> None:
		"""What we found out ourselves belongs to the end of it as well."""
		self.last_lines.extend(remarks)

	@property
	def culprit(self) -> str:
		"""The patch that began and did not end, or the DocType's file in the traceback; empty when neither is sure."""
		return self._patches[0] if self._patches else self._doctype_file

	def _finish(self, raw: str) -> str:
		line = visible(raw)
		self._follow(line)
		if line.strip():
			line = masked(line)
			self.last_lines.append(line)
			return line
		return ""

	def _follow(self, line: str) -> None:
		"""A patch may reload DocTypes, which Frappe announces as patches too: the outermost one counts."""
		if (begins := PATCH_BEGINS.match(line)) and begins["site"] == self.site:
			self._patches.append(begins["patch"])
		elif PATCH_ENDS.match(line) and self._patches:
			self._patches.pop()
		elif line == PATCH_SKIPPED:
			self._patches.clear()
		elif doctype := DOCTYPE_FILE.match(line):
			self._doctype_file = doctype["path"]

	def _progress(self, now: float) -> list[str]:
		if "\r" not in self._rest or now < self._progress_at + PROGRESS_EVERY:
			return []
		self._rest = "\r" + self._rest.rsplit("\r", 1)[1]
		line = visible(self._rest)
		self._progress_at = now
		return [masked(line)] if line.strip() else []


def visible(raw: str) -> str:
	"""What a terminal would show of a line that was redrawn: its last state, without a trailing blank."""
	return raw.rstrip().rsplit("\r", 1)[-1][:LONGEST_LINE]
