"""End jobs whose time is over: the process that runs them, all its children, and only then the records."""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING

from fmx_restart.engine import events
from fmx_restart.engine.options import OnTimeout
from fmx_restart.engine.ports import Host, HostProcess, Look, Worker, WorkerState
from fmx_restart.engine.waiting import Patience
from fmx_restart.engine.workers import running_jobs

if TYPE_CHECKING:
	from fmx_restart.engine.operation import Operation

DYING = Patience(timeout=10.0, poll=0.02)
CLOCKS_DIFFER = 5.0  # seconds between the kernel's clock and the one that RQ writes down
REASON = "fmx_restart killed this job: operation {operation} gave it {seconds:.0f} s to finish."


def end_jobs(operation: Operation, seconds: float) -> None:
	"""
	Kill every running job of this machine, wait until its worker has noticed, then write down why, and put it back
	where the options say so. A job that just ended by itself is left as it ended, and one that runs elsewhere is not
	touched: nobody killed it, so putting it back would run it twice.
	"""
	bench = operation.bench
	look = operation.look()
	orphans = [member for orphan in operation.orphans(look) for member in bench.host.family(orphan.pid)]
	victims = [*job_processes(operation, look), *orphans]
	ids = job_ids(look, bench.host, with_orphans=bool(orphans))
	bench.host.end(victims)
	operation.wait(lambda: is_noticed(operation, victims), DYING)
	ended = still_owed(operation, ids)
	bench.queue.fail(ended, REASON.format(operation=operation.id, seconds=seconds))
	requeued = bench.queue.requeue(ended) if operation.options.on_timeout is OnTimeout.REQUEUE else []
	note(operation, ended, requeued)


def job_ids(look: Look, host: Host, *, with_orphans: bool) -> list[str]:
	"""Jobs that this machine runs. An orphan's job is known by the record of the worker that it lost."""
	names = {worker.name for worker in look.workers if worker.host == host.name}
	jobs = look.started if with_orphans else running_jobs(look, host)
	return [job.id for job in jobs if job.worker in names]


def job_processes(operation: Operation, look: Look) -> list[HostProcess]:
	"""
	What runs jobs for this machine's workers: the descendants of those that are busy. A worker without any descendant
	runs its job itself (Frappe's no-fork worker).
	"""
	host = operation.bench.host
	victims: list[HostProcess] = []
	for worker in look.workers:
		if worker.host == host.name and worker.state is WorkerState.BUSY:
			family = host.family(worker.pid)
			if is_its_process(worker, family):
				victims += [process for process in family if process.pid != worker.pid] or family
	return victims


def is_its_process(worker: Worker, family: Collection[HostProcess]) -> bool:
	"""A record outlives a killed worker by minutes, and its pid may be somebody else's by then: that one is younger."""
	return any(p.pid == worker.pid and p.created <= worker.born + CLOCKS_DIFFER for p in family)


def is_noticed(operation: Operation, victims: Collection[HostProcess]) -> bool:
	"""The processes are gone, and no live worker still counts as busy: RQ's parent records the failure itself."""
	host = operation.bench.host
	if host.alive(victims):
		return False
	workers = [w for w in operation.look().workers if w.host == host.name and host.is_alive(w.pid)]
	return not any(worker.state is WorkerState.BUSY for worker in workers)


def still_owed(operation: Operation, ids: Collection[str]) -> list[str]:
	"""Those that did not finish after all: RQ recorded a failure, or nobody was left to record anything."""
	statuses = operation.bench.queue.statuses(ids)
	return [id for id in ids if statuses[id] in ("failed", "started", "stopped")]


def note(operation: Operation, ended: Collection[str], requeued: Collection[str]) -> None:
	jobs = [operation.running[id] for id in ended if id in operation.running]
	operation.report.interrupted += jobs
	operation.report.requeued += requeued
	if operation.ledger:
		operation.ledger.requeued.update(requeued)
	if jobs:
		operation.emit(events.JobsInterrupted(tuple(jobs), tuple(requeued)))
