"""What a person sees of an operation: its facts from the journal, and the output of migrations and backups."""

from __future__ import annotations

import codecs
import json
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Protocol

import click

from fmx_restart.adapters.guardian_process import GUARDIAN_WITHIN
from fmx_restart.adapters.journal import Fact, fact_in, follow, is_worked_on
from fmx_restart.adapters.journal_end import ENDED
from fmx_restart.adapters.journals import left_by
from fmx_restart.commands.operation_process import OperationProcess
from fmx_restart.engine import events
from fmx_restart.engine.emitter import Emitter, Listener
from fmx_restart.engine.errors import OperationError, ProcessDied, exit_code_of
from fmx_restart.engine.migration import Output
from fmx_restart.engine.report import Failure

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
		lines: list[str] = []
		with suppress(OSError), self._path.open("rb") as log:
			log.seek(self._position)
			while piece := log.read(PIECE):
				self._position += len(piece)
				lines += self._output.feed(self._decoder.decode(piece), time.monotonic())
		return lines

	def rest(self) -> list[str]:
		"""It has ended: also the last line, when that has no end."""
		return [*self.lines(), *self._output.close()]


class MigrationLogs:
	"""Knows from an operation's facts which log grows just now."""

	def __init__(self) -> None:
		self._log: MigrationLog | None = None

	def new_lines(self) -> list[events.MigrationOutput]:
		"""What the running migration has written since the last look."""
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
	"""Lines of a migration's log as the events that a terminal shows."""
	return [events.MigrationOutput(log.site, line) for line in lines]


#: seconds between two looks: the first pause, the longest, and the growth
SOON, LATER, LONGER = 0.01, 0.1, 1.2


class Moment:
	"""When the fact that is shown just now happened, in seconds since the epoch."""

	def __init__(self) -> None:
		self.time = time.time()

	def __call__(self) -> float:
		return self.time


class Source(Protocol):
	"""Where the facts of one operation come from."""

	is_over: bool  # the operation's last fact was taken
	notices: list[str]  # what the person should know beside the facts, once each

	def take(self) -> list[Fact]:
		"""Those that are new."""

	def check(self) -> None:
		"""For a source that had none. Raises an OperationError where none will come any more."""


class JournalSource:
	"""Any operation of this bench. `offset`: the byte from which its journal is read."""

	def __init__(self, journal: Path, offset: int = 0) -> None:
		self.journal, self.is_over = journal, False
		self.notices: list[str] = []
		self._lines = follow(journal, offset)
		self._alone_since: float | None = None  # since when no process works on the operation
		self._other_host = ""  # the other machine on which it runs, once that was told

	def take(self) -> list[Fact]:
		facts = []
		while (line := next(self._lines)) is not None:
			facts.append(fact_in(line, time.time()))
			self.is_over |= line.startswith(ENDED)
		return facts

	def check(self) -> None:
		"""Raises ProcessDied; never for an operation of another machine, whose processes and locks cannot be seen here."""
		now = time.monotonic()
		self._alone_since = None if is_worked_on(self.journal) else self._alone_since or now
		if self._alone_since and self._is_elsewhere():
			return
		if self._alone_since and now - self._alone_since > GUARDIAN_WITHIN:
			raise ProcessDied(
				f"The process of operation {self.journal.stem} died, and what it left is not recovered yet.",
				hint="Type: bench safe-restart recover",
			)

	def _is_elsewhere(self) -> bool:
		operation = None if self._other_host else left_by(self.journal)
		if operation is not None and not operation.is_ours:
			self._other_host = operation.host
			self.notices.append(
				f"Operation {operation.operation} runs on {operation.host}. This machine cannot see whether its process lives, and"
				f" shows what it writes to its journal. Ctrl-C ends this view alone. Its state, on {operation.host}:"
				" bench safe-restart status"
			)
		return bool(self._other_host)


class ProcessSource:
	"""
	The operation whose process is our child. Its messages have the facts from before the journal begins (what an earlier
	operation left is recovered first), and from after the journal was lost.
	"""

	def __init__(self, process: OperationProcess, journal: Path, output: Path) -> None:
		"""`output`: what the process prints."""
		self.process, self.journal, self.output = process, journal, output
		self.is_over = False
		self.notices: list[str] = []
		self._source: JournalSource | None = None  # once the journal has begun
		self._has_ended = False
		self._failure: Failure | None = None
		self._last_written: events.Event | None = None
		self._has_lost_journal = False

	def take(self) -> list[Fact]:
		"""The end of the process is looked for first, and the messages next: whatever came before them is read then."""
		self._has_ended = self.process.has_ended()
		before, after = self._messages()
		written = self._source.take() if self._source else []
		self._last_written = written[-1][1] if written else self._last_written
		after = self._without_repetition(after)
		self.is_over = self._source.is_over if self._source else self.process.exit_code == 0
		self.is_over |= has_end(after)
		return [*before, *written, *after]

	def _without_repetition(self, after: list[Fact]) -> list[Fact]:
		"""A disk may say too late that it is full: the fact that the journal could not take can be read there all the same."""
		if not after or self._has_lost_journal:
			return after
		self._has_lost_journal = True
		return after[1:] if after[0][1] == self._last_written else after

	def check(self) -> None:
		"""Raises what kept the operation from beginning, or ProcessDied."""
		if not self._has_ended:
			return
		if self._failure is not None:
			raise error_of(self._failure, self.output)
		if self._source is not None:
			self._source.check()
			return
		raise ProcessDied(
			f"The operation's process ended with exit code {self.process.exit_code} before it began.",
			hint="Nothing was restarted. Type the same command again.",
		)

	def _messages(self) -> tuple[list[Fact], list[Fact]]:
		before: list[Fact] = []
		after: list[Fact] = []
		for line in self.process.messages.take():
			message = json.loads(line)
			if "begins" in message:
				self._source = JournalSource(self.journal)
			elif "failure" in message:
				self._failure = Failure(**message["failure"])
			elif "warning" in message:
				self.notices.append(f"Warning: {message['warning']}")
			else:
				(after if self._source else before).append(fact_in(line, time.time()))
		return before, after


def has_end(facts: list[Fact]) -> bool:
	"""The operation has ended, so nothing more will come."""
	return any(isinstance(event, events.Ended) for _, event in facts)


def batches(source: Source) -> Iterator[list[Fact]]:
	"""Facts as they come; an empty list now and then. Ends after the operation's last one. Raises as Source.check."""
	pause = SOON
	while not source.is_over:
		facts = source.take()
		yield facts
		if facts:
			pause = SOON
		elif not source.is_over:
			source.check()
			time.sleep(pause)
			pause = min(LONGER * pause, LATER)


class Viewer:
	"""
	Shows what a source tells to a listener. A terminal that went away, or a pipe that was closed, ends what is shown and
	nothing else.
	"""

	def __init__(self, listener: Listener, moment: Moment, logs: MigrationLogs | None = None) -> None:
		"""`logs`: without them no output of migrations is shown."""
		self.listener, self.moment, self.logs = listener, moment, logs
		self._emit = Emitter(None, [listener])
		self._is_own = False  # facts before this operation's first one are those of an earlier, recovered one

	def watch(
		self, source: Source, after: Callable[[events.Event], None] = lambda event: None
	) -> Failure | None:
		"""
		Until the operation ends; returns its failure. `after` hears of each of its facts once that is shown, and may raise
		to end the view before. Raises as Source.check, too.
		"""
		failure = None
		try:
			for facts in batches(source):
				for at, event in facts:
					self._show(at, event)
					failure = event.report.failure if isinstance(event, events.Ended) else failure
					if self._is_own:
						after(event)
				self._show_outputs()
				self._show_notices(source.notices)
				self._to_listener("caught_up")
			return failure
		finally:
			self._to_listener("hide")

	def _show(self, at: float, event: events.Event) -> None:
		self._is_own |= isinstance(event, events.OperationStarted)
		for output in self.logs.lines_before(event) if self.logs else ():
			self._tell(min(at, time.time()), output)
		self._tell(at, event)

	def _show_outputs(self) -> None:
		for output in self.logs.new_lines() if self.logs else ():
			self._tell(time.time(), output)

	def _show_notices(self, notices: list[str]) -> None:
		if notices:
			self._to_listener("hide")
		while notices:
			with suppress(OSError):
				click.echo(notices.pop(0), err=True)

	def _tell(self, at: float, event: events.Event) -> None:
		self.moment.time = at
		self._emit(event)

	def _to_listener(self, name: str) -> None:
		"""
		For one that draws a live table. It is drawn once all that has happened is known, so that none of its older states
		is; and taken away at the end.
		"""
		if self.listener in self._emit.listeners and (act := getattr(self.listener, name, None)):
			with suppress(OSError, ValueError):
				act()


def error_of(failure: Failure, output: Path) -> OperationError:
	"""With the operation's own exit code. `output`: where the traceback of an error is that nobody foresaw."""
	code = exit_code_of(failure.type)
	if code == OperationError.exit_code:
		error = OperationError(
			f"{failure.type}: {failure.message}",
			hint=f"This is a fault of fmx_restart; all about it: {output}",
		)
	else:
		error = OperationError(failure.message, hint=failure.hint)
	error.exit_code, error.name = code, failure.type
	return error
