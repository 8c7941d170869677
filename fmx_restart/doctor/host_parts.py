"""What checks ask about this machine."""

from __future__ import annotations

from contextlib import suppress

from fmx_restart.adapters.bench_folder import BenchFolder
from fmx_restart.adapters.bench_processes import Role, processes_of
from fmx_restart.adapters.orphans import Orphan, find_orphans
from fmx_restart.adapters.process_table import ProcessTable
from fmx_restart.doctor.patient import Patient
from fmx_restart.doctor.supervisor import managed_pids
from fmx_restart.engine.errors import OperationError


def process_table(patient: Patient) -> ProcessTable:
	return patient.process_table


def bench_processes(patient: Patient) -> dict[int, Role]:
	"""Pid → role, of what is proved to be this bench's."""
	table = process_table(patient)
	return patient.parts.get("bench processes", lambda: processes_of(BenchFolder(str(patient.path)), table))


def find_orphans_of(patient: Patient, table: ProcessTable | None = None) -> list[Orphan]:
	"""`table`: another look than the one that all checks share."""
	folder = BenchFolder(str(patient.path))
	return find_orphans(folder, table or process_table(patient), managed_pids(patient))


def registered_pids(patient: Patient) -> set[int] | None:
	"""Workers of this machine that are known to Redis. None where Redis does not answer."""
	with suppress(OperationError):
		return patient.look.local.pids
	return None


def size(bytes: float) -> str:
	"""As people say it: 45 MB, 1.5 GB."""
	gigabytes = bytes / 2**30
	return f"{gigabytes:.1f} GB" if gigabytes >= 1 else f"{bytes / 2**20:.0f} MB"
