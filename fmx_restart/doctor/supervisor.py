"""What checks and fixes ask about this bench's supervisor."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace

from fmx_restart.adapters.queue_limits import queue_limits
from fmx_restart.adapters.supervisor.processes import SupervisorProcesses
from fmx_restart.adapters.supervisor.settings import ProgramSettings, Settings, read_settings
from fmx_restart.doctor.finding import Finding
from fmx_restart.doctor.patient import Patient
from fmx_restart.doctor.supervisor_rules import RULES, Advice
from fmx_restart.engine.errors import OperationError
from fmx_restart.engine.ports import ProcessKind

FIX = "supervisor-lines"
APPLY = "then, when no job runs: sudo supervisorctl reread && sudo supervisorctl update"


def settings(patient: Patient) -> Settings | None:
	"""None where something else than supervisor runs the bench."""
	manager = patient.manager
	if not isinstance(manager, SupervisorProcesses):
		return None
	return patient.parts.get("settings", lambda: read_settings(manager.address, str(patient.path)))


def managed_pids(patient: Patient) -> frozenset[int] | None:
	"""Of everything that supervisord runs. None where none answers."""
	with suppress(OperationError):
		found = settings(patient)
		return found.pids if found else None
	return None


def programs(patient: Patient, *kinds: ProcessKind) -> list[ProgramSettings]:
	"""One for each section of the configuration: of numprocs=4 the first."""
	found = settings(patient)
	by_section: dict[str, ProgramSettings] = {}
	for program in found.programs if found else ():
		if program.kind in kinds:
			by_section.setdefault(program.section or program.name, program)
	return list(by_section.values())


def with_queues(patient: Patient, program: ProgramSettings) -> ProgramSettings:
	"""Those that registered workers below a web program serve (gunicorn's companions); none where Redis does not answer."""
	if program.kind is not ProcessKind.WEB or not program.pid:
		return program
	with suppress(OperationError):
		look, host, heads = patient.look, patient.host, {program.pid}
		running = look.local.running
		below = {name for name, process in running.items() if host.head(process.pid, heads)}
		queues = {queue for worker in look.workers if worker.name in below for queue in worker.queues}
		return replace(program, queues=tuple(sorted(queues)))
	return program


def advice(patient: Patient, rule: str) -> Iterator[tuple[ProgramSettings, Advice]]:
	limits = queue_limits(patient.config)
	for program in (with_queues(patient, program) for program in programs(patient, *ProcessKind)):
		if found := RULES[rule](program, limits):
			yield program, found


def advised(patient: Patient, rule: str) -> Iterator[Finding]:
	for program, found in advice(patient, rule):
		yield advised_finding(rule, program, found)


def advised_finding(check: str, program: ProgramSettings, found: Advice, *, fix: str = FIX) -> Finding:
	where = f"[{program.section}] of {program.file}" if program.section else "its section"
	remedy = f"{found.key}={found.value} in {where}, {APPLY}"
	return Finding(check, found.severity, program.name, found.text, remedy, fix if program.section else "")
