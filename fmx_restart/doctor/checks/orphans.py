"""Processes of this bench that lost their parent."""

from __future__ import annotations

from collections.abc import Iterator

from fmx_restart.adapters.bench_processes import Role
from fmx_restart.adapters.orphans import Orphan
from fmx_restart.doctor.check import check
from fmx_restart.doctor.finding import Finding, Severity
from fmx_restart.doctor.host_parts import find_orphans_of, registered_pids, size
from fmx_restart.doctor.patient import Patient
from fmx_restart.doctor.words import count, span

FIX = "end-orphans"
#: Those that work on with old code, or keep a new process from starting; the others only take memory.
HARM = {
	Role.WORKER: "takes jobs with the code it was started with",
	Role.WEB: "may answer requests with the code it was started with, and holds the port",
	Role.SCHEDULER: "enqueues scheduled events beside the bench's own scheduler",
}


@check("orphans")
def orphans(patient: Patient) -> Iterator[Finding]:
	found = find_orphans_of(patient)
	registered = registered_pids(patient) if found else None
	for orphan in found:
		is_job = orphan.role is Role.WORKER and registered is not None and orphan.pid not in registered
		severity = Severity.ERROR if orphan.role in HARM and not is_job else Severity.WARNING
		text, remedy = (
			sentence(orphan, is_job=is_job),
			f"kill {orphan.pid}, and if it stays: kill -9 {orphan.pid}",
		)
		yield Finding("orphans", severity, f"pid {orphan.pid}", text, remedy, FIX)


def sentence(orphan: Orphan, *, is_job: bool) -> str:
	"""`is_job`: it looks like a worker, but no worker has that pid."""
	what = "process of a job" if is_job else orphan.role.value
	harm = "runs its job to the end with the code it was started with" if is_job else HARM.get(orphan.role)
	others = f" with {count(orphan.members - 1, 'descendant')}" if orphan.members > 1 else ""
	return (
		f"A {what}{others} has lost its parent, so nobody stops or restarts it. It {harm or 'takes memory'}: "
		f"{size(orphan.memory)}, for {span(orphan.age)} so far."
	)
