"""The output of migrations and backups as a viewer shows it. The journal leaves it to a log of its own."""

from __future__ import annotations

import codecs
import time
from contextlib import suppress
from pathlib import Path

from fmx_restart.engine import events
from fmx_restart.engine.migration_output import Output

PIECE = 1 << 20  # bytes read at once


class MigrationLog:
	"""One site's, from its beginning, secrets hidden. A log that cannot be read has no lines."""

	def __init__(self, site: str, path: str) -> None:
		self.site = site
		self._path, self._position = Path(path), 0
		self._output = Output(site)
		self._decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")

	def lines(self) -> list[str]:
		"""Those that are new."""
		found: list[str] = []
		with suppress(OSError), self._path.open("rb") as log:
			log.seek(self._position)
			while piece := log.read(PIECE):
				self._position += len(piece)
				found += self._output.feed(self._decoder.decode(piece), time.monotonic())
		return found

	def rest(self) -> list[str]:
		"""It has ended: also the last line, when that has no end."""
		return [*self.lines(), *self._output.close()]


class MigrationLogs:
	"""Knows from an operation's facts which log grows just now."""

	def __init__(self) -> None:
		self._log: MigrationLog | None = None

	def new_lines(self) -> list[events.MigrationOutput]:
		return outputs(self._log, self._log.lines()) if self._log else []

	def lines_before(self, event: events.Event) -> list[events.MigrationOutput]:
		"""What was printed before this fact, where the fact says that a migration or a backup has ended or begins."""
		if isinstance(event, events.MigrationStarted | events.BackupStarted):
			before, self._log = self._rest(), MigrationLog(event.site, event.log)
			return before
		if isinstance(event, events.MigrationEnded | events.BackupEnded | events.Ended):
			before, self._log = self._rest(), None
			return before
		return []

	def _rest(self) -> list[events.MigrationOutput]:
		return outputs(self._log, self._log.rest()) if self._log else []


def outputs(log: MigrationLog, lines: list[str]) -> list[events.MigrationOutput]:
	return [events.MigrationOutput(log.site, line) for line in lines]
