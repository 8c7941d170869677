"""Containers: whether the order to stop reaches the workers at all."""

from __future__ import annotations

import signal
from collections.abc import Iterator

from fmx_restart.adapters.bench_processes import Role
from fmx_restart.adapters.process_table import Row
from fmx_restart.adapters.signals import catches
from fmx_restart.doctor.check import check
from fmx_restart.doctor.finding import Finding, Severity
from fmx_restart.doctor.host_parts import bench_processes, process_table
from fmx_restart.doctor.patient import Patient


@check("container-stop")
def container_stop(patient: Patient) -> Iterator[Finding]:
	"""
	The kernel ignores a TERM to PID 1 that does not take care of it, so its container is killed after the grace period.
	How long that is cannot be seen from inside.
	"""
	table, roles = process_table(patient), bench_processes(patient)
	init = table.init
	if init is None or table.is_whole_machine or not is_deaf(init):
		return
	if any(roles.get(row.pid) is Role.WORKER for row in table.family(init)):
		text = f"PID 1 ({init.name}) takes no notice of the order to stop: when the container stops, running jobs are killed."
		remedy = "exec before the worker's command in the entrypoint, or docker run --init, or init: true in compose.yaml"
		yield Finding("container-stop", Severity.ERROR, init.name, text, remedy)


def is_deaf(init: Row) -> bool:
	return catches(init.pid, signal.SIGTERM) is False
