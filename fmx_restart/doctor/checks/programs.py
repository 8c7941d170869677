"""Programs of this bench that their manager cannot keep up."""

from __future__ import annotations

from collections.abc import Iterator

from fmx_restart.doctor.at_work import unless_operation_works
from fmx_restart.doctor.check import check
from fmx_restart.doctor.finding import Finding, Severity
from fmx_restart.doctor.patient import Patient
from fmx_restart.engine.ports import ProcessState

DOWN = {
	ProcessState.FAILED: "is down: its manager has given up",
	ProcessState.RETRYING: "ends soon after each start",
}


@check("program-down")
def program_down(patient: Patient) -> Iterator[Finding]:
	"""One that somebody stopped, or that ended as its configuration allows, is meant so."""
	for process in patient.processes:
		if process.state not in DOWN:
			continue
		words = f" ({process.detail})" if process.detail else ""
		text = f"{process.name} {DOWN[process.state]}{words}."
		remedy = f"Read the end of its log, repair the cause, then: {patient.manager.start_command([process.name])}"
		found = Finding("program-down", Severity.ERROR, process.name, text, remedy)
		yield unless_operation_works(patient, found)
