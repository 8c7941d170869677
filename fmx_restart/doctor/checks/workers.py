"""Workers and programs of this bench: running, alive, on every queue, with today's code."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import field
from shlex import quote

from fmx_restart.adapters.bench import queue_limits
from fmx_restart.adapters.redis_queue.renewals import recycled, renewals
from fmx_restart.doctor.at_work import unless_operation_works
from fmx_restart.doctor.bench_view import BenchView
from fmx_restart.doctor.host import process_table
from fmx_restart.doctor.registry import BYTES, HIDDEN, SECONDS, Finding, Severity, check, detail
from fmx_restart.doctor.words import listed, worker_name
from fmx_restart.engine.format import count, span
from fmx_restart.engine.frozen import frozen
from fmx_restart.engine.ports import Look, ProcessState, Worker, WorkerState
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
RESTART = "bench safe-restart --wait-workers"


def look_at(view: BenchView) -> str:
	"""Where to see why workers are gone."""
	return f"{view.status_command}, and the worker's log in logs/"


@check("no-workers")
def no_workers(view: BenchView) -> Iterator[Finding]:
	"""Every worker of the bench is gone: jobs wait and nobody starts them."""
	if view.live_workers:
		return
	waiting = sum(view.look.depths.values())
	text = f"No worker of this bench runs; {count(waiting, 'job')} wait."
	yield unless_operation_works(view, Finding("no-workers", Severity.ERROR, "", text, look_at(view)))


@check("unserved-queues")
def unserved_queues(view: BenchView) -> Iterator[Finding]:
	"""A queue that nobody listens to. Leftover names without any job are nobody's business."""
	workers = view.live_workers
	if not workers:
		return  # then that is the trouble, for all queues
	served = {queue for worker in workers for queue in worker.queues}
	for queue, waiting in sorted(depths_of(view).items()):
		if queue in served:
			continue
		severity = Severity.ERROR if waiting else Severity.WARNING
		text = f"No worker listens to the queue {queue}; {count(waiting, 'job')} wait in it."
		remedy = (
			f"bench worker --queue {quote(queue)}, as a program of the process manager: {view.setup_command}"
		)
		if waiting or queue in configured(view):
			yield Finding("unserved-queues", severity, queue, text, remedy)


def depths_of(view: BenchView) -> dict[str, int]:
	"""Jobs that wait in each queue, also in those that are only configured."""
	return {**dict.fromkeys(configured(view), 0), **view.look.depths}


def configured(view: BenchView) -> tuple[str, ...]:
	"""The queues that bench would start workers for."""
	return tuple(queue_limits(view.config))


@check("stale-workers")
def stale_workers(view: BenchView) -> Iterator[Finding]:
	"""Registered, and their process is gone, or elsewhere and silent: killed, else they would have taken leave."""
	alive = {worker.name for worker in view.live_workers}
	for worker in view.look.workers:
		if worker.name in alive:
			continue
		ago = span(max(0.0, view.look.time - worker.heartbeat))
		text = f"Worker {worker_name(worker)} is registered, but it is gone; its last sign of life was {ago} ago."
		yield Finding("stale-workers", Severity.WARNING, worker.name, text, why_it_died(view, worker))


def why_it_died(view: BenchView, worker: Worker) -> str:
	"""Where to see what ended a worker: the kernel's log and its own."""
	kernel = f"journalctl -k | grep -i 'killed process {worker.pid}', and " if worker.pid else ""
	return f"{kernel}{look_at(view)}; its record expires in 8 minutes"


@check("silent-workers")
def silent_workers(view: BenchView) -> Iterator[Finding]:
	"""Processes of this machine that are stopped, or have not beaten for longer than a healthy one ever is silent."""
	rows = process_table(view).rows
	for worker in local_workers(view.look):
		row, silence = rows.get(worker.pid), silence_of(worker, view.look)
		if row and row.is_stopped:
			text = f"Worker {worker_name(worker)} is stopped: it takes no job, and a job that it runs makes no progress."
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
def old_code(view: BenchView) -> Iterator[Finding]:
	"""Workers load an app's code once, when they start."""
	change = view.last_change
	old = [worker for worker in view.live_workers if change and worker.born < change.time - MARGIN]
	if not old:
		return
	ago = span(max(0.0, time.time() - change.time))
	text = (
		f"{len(old)} of {count(len(view.live_workers), 'worker')} run code from before the last change,"
		f" {ago} ago in {change.app} ({change.file}): {listed([f'pid {worker.pid}' for worker in old])}."
	)
	yield Finding("old-code", Severity.WARNING, change.app, text, RESTART)


DOWN = {
	ProcessState.FAILED: "is down: its manager has given up",
	ProcessState.RETRYING: "ends soon after each start",
}


@check("program-down")
def program_down(view: BenchView) -> Iterator[Finding]:
	"""One that someone stopped, or that ended as its configuration allows, is meant so."""
	for process in view.processes:
		if process.state not in DOWN:
			continue
		words = f" ({process.detail})" if process.detail else ""
		text = f"{process.name} {DOWN[process.state]}{words}."
		remedy = (
			f"Read the end of its log, repair the cause, then: {view.manager.start_command([process.name])}"
		)
		finding = Finding("program-down", Severity.ERROR, process.name, text, remedy)
		yield unless_operation_works(view, finding)


@frozen
class WorkerRow:
	name: str = field(metadata=HIDDEN)
	host: str
	pid: int
	queues: str
	state: str  # idle, busy, suspended, started; stale: registered, and gone
	job: str | None = field(metadata=HIDDEN)  # its id
	age: float = field(metadata=SECONDS)
	heartbeat: float = field(metadata=SECONDS)  # since the last sign of life
	memory: int | None = field(metadata=BYTES)  # with the process of its job; None on other machines
	recycled: str = ""  # how often it started anew by itself, and why last: "3 (age)"


@frozen
class RunningJobRow:
	id: str = field(metadata=HIDDEN)
	site: str
	method: str
	queue: str
	elapsed: float | None = field(metadata=SECONDS)
	limit: float | None = field(metadata=SECONDS)
	worker: str = field(metadata=HIDDEN)
	pid: int | None  # of its worker


@detail("workers", "Workers")
def workers(view: BenchView) -> Iterator[WorkerRow]:
	"""One row a worker. `age` and `heartbeat` in seconds, `memory` in bytes and None on another machine."""
	alive = {worker.name for worker in view.live_workers}
	now, known = view.look.time, renewals(view.connection, view.look.workers)
	for worker in sorted(view.look.workers, key=lambda worker: (worker.host, worker.queues, worker.pid)):
		yield WorkerRow(
			name=worker.name,
			host=worker.host,
			pid=worker.pid,
			queues=",".join(worker.queues),
			state=worker.state.value if worker.name in alive else "stale",
			job=worker.job_id,
			age=max(0.0, now - worker.born),
			heartbeat=max(0.0, now - worker.heartbeat),
			memory=memory_of(worker, view) if worker.name in alive else None,
			recycled=recycled(known.get(worker.name)),
		)


def memory_of(worker: Worker, view: BenchView) -> int | None:
	"""Bytes of a worker and its job's process; None for one that is not seen on this machine."""
	if worker not in view.look.local:
		return None
	table = process_table(view)
	row = table.rows.get(worker.pid)
	return table.memory(row) if row else None


@detail("running-jobs", "Running jobs")
def running_jobs(view: BenchView) -> Iterator[RunningJobRow]:
	"""One row a job: how long it has run and may run, in seconds, and who runs it."""
	runners = {worker.job_id: worker for worker in view.look.workers if worker.job_id}
	for id, job in view.running.items():
		worker = runners.get(id)
		yield RunningJobRow(
			id=id,
			site=job.site,
			method=job.method,
			queue=job.queue,
			elapsed=max(0.0, view.look.time - job.started) if job.started else None,
			limit=job.timeout,
			worker=worker.name if worker else "",
			pid=worker.pid if worker else None,
		)
