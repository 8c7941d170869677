"""Journals: the one reader, and the one writer, which adds a fact before the act that it announces."""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from fmx_restart.adapters.journal_end import whole_lines
from fmx_restart.adapters.site_config import write_all
from fmx_restart.engine import events
from fmx_restart.engine.crashed_operation import CrashedOperation, crashed_operation_of
from fmx_restart.engine.decoder import decoder_of
from fmx_restart.engine.emitter import FORMAT, json_line
from fmx_restart.engine.errors import JournalUnreadable

Fact = tuple[float, events.Event]  # instant (seconds since the epoch) and fact
LAST_INSTANT = 32503680000.0  # seconds since the epoch: the year 3000
LONGEST_REASON = 120  # characters
UPDATE = "Install the version of fmx_restart that wrote it, then type: bench safe-restart recover."


def fact_in(line: str, before: float = 0.0) -> Fact:
	"""A line that is not understood gives NotUnderstood; its instant is `before` where it has none either."""
	time = before
	try:
		fields = fields_of(line)
		time = instant(fields.pop("time"))
		return time, decoder_of(kind_named(fields.pop("event")))(fields)
	except json.JSONDecodeError:
		return time, events.NotUnderstood("not JSON")
	except KeyError as error:
		return time, events.NotUnderstood(f"no field {error}")
	except (ValueError, TypeError) as error:
		return time, events.NotUnderstood(str(error)[:LONGEST_REASON])


def fields_of(line: str) -> dict:
	"""The JSON object of one line. Raises ValueError for anything else."""
	fields = json.loads(line)
	if not isinstance(fields, dict):
		raise ValueError("no fact")
	return fields


def instant(value: float) -> float:
	"""Seconds since 1970 as a float. Raises ValueError for what no clock shows, as NaN or the year 40000."""
	if not isinstance(value, (int, float)) or not 0 <= value <= LAST_INSTANT:
		raise ValueError("no instant")
	return float(value)


def kind_named(name: object) -> type[events.Event]:
	"""The class of the event with this name. Raises ValueError for one that this version does not know."""
	kind = getattr(events, str(name), None)
	if not (isinstance(kind, type) and issubclass(kind, events.Event)):
		raise ValueError(f"unknown fact {str(name)[:40]!r}")
	return kind


def facts_in(lines: Iterable[str]) -> Iterator[Fact]:
	"""For showing: one fact a line."""
	time = 0.0
	for line in lines:
		time, fact = fact_in(line, time)
		yield time, fact


def facts_of(journal: Path) -> Iterator[Fact]:
	"""For showing."""
	return facts_in(whole_lines(journal))


def understood_facts_of(journal: Path) -> Iterator[Fact]:
	"""For acting. Raises JournalUnreadable at the first line that this version does not understand."""
	for number, line in enumerate(whole_lines(journal), start=1):
		time, fact = fact_in(line)
		if isinstance(fact, events.NotUnderstood):
			raise JournalUnreadable(
				f"Line {number} of {journal} is not understood: {fact.reason}.", hint=UPDATE
			)
		if isinstance(fact, events.OperationStarted) and fact.format > FORMAT:
			raise JournalUnreadable(
				f"{journal} has format {fact.format}; this version knows formats up to {FORMAT}.", hint=UPDATE
			)
		yield time, fact


def without_repetitions(lines: Iterable[str]) -> Iterator[str]:
	"""
	All lines that change what is known: of StillRunning facts in a row about the same jobs, the first and the last. A drain
	of an hour repeats the fact hundreds of times, and building one from its line costs a hundred times what this test costs.
	"""
	waiting, held = None, None
	for line in lines:
		jobs = jobs_still_running(line)
		if held is not None and jobs != waiting:
			yield held
		held = line if jobs is not None and jobs == waiting else None
		if held is None:
			yield line
		waiting = jobs
	if held is not None:
		yield held


def jobs_still_running(line: str) -> frozenset[str] | None:
	"""Ids of the jobs in a StillRunning fact; None for any other line."""
	if not line.startswith('{"event": "StillRunning"'):
		return None
	try:
		return frozenset(running["job"]["id"] for running in json.loads(line)["jobs"])
	except (ValueError, KeyError, TypeError):
		return None


def crashed_operation_in(journal: Path) -> CrashedOperation:
	"""For showing: what is known of it, as far as it is understood."""
	crashed = crashed_operation_of(facts_of(journal))
	crashed.operation = crashed.operation or journal.stem
	return crashed


def crashed_operation_to_recover(journal: Path) -> CrashedOperation:
	"""Raises JournalUnreadable, which says as much of what was left as is understood."""
	try:
		return crashed_operation_of(understood_facts_of(journal))
	except JournalUnreadable as error:
		left = "; ".join(crashed_operation_in(journal).left()) or "nothing permanent"
		raise JournalUnreadable(
			f"{error} Nothing was changed. The readable part of what the operation left: {left}.",
			hint=f"{UPDATE} Or clean up by hand, then move the journal out of the way: mv {journal} {journal}.done",
		) from error


def first_fact_of(journal: Path) -> Fact | None:
	"""None where not even the first line is whole: an operation that has not told anything has not begun anything."""
	return next(facts_of(journal), None)


def follow(journal: Path, offset: int = 0) -> Iterator[str | None]:
	"""Whole lines from that byte on, as they are written; None whenever there is no new one yet."""
	with journal.open("rb") as file:
		file.seek(offset)
		while True:
			position, line = file.tell(), file.readline()
			if line.endswith(b"\n"):
				yield line.decode(errors="replace")
			else:
				file.seek(position)
				yield None


class Journal:
	"""Flushed to disk line by line; readable by its owner only (it names sites and methods)."""

	def __init__(self, folder: Path, operation: str, *, waits: bool = True) -> None:
		"""
		Waits for the lock: one that only looks whether it is held has it for a moment. Raises OSError; BlockingIOError
		where someone holds it and we do not wait. Nothing is written yet.
		"""
		folder.mkdir(mode=0o700, parents=True, exist_ok=True)
		self.path = folder / f"{operation}.jsonl"
		self._file = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
		self._is_whole = False  # its last line, as far as we know
		self._lock(fcntl.LOCK_EX if waits else fcntl.LOCK_EX | fcntl.LOCK_NB)

	def __call__(self, event: events.Event) -> None:
		if isinstance(event, events.MigrationOutput):
			return  # its own log has it all
		if not self._is_whole:
			self._drop_half_a_line()
		write_all(self._file, (json_line(event) + "\n").encode())
		os.fsync(self._file)

	def close(self) -> None:
		"""Close the file, which gives its lock back: guardian and recovery see by that lock that nobody writes."""
		os.close(self._file)

	def _lock(self, kind: int) -> None:
		try:
			fcntl.flock(self._file, kind)
		except OSError:
			os.close(self._file)
			raise

	def _drop_half_a_line(self) -> None:
		"""
		A process that died while it wrote left one. What it was to announce was not begun, and every line that stays can
		be read: the others would not be trusted otherwise.
		"""
		size = os.fstat(self._file).st_size
		if size and os.pread(self._file, 1, size - 1) != b"\n":
			os.ftruncate(self._file, os.pread(self._file, size, 0).rfind(b"\n") + 1)
		self._is_whole = True


def is_worked_on(path: Path) -> bool:
	"""Whether a process holds the journal: the operation itself, or whoever puts it right."""
	with suppress(FileNotFoundError), locked(path, fcntl.LOCK_SH) as is_free:
		return not is_free
	return False


@contextmanager
def locked(path: Path, kind: int) -> Iterator[bool]:
	"""False, and no lock, where someone holds it."""
	file = os.open(path, os.O_RDONLY)
	try:
		try:
			fcntl.flock(file, kind | fcntl.LOCK_NB)
		except BlockingIOError:
			yield False
		else:
			yield True
	finally:
		os.close(file)
