"""The operation that works on this bench now, and what is out of service for it: on purpose, and not for long."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace

from fmx_restart.adapters.journal import crashed_operation_in
from fmx_restart.doctor.bench_view import BenchView
from fmx_restart.doctor.registry import Finding, Severity
from fmx_restart.engine.errors import OperationError
from fmx_restart.engine.identity import Holder
from fmx_restart.engine.phases import phase_named
from fmx_restart.engine.ports import HostProcess

LOOK_AGAIN = "bench safe-restart attach shows it; run bench doctor again when it has ended"


RECOVER = "bench safe-restart recover"


def unless_operation_works(view: BenchView, finding: Finding) -> Finding:
	"""
	The finding; as a note that names the operation while one runs that has stopped programs of this bench. Where one died
	that had stopped some, nothing must be started by hand: its migration may still be under way.
	"""
	holder = None
	with suppress(OperationError):
		holder = operation_at_work(view)
	if holder is not None:
		text = f"{finding.text} Operation {holder} is running on this bench and restarts what it stopped."
		return replace(finding, severity=Severity.NOTE, text=text, remedy=LOOK_AGAIN, fix="")
	if dead := died_with_programs_stopped(view):
		text = f"{finding.text} Operation {dead} had stopped programs of this bench when it died."
		return replace(finding, text=text, remedy=RECOVER)
	return finding


def died_with_programs_stopped(view: BenchView) -> str:
	"""The first operation of this machine that did; empty where none did."""
	for operation in view.unfinished:
		if operation.is_ours and crashed_operation_in(operation.journal).stopping:
			return operation.operation
	return ""


def operation_at_work(view: BenchView) -> Holder | None:
	"""
	Past the phases that can be undone: no program is stopped before. None where its process is proved gone: its lock
	lasts for the rest of a lease, and nobody starts anything.
	"""
	holder = Holder.parse(view.lock_note)
	phase = phase_named(holder.phase) if holder else None
	if phase is None or phase.can_be_undone or phase.is_final:
		return None
	is_here = holder.host == view.host.name
	is_gone = is_here and not view.host.alive([HostProcess(holder.pid, holder.identity)])
	return None if is_gone else holder


def is_held(view: BenchView) -> bool:
	"""Whether an operation holds this bench, in any phase: it may have changed settings of sites for a while."""
	with suppress(OperationError):
		return bool(view.holder)
	return False
