"""Workers of this bench: there, alive, on every queue, with today's code."""

from __future__ import annotations

import time
from collections.abc import Iterator
from shlex import quote

from fmx_restart.adapters.queue_limits import queue_limits
from fmx_restart.doctor.at_work import unless_operation_works
from fmx_restart.doctor.check import check
from fmx_restart.doctor.finding import Finding, Severity
from fmx_restart.doctor.host_parts import process_table
from fmx_restart.doctor.patient import Patient
from fmx_restart.doctor.words import count, listed, span, worker_name
from fmx_restart.engine.ports import Look, Worker, WorkerState
from fmx_restart.engine.workers import local_workers

MARGIN = 60.0  # seconds that a worker may be older than the code: starting takes a while
#: Seconds between two heartbeats (rq/worker.py), and half a minute.
LATE = {
	WorkerState.SUSPENDED: 60.0,
	WorkerState.BUSY: 60.0,
	WorkerState.IDLE: 435.0,
	WorkerState.STARTED: 435.0,
}
#: Seconds that Redis remembers a worker after a heartbeat.
REMEMBERED = {state: 90.0 if state is WorkerState.BUSY else 480.0 for state in WorkerState}
LOOK = "supervisorctl status, or systemctl status, and the worker's log in logs/"
RESTART = "bench safe-restart --wait-workers"


@check("no-workers")
def no_workers(patient: Patient) -> Iterator[Finding]:
	if patient.live_workers:
		return
	waiting = sum(patient.look.depths.values())
	text = f"No worker of this bench runs; {count(waiting, 'job')} wait."
	yield unless_operation_works(patient, Finding("no-workers", Severity.ERROR, "", text, LOOK))


@check("unserved-queues")
def unserved_queues(patient: Patient) -> Iterator[Finding]:
	"""A queue that nobody listens to. Leftover names without any job are nobody's business."""
	workers = patient.live_workers
	if not workers:
		return  # then that is the trouble, for all queues
	served = {queue for worker in workers for queue in worker.queues}
	for queue, waiting in sorted(depths_of(patient).items()):
		if queue in served:
			continue
		severity = Severity.ERROR if waiting else Severity.WARNING
		text = f"No worker listens to the queue {queue}; {count(waiting, 'job')} wait in it."
		remedy = f"bench worker --queue {quote(queue)}, as a program of the process manager: bench setup supervisor"
		if waiting or queue in configured(patient):
			yield Finding("unserved-queues", severity, queue, text, remedy)


def depths_of(patient: Patient) -> dict[str, int]:
	return {**dict.fromkeys(configured(patient), 0), **patient.look.depths}


def configured(patient: Patient) -> tuple[str, ...]:
	return tuple(queue_limits(patient.config))


@check("stale-workers")
def stale_workers(patient: Patient) -> Iterator[Finding]:
	"""Registered, and their process is gone, or elsewhere and silent: killed, else they would have taken leave."""
	alive = {worker.name for worker in patient.live_workers}
	for worker in patient.look.workers:
		if worker.name in alive:
			continue
		ago = span(max(0.0, patient.look.time - worker.heartbeat))
		text = f"Worker {worker_name(worker)} is registered, but it is gone; its last sign of life was {ago} ago."
		yield Finding("stale-workers", Severity.WARNING, worker.name, text, why_it_died(worker))


def why_it_died(worker: Worker) -> str:
	if not worker.pid:
		return f"{LOOK}; its record ends by itself in 8 minutes"
	return f"journalctl -k | grep -i 'killed process {worker.pid}', and {LOOK}; its record ends by itself in 8 minutes"


@check("silent-workers")
def silent_workers(patient: Patient) -> Iterator[Finding]:
	"""Processes of this machine that are stopped, or have not beaten for longer than a healthy one ever is silent."""
	rows = process_table(patient).rows
	for worker in local_workers(patient.look):
		row, silence = rows.get(worker.pid), silence_of(worker, patient.look)
		if row and row.is_stopped:
			text = f"Worker {worker_name(worker)} is stopped: it takes no job, and a job that it runs does not go on."
			yield Finding("silent-workers", Severity.ERROR, worker.name, text, f"kill -CONT {worker.pid}")
		elif silence > LATE[worker.state]:
			text = f"Worker {worker_name(worker)} gave no sign of life for {span(silence)}: it hangs."
			remedy = f"py-spy dump --pid {worker.pid}"
			yield Finding("silent-workers", Severity.ERROR, worker.name, text, remedy)


def silence_of(worker: Worker, look: Look) -> float:
	"""Seconds since its last heartbeat. Each of two clocks tells it, and either may have been set: the shorter counts."""
	by_clock = look.time - worker.heartbeat
	if worker.expires is None:
		return by_clock
	return min(by_clock, REMEMBERED[worker.state] - worker.expires)


@check("old-code")
def old_code(patient: Patient) -> Iterator[Finding]:
	"""Workers load an app's code once, when they start."""
	change = patient.last_change
	old = [worker for worker in patient.live_workers if change and worker.born < change.time - MARGIN]
	if not old:
		return
	ago = span(max(0.0, time.time() - change.time))
	text = (
		f"{len(old)} of {count(len(patient.live_workers), 'worker')} run code from before the last change,"
		f" {ago} ago in {change.app} ({change.file}): {listed([f'pid {worker.pid}' for worker in old])}."
	)
	yield Finding("old-code", Severity.WARNING, change.app, text, RESTART)
