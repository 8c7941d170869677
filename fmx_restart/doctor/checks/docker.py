"""What Docker is told about the containers of workers, and what that does to running jobs."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from pathlib import PurePath

from fmx_restart.adapters.bench import queue_limits
from fmx_restart.adapters.managers.names import DOCKER
from fmx_restart.doctor.bench_view import BenchView
from fmx_restart.doctor.checks.supervisor import SLACK, longest_job
from fmx_restart.doctor.host import programs
from fmx_restart.doctor.registry import Finding, Severity, check
from fmx_restart.engine.format import span
from fmx_restart.engine.ports import ProcessKind


@check("stop-grace")
def stop_grace(view: BenchView) -> Iterator[Finding]:
	"""Docker must not kill a worker while its job may still run, whoever stops the container."""
	limits = queue_limits(view.config)
	for program in programs(view, *ProcessKind):
		grace, wanted = program.stop_seconds, longest_job(program, limits)
		if program.manager_kind != DOCKER or not program.runs_jobs or grace is None or grace >= wanted:
			continue
		text = (
			f"Docker kills it {span(grace)} after the order to stop, but its jobs may run for {span(wanted)}: docker compose stop,"
			" restart, up -d and down kill running jobs."
		)
		file = ", ".join(PurePath(it).name for it in program.file.split(",")) or "compose.yaml"
		line = shlex.quote(f"stop_grace_period: {wanted + SLACK}s")
		remedy = f"in {file}, service {program.section}: {line}; then docker compose up -d while no job runs"
		yield Finding("stop-grace", Severity.ERROR, program.name, text, remedy)
