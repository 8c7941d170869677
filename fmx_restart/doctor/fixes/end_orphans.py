"""Orphans are told to end, and are killed when they do not. One step for each."""

from __future__ import annotations

import time
from collections.abc import Iterator

from fmx_restart.adapters.orphans import Orphan
from fmx_restart.adapters.process_table import ProcessTable
from fmx_restart.doctor.checks.orphans import FIX
from fmx_restart.doctor.fix import Step, fix
from fmx_restart.doctor.host_parts import find_orphans_of, size
from fmx_restart.doctor.patient import Patient
from fmx_restart.engine.ports import Host, HostProcess

GRACE = 10.0  # seconds between TERM and KILL
POLL = 0.05  # seconds


@fix(FIX)
def end_orphans(patient: Patient) -> Iterator[Step]:
	for orphan in find_orphans_of(patient):
		text = (
			f"End the {orphan.role.value} with pid {orphan.pid} ({size(orphan.memory)}), which lost its parent, and all that "
			f"it has started: TERM, and KILL after {GRACE:g} s. A job that it runs is lost"
		)
		yield Step(text, lambda orphan=orphan: end(patient, orphan))


def end(patient: Patient, orphan: Orphan, grace: float = GRACE) -> str:
	"""Only if it still is one, and the same one."""
	table = ProcessTable.take()
	current = {(it.pid, it.identity) for it in find_orphans_of(patient, table)}
	if (orphan.pid, orphan.identity) not in current:
		return f"pid {orphan.pid} is no orphan any more; nothing was done."
	family = patient.host.family(orphan.pid)
	for process in family:
		patient.host.terminate(process)
	stubborn = wait_for_end(patient.host, family, grace)
	patient.host.end(stubborn)
	if wait_for_end(patient.host, stubborn, grace):
		return f"pid {orphan.pid} does not end, not even by KILL: the kernel holds it."
	return f"pid {orphan.pid} has ended{', by KILL' if stubborn else ''}."


def wait_for_end(host: Host, family: list[HostProcess], grace: float) -> list[HostProcess]:
	"""Those that are still there when time is up."""
	deadline = time.monotonic() + grace
	while (alive := host.alive(family)) and time.monotonic() < deadline:
		time.sleep(POLL)
	return alive
