"""How supervisor is told to stop and restart this bench's programs, where that loses jobs or leaves orphans."""

from __future__ import annotations

import signal
from collections.abc import Iterator

from fmx_restart.adapters.queue_limits import queue_limits, served_queues
from fmx_restart.adapters.signals import catches
from fmx_restart.adapters.supervisor.settings import ProgramSettings
from fmx_restart.doctor.check import check
from fmx_restart.doctor.finding import Finding, Severity
from fmx_restart.doctor.host_parts import bench_processes, process_table
from fmx_restart.doctor.patient import Patient
from fmx_restart.doctor.supervisor import advised, advised_finding, programs
from fmx_restart.doctor.supervisor_rules import PARENTS, Advice
from fmx_restart.engine.ports import ProcessKind

SHELLS = {"sh", "bash", "dash", "ash", "zsh", "ksh", "busybox"}


@check("stop-time")
def stop_time(patient: Patient) -> Iterator[Finding]:
	"""A worker that is killed before its job's own time is over loses that job."""
	return advised(patient, "stop-time")


@check("stop-signal")
def stop_signal(patient: Patient) -> Iterator[Finding]:
	return advised(patient, "stop-signal")


@check("kill-as-group")
def kill_as_group(patient: Patient) -> Iterator[Finding]:
	return advised(patient, "kill-as-group")


@check("stop-as-group")
def stop_as_group(patient: Patient) -> Iterator[Finding]:
	return advised(patient, "stop-as-group")


@check("autorestart")
def autorestart(patient: Patient) -> Iterator[Finding]:
	return advised(patient, "autorestart")


@check("graceful-timeout")
def graceful_timeout(patient: Patient) -> Iterator[Finding]:
	return advised(patient, "graceful-timeout")


@check("shell-wrapper")
def shell_wrapper(patient: Patient) -> Iterator[Finding]:
	"""Told by the running process: many a shell makes way for its last command, and then all is well."""
	for program in programs(patient, *PARENTS, ProcessKind.OTHER):
		if program.stops_group is not True and is_inside_shell(patient, program):
			severity = Severity.WARNING if program.stops_group is None else Severity.ERROR
			text = "It runs inside a shell that does not pass on supervisor's TERM: the shell ends, what it started does not."
			advice = Advice(text, "command", "bash -c 'exec …'", severity)
			yield advised_finding("shell-wrapper", program, advice, fix="")


def is_inside_shell(patient: Patient, program: ProgramSettings) -> bool:
	table = process_table(patient)
	row = table.rows.get(program.pid)
	if row is None or row.name not in SHELLS:
		return False
	# a wrapper script does not say what it starts, so what it has started counts
	if bench_processes(patient).keys().isdisjoint(member.pid for member in table.family(row)[1:]):
		return False
	return catches(row.pid, signal.SIGTERM) is False


@check("program-group")
def program_group(patient: Patient) -> Iterator[Finding]:
	"""bench restart is about the groups <bench>-web and <bench>-workers, and no others where these exist."""
	usual = {f"{patient.path.name}-web", f"{patient.path.name}-workers"}
	found = programs(patient, ProcessKind.WORKER, ProcessKind.WEB, ProcessKind.SCHEDULER)
	if not usual <= {program.group for program in found}:
		return
	for program in found:
		if program.group not in usual:
			name, group = program.name.rpartition(":")[2], f"{patient.path.name}-workers"
			text = "It stands outside the groups that bench restart and bench update restart, and goes on with old code."
			remedy = f"add {name} to programs= of [group:{group}], then bench restart"
			yield Finding("program-group", Severity.WARNING, program.name, text, remedy)


@check("missing-workers")
def missing_workers(patient: Patient) -> Iterator[Finding]:
	"""Queues with a worker that somebody has started by hand. Those without any are told as unserved-queues."""
	found = programs(patient, ProcessKind.WORKER)
	if not found:
		return
	limits = queue_limits(patient.config)
	managed = {queue for program in found for queue in served_queues(program.words, limits)}
	live, local = patient.live_workers, patient.look.local
	here = {queue for worker in live if worker in local for queue in worker.queues}
	elsewhere = {queue for worker in live if worker not in local for queue in worker.queues}
	for queue in sorted((set(limits) & here) - managed - elsewhere):
		text = f"Queue {queue} has a worker, but supervisor has no program for it: nobody starts it again."
		remedy = "bench setup supervisor, then sudo supervisorctl reread && sudo supervisorctl update"
		yield Finding("missing-workers", Severity.WARNING, queue, text, remedy)
