"""All journals of a bench: which operations are unfinished or at work, and how many journals are kept."""

from __future__ import annotations

import os
import time
from contextlib import suppress
from itertools import islice
from pathlib import Path

from fmx_restart.adapters.journal import (
	crashed_operation_in,
	fact_in,
	facts_of,
	first_fact_of,
	is_worked_on,
	understood_facts_of,
)
from fmx_restart.adapters.journal_end import end_of, is_closed
from fmx_restart.adapters.machine import this_machine
from fmx_restart.adapters.process_table import user_name
from fmx_restart.engine import events
from fmx_restart.engine.crashed_operation import crashed_operation_of
from fmx_restart.engine.errors import JournalUnreadable, OtherMachine
from fmx_restart.engine.format import count
from fmx_restart.engine.frozen import frozen
from fmx_restart.engine.identity import Holder, Machine, is_same_machine
from fmx_restart.engine.migration import Result
from fmx_restart.engine.phases import Phase
from fmx_restart.engine.ports import HostProcess, OtherOperation
from fmx_restart.engine.web_answers import outage

KEPT = 200  # journals
LAUNCH = (".request.json", "-launch.log")  # ends of the names of what a launch leaves
RECENT = 20  # journals in which the last outage of web is looked for
NOTICED = 0.05  # seconds; between two requests of the measurement is more
KEPT_FOR = 180 * 86400.0  # seconds


def prune(folder: Path, *, kept: int = KEPT, kept_for: float = KEPT_FOR) -> list[Path]:
	"""
	Delete the oldest, with their logs and requests, when there are too many or they are too old. One that is not finished,
	or worked on, stays. Returns what was deleted.
	"""
	journals = sorted(folder.glob("*.jsonl"), reverse=True)
	oldest = time.time() - kept_for
	surplus = [path for n, path in enumerate(journals) if n >= kept or path.stat().st_mtime < oldest]
	gone: list[Path] = []
	for journal in surplus:
		if is_over(journal):
			gone += [
				journal,
				*folder.glob(f"{journal.stem}-*.log"),
				*folder.glob(f"{journal.stem}.request.json"),
			]
	gone += [path for path in without_journal(folder) if path.stat().st_mtime < oldest]
	for path in gone:
		with suppress(OSError):  # deleted meanwhile, or not ours to delete: the next one tries again
			path.unlink()
	return gone


def is_over(journal: Path) -> bool:
	"""False where it cannot be read, too."""
	try:
		return (is_closed(journal) or first_fact_of(journal) is None) and not is_worked_on(journal)
	except OSError:
		return False


def without_journal(folder: Path) -> list[Path]:
	"""Requests that nobody launched, and what launches printed that began no operation."""
	files = [
		(path, path.name.removesuffix(ending)) for ending in LAUNCH for path in folder.glob(f"*{ending}")
	]
	return [path for path, operation in files if not (folder / f"{operation}.jsonl").exists()]


def unfinished_sites(folder: Path) -> tuple[str, ...]:
	"""
	Of the newest operation that came as far as migrating: its sites but for those that are done, in the same order.
	Read from single facts, not from the report: an operation that was killed has none. Raises JournalUnreadable where a
	journal does not tell for certain whether it is the one, or which of its sites are done.
	"""
	for journal in sorted(folder.glob("*.jsonl"), reverse=True):
		planned, done = migrations_in(journal)
		if planned:
			return tuple(site for site in planned if site not in done)
	return ()


def migrations_in(journal: Path) -> tuple[tuple[str, ...], set[str]]:
	"""
	The sites that were to be migrated, and those that are. Raises JournalUnreadable, for a guess could migrate one twice or
	none.
	"""
	planned: tuple[str, ...] = ()
	done: set[str] = set()
	try:
		for _, fact in understood_facts_of(journal):
			if isinstance(fact, events.MigrationsPlanned):
				planned = fact.sites
			elif isinstance(fact, events.MigrationEnded) and fact.migration.result is Result.DONE:
				done.add(fact.migration.site)
	except (JournalUnreadable, OSError) as error:
		what = f"{journal} cannot be read: {error.strerror}." if isinstance(error, OSError) else error
		raise JournalUnreadable(
			f"{what} It is unknown which sites are left to migrate. Nothing was changed.",
			hint="For every site, type: bench safe-restart --migrate --site all. For some, name each with --site.",
		) from error
	return planned, done


@frozen
class Unfinished:
	journal: Path
	host: str  # where it ran; empty where its first line is not understood
	is_ours: bool  # this machine is that one

	@property
	def operation(self) -> str:
		"""The operation's id, which is its journal's name."""
		return self.journal.stem

	def is_held(self, holder: Holder | None) -> bool:
		"""
		Whether it holds the bench, so that it lives: a file system that several machines share may not show the lock on its
		journal to all of them. Of one that is known to be of this machine that lock is proof enough.
		"""
		is_certain = self.is_ours and self.host
		return not is_certain and holder is not None and holder.operation == self.operation

	def refusal(self) -> OtherMachine:
		"""The error for whoever asks this machine to recover an operation of another one, with what it left."""
		crashed = crashed_operation_in(self.journal)
		left = "; ".join(crashed.left()) or "nothing permanent"
		return OtherMachine(
			f"Operation {self.operation} ran on {self.host} and died there during {crashed.phase.time}. It left: {left}."
			" Only that machine can see its programs. Nothing was changed here.",
			hint=f"On {self.host}, type: bench safe-restart recover. If that machine is gone for good, type here:"
			" bench safe-restart recover --take-over.",
		)

	def leaves_something(self) -> bool:
		"""Something is left to clean up, or the journal has lines that nobody understands."""
		crashed = crashed_operation_in(self.journal)
		return bool(crashed.left()) or crashed.needs_new_workers or crashed.not_understood > 0


def unfinished(folder: Path) -> list[Unfinished]:
	"""The oldest first. One that has not told anything whole has begun nothing; `not_ours` names those left out here."""
	found = []
	for path in sorted(folder.glob("*.jsonl")):
		with suppress(OSError):  # pruned meanwhile, or another user's
			if (
				may_work_on(path)
				and not is_closed(path)
				and (left := left_by(path))
				and not is_worked_on(path)
			):
				found.append(left)
	return found


@frozen
class NotOurs:
	operations: tuple[str, ...]  # the oldest first
	folder: Path

	@property
	def reason(self) -> str:
		"""Who may not read how many journals, and what follows."""
		return (
			f"{user_name(os.geteuid())} may not read and write {count(len(self.operations), 'journal')} of this bench, the"
			f" last one of operation {self.operations[-1]}. If that operation died, nobody cleans up what it left."
		)

	@property
	def remedy(self) -> str:
		"""The command that gives them to the folder's owner, to be typed by root."""
		return (
			f"To make them the bench user's, type: sudo chown --reference={self.folder} {self.folder}/*.jsonl"
		)


def not_ours(folder: Path) -> NotOurs | None:
	"""
	Journals that this user may not read or write, and that have no end as far as can be read: root wrote them, or a
	restored backup belongs to somebody else. None where there are none.
	"""
	others = [path for path in sorted(folder.glob("*.jsonl")) if not may_work_on(path)]
	open_ones = tuple(path.stem for path in others if path.exists() and not is_over(path))
	return NotOurs(open_ones, folder) if open_ones else None


def may_work_on(journal: Path) -> bool:
	"""This user may read and write it, by the file's mode and owner; root may always."""
	return os.access(journal, os.R_OK | os.W_OK)


def left_by(journal: Path) -> Unfinished | None:
	"""None where nothing was begun. One whose first line is not understood is ours: recovery says what is wrong with it."""
	first = first_fact_of(journal)
	if first is None:
		return None
	at, fact = first
	if not isinstance(fact, events.OperationStarted) or not fact.host:
		return Unfinished(journal, "", is_ours=True)
	noted = fact.machine or Machine(fact.host)
	return Unfinished(journal, fact.host, is_same_machine(noted, at, this_machine()))


class OthersAtWork:
	"""`folder`: of the bench's journals. `operation`: the one that asks, which is not another one."""

	def __init__(self, folder: Path, operation: str) -> None:
		self.folder, self.operation = folder, operation

	def at_work(self) -> OtherOperation | None:
		for journal in sorted(self.folder.glob("*.jsonl"), reverse=True):
			with suppress(OSError):  # pruned meanwhile, or not ours
				is_other = journal.stem != self.operation
				if is_other and is_worked_on(journal) and (process := process_in(journal)):
					left = left_by(journal)
					return OtherOperation(
						journal.stem, process.pid, left.host if left and not left.is_ours else ""
					)
		return None

	def last_web_outage(self) -> float | None:
		for journal in islice(sorted(self.folder.glob("*.jsonl"), reverse=True), RECENT):
			with suppress(OSError):  # pruned meanwhile, or not ours
				_, fact = fact_in(end_of(journal))
				is_done = isinstance(fact, events.Ended) and fact.report.outcome is Phase.DONE
				if is_done and (seconds := outage(fact.report.web)) is not None:
					return seconds if seconds >= NOTICED else 0.0
		return None


def process_in(journal: Path) -> HostProcess | None:
	"""Who works on it; None where nothing was changed yet, or nothing is left to do."""
	facts = list(facts_of(journal))
	if is_closed(journal) or not crashed_operation_of(facts).has_changed_anything:
		return None
	process = None
	for _, fact in facts:
		if isinstance(fact, events.OperationStarted | events.WentIntoBackground):
			process = fact.process
		elif isinstance(fact, events.RecoveryStarted):
			process = fact.by
	return process
