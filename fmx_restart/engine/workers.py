"""Who is alive, who still runs a job: rules about what a look shows."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import replace

from fmx_restart.engine.local_workers import Locator, Managed, nothing
from fmx_restart.engine.ports import (
	Bench,
	Host,
	HostProcess,
	Look,
	Process,
	StartedJob,
	Worker,
	WorkerState,
)


def look_at(bench: Bench, managed: Managed = nothing) -> Look:
	"""One look at the queue, and where its workers are. `managed`: what the process manager runs."""
	return Locator(bench.host, bench.queue, bench.clock).locate(bench.queue.look(), managed)


def is_live(worker: Worker, look: Look) -> bool:
	"""Here or anywhere else."""
	return worker.name not in look.local.ended and worker.name not in look.local.silent


def live_workers(look: Look) -> list[Worker]:
	return [worker for worker in look.workers if is_live(worker, look)]


def local_workers(look: Look) -> list[Worker]:
	"""Those that run on this machine."""
	return [worker for worker in look.workers if worker.name in look.local.running]


def workers_outside(look: Look, pids: Collection[int]) -> list[Worker]:
	"""Live workers that are none of these processes of this machine."""
	inside = {name for name, process in look.local.running.items() if process.pid in pids}
	return [worker for worker in live_workers(look) if worker.name not in inside]


def with_workers(processes: Iterable[Process], look: Look, host: Host) -> list[Process]:
	"""Which of the manager's processes have a registered worker in their tree, whatever their commands say."""
	processes = list(processes)
	heads = {process.pid for process in processes if process.pid}
	holding = {host.head(process.pid, heads) for process in look.local.running.values()} - {None}
	return [replace(process, has_workers=process.pid in holding) for process in processes]


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
		if process.runs_jobs and process.pid and process.pid not in known:
			family = {member.pid for member in host.family(process.pid)}
			if family.isdisjoint(known):  # the workers of a pool are its children
				found += host.horses(process.pid)
	return found
