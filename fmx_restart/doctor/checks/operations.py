"""Operations of this app that did not come to an end."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress

from fmx_restart.adapters.journal_reader import remains_in, remains_to_recover
from fmx_restart.adapters.unfinished import Unfinished
from fmx_restart.doctor.check import check
from fmx_restart.doctor.finding import Finding, Severity
from fmx_restart.doctor.patient import Patient
from fmx_restart.engine.errors import JournalUnreadable, OperationError
from fmx_restart.engine.holder import Holder

NAME = "unfinished-operation"


@check(NAME)
def unfinished_operation(patient: Patient) -> Iterator[Finding]:
	"""Its process died, and what it left is still there: stopped programs, settings, a half migration."""
	holder = holder_of(patient)
	for left in patient.unfinished:
		if not left.is_held(holder):
			yield finding_of(left)


def holder_of(patient: Patient) -> Holder | None:
	"""Without Redis a dead operation is still one."""
	with suppress(OperationError):
		return Holder.parse(patient.lock_note)
	return None


def finding_of(left: Unfinished) -> Finding:
	severity = Severity.ERROR if left.leaves_something() else Severity.WARNING
	if not left.is_ours:
		refusal = left.refusal()
		return Finding(NAME, severity, left.operation, str(refusal), refusal.hint)
	try:
		remains_to_recover(left.journal)
	except JournalUnreadable as error:
		return Finding(NAME, Severity.ERROR, left.operation, str(error), error.hint)
	return Finding(
		NAME,
		severity,
		left.operation,
		text_of(left),
		"bench safe-restart --recover, or bench doctor --fix",
		fix=NAME,
	)


def text_of(left: Unfinished) -> str:
	remains = remains_in(left.journal)
	what = "; ".join(remains.left()) or "it changed nothing that stays"
	return f"Operation {left.operation} ({remains.strategy}) died in {remains.phase.value}; {what}."
