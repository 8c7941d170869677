"""What checks ask about this machine."""

from __future__ import annotations

from fmx_restart.adapters.bench_folder import BenchFolder
from fmx_restart.adapters.bench_processes import Role, processes_of
from fmx_restart.adapters.process_table import ProcessTable
from fmx_restart.doctor.patient import Patient


def process_table(patient: Patient) -> ProcessTable:
	return patient.parts.get("process table", ProcessTable.take)


def bench_processes(patient: Patient) -> dict[int, Role]:
	"""Pid → role, of what is proved to be this bench's."""
	table = process_table(patient)
	return patient.parts.get("bench processes", lambda: processes_of(BenchFolder(str(patient.path)), table))
