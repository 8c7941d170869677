"""End jobs whose time is over: the process that runs them, all its children, and only then the records."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection
from typing import TYPE_CHECKING

from fmx_restart.engine import events
from fmx_restart.engine.errors import OperationError, ProcessFault
from fmx_restart.engine.options import OnTimeout
from fmx_restart.engine.ports import Bench, Host, HostProcess, Look, Process, Worker, WorkerState
from fmx_restart.engine.waiting import Patience
from fmx_restart.engine.workers import (
	local_workers,
	look_at,
	runners,
	running_ids,
	running_jobs,
	stray_horses,
)

if TYPE_CHECKING:
	from fmx_restart.engine.operation import Operation

DYING = Patience(timeout=10.0, poll=0.02)
REASON = "fmx_restart killed this job: operation {operation} gave it {seconds:.0f} s to finish{again}."


def end_jobs(operation: Operation, seconds: float) -> None:
	"""
	Kill every running job of this machine, wait until its worker has noticed, then write down why, and put it back
	where the options say so. A worker that is alone in its container is killed with its job, and started again. A job that
	just ended by itself is left as it ended, and one that runs elsewhere is not touched: nobody killed it, so putting it
	back would run it twice. Their ids are emitted before: a recovery finishes the rest with finish_ending.
	"""
	bench, requeue = operation.bench, operation.requests.on_timeout is OnTimeout.REQUEUE
	victims, here = jobs_to_kill(operation)
	alone = jobs_alone(operation)
	ids = [*here, *(id for jobs in alone.values() for id in jobs)]
	operation.endings += 1
	# a reason that was used before would tell that the job has been dealt with
	again = f" (attempt {operation.endings})" if operation.endings > 1 else ""
	reason = REASON.format(operation=operation.id, seconds=seconds, again=again)
	operation.emit(events.JobsCondemned(tuple(ids), requeue, reason))
	operation.is_killing = True
	try:
		bench.host.end(victims)
		ended = kill_programs(operation, alone)
		operation.wait(lambda: is_noticed(operation, victims), DYING)
		killed = [*here, *(id for program in ended for id in alone[program])]

		def record() -> None:
			sure = killed if operation.fence_stood else not_running(operation, killed)
			note_killed(operation, *record_ending(bench, sure, requeue=requeue, reason=reason))

		operation.insist(record)
	finally:
		operation.is_killing = False
		start_killed(operation)  # what is refused now is tried again in the restart


def start_killed(operation: Operation) -> dict[str, ProcessFault]:
	"""Programs that were killed with their jobs, as far as they are down by now: nobody else starts them. Returns why some are not."""
	if not operation.killed or operation.has_lost_lock:
		return {}
	names = {program.name for program in operation.killed}
	try:
		down = [it.name for it in operation.bench.processes.list() if it.name in names and it.is_down]
		return operation.bench.processes.order(start=down)
	except ProcessFault as fault:
		return dict.fromkeys(sorted(names), fault)


def leave_none_killed(operation: Operation, error: BaseException) -> None:
	"""
	As the restart does not come: also one that ended late is started again. `error`: why it does not come. Raises a
	ProcessFault from it where one of them cannot be started.
	"""
	refused = start_killed(operation)
	operation.left_down = list(refused)
	for name, fault in refused.items():
		reason = f"it was killed with its job, and is not known to have been started again: {fault}"
		operation.emit(events.ProcessFailed(name, reason, ""))
	if refused and isinstance(error, OperationError):
		raise ProcessFault(
			f"Killed with their jobs, and not known to have been started again: {', '.join(refused)}. {error}",
			hint=f"Check them, and start those that are down: {operation.bench.processes.status_command()}",
		) from error


def alone_elsewhere(operation: Operation, look: Look) -> dict[str, Process]:
	"""
	By the name of each worker that has a container for itself: the program whose end is its end, and that of its job. Of those
	that are restarted.
	"""
	restarted = {process.name for process in operation.plan.restart}
	programs = [it for it in operation.managed_now() if it.dies_with_job and it.name in restarted]
	return runners(programs, look, operation.bench.host)


def jobs_alone(operation: Operation) -> dict[Process, list[str]]:
	"""Such programs that run jobs, and the ids of these."""
	look, found = operation.look(), defaultdict(list)
	programs = alone_elsewhere(operation, look)
	for job in running_jobs(look):
		if program := programs.get(job.worker or ""):
			found[program].append(job.id)
	return found


def kill_programs(operation: Operation, programs: Collection[Process]) -> list[Process]:
	"""Those that are down then. Told as stopping before: whoever takes over starts what is told so."""
	if not programs:
		return []
	for program in programs:
		operation.emit(events.ProcessStopping(program.name, program.kind, program.pid, program.incarnation))
	operation.killed += programs
	operation.bench.processes.kill([program.name for program in programs])

	def down() -> list[Process]:
		now = {process.name: process for process in operation.managed_now()}
		return [it for it in programs if it.name in now and has_ended(it, now[it.name])]

	operation.wait(lambda: len(down()) == len(programs), DYING)
	return down()


def has_ended(process: Process, now: Process) -> bool:
	"""Whatever ran in it does not any more."""
	return now.is_down or not now.is_same_as(process)


def not_running(operation: Operation, ids: Collection[str]) -> list[str]:
	"""Where the fence lapsed, RQ itself may have tried a killed job again: one that runs must not be put back beside it."""
	running = running_ids(operation.look())
	return [id for id in ids if id not in running]


def finish_ending(
	bench: Bench, ids: Collection[str], *, requeue: bool, reason: str
) -> tuple[list[str], list[str]]:
	"""
	What end_jobs had left to do when its operation died: the fields of JobsCondemned tell it. Can be repeated. Returns
	those that were ended, and those of them that were put back. One that someone works on was not killed, or runs
	again already; it is left alone, as all are whose horse may be one that lost its worker.
	"""
	look = look_at(bench, bench.processes.list)
	running = running_ids(look)
	if stray_horses(bench.host, look, bench.processes.list()):
		running |= {job.id for job in look.started}
	return record_ending(bench, [id for id in ids if id not in running], requeue=requeue, reason=reason)


def record_ending(
	bench: Bench, ids: Collection[str], *, requeue: bool, reason: str
) -> tuple[list[str], list[str]]:
	"""For jobs that no worker works on any more. Returns those that did not finish after all, and those that were put back."""
	before = bench.queue.requeue(ids, reason) if requeue else []  # of an earlier attempt
	ended = still_owed(bench, [id for id in ids if id not in before])
	bench.queue.fail(ended, reason)
	requeued = bench.queue.requeue(ended, reason) if requeue else []
	return [*before, *ended], [*before, *requeued]


def jobs_to_kill(operation: Operation) -> tuple[list[HostProcess], list[str]]:
	"""What runs jobs on this machine, all children included, and the ids of these jobs. Changes nothing."""
	host = operation.bench.host
	look = operation.look()
	stray = stray_horses(host, look, operation.managed_now())
	victims = [member for process in stray for member in host.family(process.pid)]
	spared = set()
	bound = {process.local_pid for process in operation.managed if process.ends_all}
	for worker in local_workers(look):
		if worker.state is WorkerState.BUSY:
			processes = [it for it in job_processes(host, worker, look) if it.pid not in bound]
			victims += processes
			spared |= set() if processes else {worker.name}
	return list(dict.fromkeys(victims)), job_ids(look, spared, with_orphans=bool(stray))


def job_ids(look: Look, spared: Collection[str], *, with_orphans: bool) -> list[str]:
	"""
	Jobs that this machine runs, but for those of `spared` workers. An orphan's job is known by the record of the worker
	that it lost.
	"""
	names = {worker.name for worker in look.workers if worker in look.local} - set(spared)
	jobs = look.started if with_orphans else running_jobs(look)
	return [job.id for job in jobs if job.worker in names]


def job_processes(host: Host, worker: Worker, look: Look) -> list[HostProcess]:
	"""
	What runs the job of a worker of this machine: its descendants. One without any runs its job itself (Frappe's no-fork
	worker); but a process whose command does not say that it is a worker is never ended itself.
	"""
	head, *descendants = host.family(worker.pid) or [None]
	if head != look.local.running[worker.name] or worker.name in look.local.doubtful:
		return []  # it ended just now, or it may be another worker's process
	if descendants:
		return descendants
	return [] if worker.name in look.local.companions else [head]


def is_noticed(operation: Operation, victims: Collection[HostProcess]) -> bool:
	"""The processes are gone, and no live worker still counts as busy: RQ's parent records the failure itself."""
	if operation.bench.host.alive(victims):
		return False
	return not any(worker.state is WorkerState.BUSY for worker in local_workers(operation.look()))


def still_owed(bench: Bench, ids: Collection[str]) -> list[str]:
	"""Those that did not finish after all: RQ recorded a failure, or nobody was left to record anything."""
	statuses = bench.queue.statuses(ids)
	return [id for id in ids if statuses[id] in ("failed", "started", "stopped")]


def note_killed(operation: Operation, ended: Collection[str], requeued: Collection[str]) -> None:
	"""In the report and the ledger: jobs that were killed, and those of them that were put back."""
	jobs = [operation.running[id] for id in ended if id in operation.running]
	operation.report.interrupted += jobs
	operation.report.requeued += requeued
	if operation.ledger:
		operation.ledger.requeued.update(requeued)
	if jobs:
		operation.emit(events.JobsInterrupted(tuple(jobs), tuple(requeued)))
