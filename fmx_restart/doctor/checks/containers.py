"""What Docker and Kubernetes are told about the containers of workers, and what that does to running jobs."""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable, Iterator, Mapping
from pathlib import PurePath

from fmx_restart.adapters.bench import queue_limits
from fmx_restart.adapters.managers.names import DOCKER, KUBERNETES
from fmx_restart.doctor.bench_view import BenchView
from fmx_restart.doctor.checks.supervisor import SLACK, longest_job
from fmx_restart.doctor.host import programs
from fmx_restart.doctor.registry import Finding, Severity, check
from fmx_restart.engine.format import span
from fmx_restart.engine.ports import ProcessKind, ProgramSettings

#: By the kind of manager: its name, and what kills running jobs
KILLS = {
	DOCKER: ("Docker", "docker compose stop, restart, up -d and down"),
	KUBERNETES: ("Kubernetes", "a rollout, helm upgrade, kubectl delete and a drain of its node"),
}


@check("stop-grace")
def stop_grace(view: BenchView) -> Iterator[Finding]:
	"""Neither Docker nor Kubernetes may kill a worker while its job may still run, whoever stops it."""
	limits = queue_limits(view.config)
	for program in programs(view, *ProcessKind):
		grace, wanted = program.stop_seconds, longest_job(program, limits)
		if program.manager_kind not in KILLS or not program.runs_jobs or grace is None or grace >= wanted:
			continue
		manager, what = KILLS[program.manager_kind]
		text = (
			f"{manager} kills it {span(grace)} after the order to stop, but its jobs may run for {span(wanted)}: {what} kill"
			" running jobs."
		)
		remedy = REMEDIES[program.manager_kind](program, wanted + SLACK)
		yield Finding("stop-grace", Severity.ERROR, program.name, text, remedy)


def in_compose(program: ProgramSettings, seconds: int) -> str:
	"""The line for its service."""
	file = ", ".join(PurePath(it).name for it in program.file.split(",")) or "compose.yaml"
	line = shlex.quote(f"stop_grace_period: {seconds}s")
	return f"in {file}, service {program.section}: {line}; then docker compose up -d while no job runs"


def in_cluster(program: ProgramSettings, seconds: int) -> str:
	"""The chart has no value for it. The patch replaces the pods, so it is for a moment without jobs."""
	patch = {"spec": {"template": {"spec": {"terminationGracePeriodSeconds": seconds}}}}
	words = ["patch", program.section, "--type", "merge", "-p", json.dumps(patch, separators=(",", ":"))]
	return f"while no job runs (bench safe-restart hold --drain): {program.file} {shlex.join(words)}"


REMEDIES: Mapping[str, Callable[[ProgramSettings, int], str]] = {DOCKER: in_compose, KUBERNETES: in_cluster}
