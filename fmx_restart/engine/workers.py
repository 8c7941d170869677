"""Who is alive, who still runs a job: rules about what a look shows."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import replace

from fmx_restart.engine.ports import (
	Bench,
	Host,
	HostProcess,
	LocalWorkers,
	Look,
	Process,
	ProcessKind,
	StartedJob,
	Worker,
	WorkerState,
)

#: Seconds without a heartbeat after which a worker of another machine is gone. RQ beats each second while
#: suspended, each 30 s while busy, and each 405 s while idle (rq/worker.py: worker_ttl, job_monitoring_interval).
SILENCE = {
	WorkerState.SUSPENDED: 60.0,
	WorkerState.BUSY: 120.0,
	WorkerState.IDLE: 480.0,
	WorkerState.STARTED: 480.0,
}
CLOCKS_DIFFER = 5.0  # seconds between the kernel's clock and the one that RQ writes down


def look_at(bench: Bench) -> Look:
	"""One look at the queue, its workers compared with the process table."""
	return locate(bench.queue.look(), bench.host)


def locate(look: Look, host: Host) -> Look:
	"""The same look, which says also which of its workers are processes of this machine."""
	running, ended = {}, set()
	for worker in look.workers:
		if worker.host != host.name:
			continue
		started = host.started(worker.pid)
		if is_its_process(worker, started):
			running[worker.name] = HostProcess(worker.pid, started)
		else:
			ended.add(worker.name)
	return replace(look, local=LocalWorkers(running, frozenset(ended)))


def is_live(worker: Worker, look: Look) -> bool:
	"""On this machine the process table knows; on another one only the heartbeat tells."""
	if worker in look.local:
		return worker.name in look.local.running
	return look.time - worker.heartbeat <= SILENCE[worker.state]


def is_its_process(worker: Worker, started: float | None) -> bool:
	"""
	A record outlives a killed worker by minutes, and a reboot by as long as Redis keeps it: somebody else may have the
	pid by then, who began after the record's last sign of life.
	"""
	if started is None:
		return False
	last_sign = max(worker.born, worker.heartbeat)
	return not last_sign or started <= last_sign + CLOCKS_DIFFER


def live_workers(look: Look) -> list[Worker]:
	return [worker for worker in look.workers if is_live(worker, look)]


def local_workers(look: Look) -> list[Worker]:
	"""Those that run on this machine."""
	return [worker for worker in look.workers if worker.name in look.local.running]


def workers_outside(look: Look, pids: Collection[int]) -> list[Worker]:
	"""Live workers that are none of these processes of this machine."""
	inside = {name for name, process in look.local.running.items() if process.pid in pids}
	return [worker for worker in live_workers(look) if worker.name not in inside]


def restless(workers: Iterable[Worker]) -> list[Worker]:
	"""Those that could still take a job, or take one just now: neither suspended nor at work on a known job."""
	return [w for w in workers if w.state is not WorkerState.SUSPENDED and not is_at_work(w)]


def is_at_work(worker: Worker) -> bool:
	return worker.state is WorkerState.BUSY and worker.job_id is not None


def running_jobs(look: Look) -> list[StartedJob]:
	"""Entries of the started registry that somebody really works on, as far as can be told."""
	by_name = {worker.name: worker for worker in look.workers}
	return [job for job in look.started if _is_running(job, by_name.get(job.worker or ""), look)]


def _is_running(job: StartedJob, worker: Worker | None, look: Look) -> bool:
	"""
	A live worker runs it only while it is busy: RQ can leave entries behind. The record of a dead worker of
	this machine settles it; without any record the entry counts until RQ's own expiry.
	"""
	if worker is None:
		return job.expires > look.time
	return worker.state is WorkerState.BUSY and is_live(worker, look)


def stray_horses(host: Host, look: Look, managed: Iterable[Process]) -> list[HostProcess]:
	"""
	What the process table knows and Redis does not: job processes without a worker, or of a worker without a record.
	Reading the table takes milliseconds: not for every look.
	"""
	managed = list(managed)
	known = look.local.pids
	orphans = host.orphan_horses(known | {process.pid for process in managed if process.pid})
	return [*orphans, *unrecorded_horses(host, look, managed)]


def unrecorded_horses(host: Host, look: Look, managed: Iterable[Process]) -> list[HostProcess]:
	"""
	Job processes of workers that Redis has no record of (any more): of a job of theirs nothing else may tell. A worker
	that is just starting has no record yet, and no job process either.
	"""
	known = {worker.pid for worker in local_workers(look) if worker.is_recorded}
	found = []
	for process in managed:
		if process.kind is ProcessKind.WORKER and process.pid and process.pid not in known:
			family = {member.pid for member in host.family(process.pid)}
			if family.isdisjoint(known):  # the workers of a pool are its children
				found += host.horses(process.pid)
	return found
