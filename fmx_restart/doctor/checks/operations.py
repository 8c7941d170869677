"""Operations of this app that did not come to an end."""

from __future__ import annotations

from collections.abc import Iterator

from fmx_restart.adapters.journal_reader import remains_in
from fmx_restart.doctor.check import check
from fmx_restart.doctor.finding import Finding, Severity
from fmx_restart.doctor.patient import Patient


@check("unfinished-operation")
def unfinished_operation(patient: Patient) -> Iterator[Finding]:
	"""Its process died, and nobody has put right yet what it left: stopped programs, settings, a half migration."""
	for journal in patient.unfinished:
		remains = remains_in(journal)
		left = remains.left()
		text = f"Operation {journal.stem} ({remains.strategy}) died in {remains.phase.value}; {'; '.join(left) or 'it changed nothing that stays'}."
		remedy = "bench safe-restart --recover, or bench doctor --fix"
		severity = Severity.ERROR if left or remains.needs_new_workers else Severity.WARNING
		yield Finding(
			"unfinished-operation", severity, journal.stem, text, remedy, fix="unfinished-operation"
		)
