"""Past operations of a bench, read from their journals: no Redis, no database, no process manager is needed."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from pathlib import Path

from fmx_restart.adapters.journal import facts_in, is_worked_on, without_repetitions
from fmx_restart.adapters.journal_end import is_closed, whole_lines
from fmx_restart.adapters.journals import left_by
from fmx_restart.engine.crashed_operation import CrashedOperation, crashed_operation_of
from fmx_restart.engine.errors import exit_code_of
from fmx_restart.engine.frozen import frozen
from fmx_restart.engine.report import outcome_name


@frozen
class PastOperation:
	"""What is not known is None, or empty where it is text."""

	operation: str
	started: float | None = None  # seconds since the epoch
	requested_by: str = ""
	host: str = ""  # of the machine on which it ran
	strategy: str = ""
	migrates: bool = False
	outcome: str = ""  # as outcome_name has it, or what is known of one that has not ended
	seconds: float | None = None
	exit_code: int | None = None
	needs_recovery: bool = False  # its process died on this machine, and nobody has recovered it


def past_operations(folder: Path, most: int) -> list[PastOperation]:
	"""
	The newest first, `most` of them; those under way are among them. A journal that cannot be read is told as such. One
	without a whole line is of an operation that did not begin.
	"""
	return list(islice(_operations(folder), most))


def _operations(folder: Path) -> Iterator[PastOperation]:
	for journal in sorted(folder.glob("*.jsonl"), reverse=True):
		try:
			known = crashed_operation_of(facts_in(without_repetitions(whole_lines(journal))))
			if known.last or known.operation or known.not_understood:
				yield _of(journal, known)
		except FileNotFoundError:  # pruned meanwhile
			continue
		except OSError as error:
			yield PastOperation(journal.stem, outcome=f"unreadable: {error.strerror}")


def _of(journal: Path, known: CrashedOperation) -> PastOperation:
	report, dead = known.report, False
	failure = report.failure if report else None
	outcome = outcome_name(report) if report else ""
	if not report:
		outcome, dead = _without_end(journal, known)
	return PastOperation(
		operation=journal.stem,
		started=known.started or None,
		requested_by=(report.requested_by if report else "") or known.options.requested_by,
		host=known.host,
		strategy=known.strategy,
		migrates=known.options.migration is not None,
		outcome=outcome,
		seconds=report.seconds if report else None,
		exit_code=(exit_code_of(failure.type) if failure else 0) if report else None,
		needs_recovery=dead,
	)


def _without_end(journal: Path, known: CrashedOperation) -> tuple[str, bool]:
	"""In words, and whether it is known to be dead: of another machine's processes nothing can be seen from here."""
	if is_closed(journal):
		return "ended, report not understood", False
	if is_worked_on(journal):
		return f"running: {known.phase.doing}", False
	left = left_by(journal)
	if left is not None and not left.is_ours:
		return f"not ended: was {known.phase.doing}", False
	return f"died during {known.phase.time}", True
