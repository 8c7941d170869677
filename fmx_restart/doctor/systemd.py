"""What checks and fixes ask about the systemd units of this bench."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from fmx_restart.adapters.bench_folder import BenchFolder
from fmx_restart.adapters.queue_limits import queue_limits
from fmx_restart.adapters.systemd.cgroup import unit_of
from fmx_restart.adapters.systemd.units import Unit, units_of
from fmx_restart.doctor.finding import Finding
from fmx_restart.doctor.host_parts import bench_processes
from fmx_restart.doctor.patient import Patient
from fmx_restart.doctor.supervisor import settings
from fmx_restart.doctor.systemd_rules import RULES, Need, UnitAdvice, need_of
from fmx_restart.engine.errors import OperationError

FIX = "systemd-drop-in"


def units(patient: Patient) -> list[Unit]:
	"""Empty where there is no systemd. Supervisor's only where it runs this bench."""

	def read() -> list[Unit]:
		files = (Path(f"/proc/{pid}/cgroup") for pid in bench_processes(patient))
		named = {name for name, is_users in map(unit_of, files) if name and not is_users}
		found = units_of(BenchFolder(str(patient.path)), sorted(named))
		return [unit for unit in found if not unit.is_supervisor or runs_this_bench(patient, unit)]

	return patient.parts.get("units", read)


def runs_this_bench(patient: Patient, unit: Unit) -> bool:
	with suppress(OperationError):
		found = settings(patient)
		return found is not None and unit.main_pid in found.pids
	return False


def need(patient: Patient, unit: Unit) -> Need:
	programs = {}
	with suppress(OperationError):
		if found := settings(patient):
			programs = {program.name: program.stop_seconds or 0.0 for program in found.programs}
	return need_of(unit, queue_limits(patient.config), programs)


def advice(patient: Patient, rule: str) -> Iterator[tuple[Unit, UnitAdvice]]:
	for unit in units(patient):
		if found := RULES[rule](unit, need(patient, unit)):
			yield unit, found


def advised(patient: Patient, rule: str) -> Iterator[Finding]:
	for unit, found in advice(patient, rule):
		remedy = f"sudo systemctl edit {unit.name}: [Service], {found.line}; or bench doctor --fix"
		yield Finding(rule, found.severity, unit.name, found.text, remedy, FIX)
