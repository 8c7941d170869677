"""Stop everything side by side, start each process as soon as its predecessor is down."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from fmx_restart.engine import events
from fmx_restart.engine.phases import Phase
from fmx_restart.engine.ports import Change, Look, Process, ProcessKind, ProcessState, Worker, WorkerState
from fmx_restart.engine.reload import Reload
from fmx_restart.engine.replacement import Replacement, Stage, StopMethod, give_orders
from fmx_restart.engine.steps.configuration import finish_updates
from fmx_restart.engine.steps.follow import (
	STOPPING,
	advance,
	begin_replacements,
	follow,
	make_replacements,
	never_left_down,
)
from fmx_restart.engine.steps.hold import hold_requests
from fmx_restart.engine.steps.kill import end_jobs
from fmx_restart.engine.steps.linger import keep_old_code, replace_lingering
from fmx_restart.engine.steps.reload import follow_reloads, make_reloads
from fmx_restart.engine.steps.replicas import keep_replicas, replace_replicas, replicas_among
from fmx_restart.engine.steps.web import restart_begins, web_programs
from fmx_restart.engine.waiting import Patience
from fmx_restart.engine.workers import is_elsewhere_in, live_workers, local_workers

if TYPE_CHECKING:
	from fmx_restart.engine.operation import Operation

ONCE = Patience(timeout=0.0)
#: each has a limit of its own from the moment when it is asked, and is asked when a processor is free
RELOADED = Patience(timeout=600.0, poll=0.05)
#: a parked worker dies within 0.2 s of its TERM
UNMOVED = Patience(timeout=10.0, poll=0.05)


def restart(operation: Operation, *, force_after: float | None = None) -> list[Replacement]:
	"""
	Stop and start everything in the plan. Returns one replacement per process, each ordered to start or failed. `force_after`: seconds until
	jobs are killed, where nobody waited for them before. What reloads in place has done so.
	"""
	reloads, programs = make_reloads(operation)
	replacements = restart_all(operation, programs, force_after=force_after)
	return [*replacements, *reload_all(operation, reloads, beside=replacements)]


def reload_all(operation: Operation, reloads: list[Reload], beside: list[Replacement]) -> list[Replacement]:
	"""
	Under the fence, where none of them has a job: until each has new code, or has failed. None where new web does not
	answer. `beside`: what starts meanwhile.
	"""
	if operation.report.not_replaced:
		operation.report.not_replaced += [reload.old.name for reload in reloads]
		return []
	if not reloads:
		return []
	operation.report.processes += [reload.change for reload in reloads]

	def are_settled() -> bool:
		follow(operation, [*beside, *reloads])  # whoever starts such a program anew brings the new code, too
		follow_reloads(operation, reloads)
		return all(reload.is_settled for reload in reloads)

	operation.wait(are_settled, RELOADED)
	return reloads


def restart_all(
	operation: Operation, processes: Iterable[Process], *, force_after: float | None = None
) -> list[Replacement]:
	"""As restart, for these processes."""
	operation.enter(Phase.RESTART)
	operation.updates.allow(Change.CHANGED, Change.REMOVED)
	with never_left_down(operation, operation.held):
		processes = as_they_are_now(operation, processes)
		restart_begins(operation, processes)
		replacements = begin(operation, processes)
	wait_until_down(operation, replacements, force_after=force_after)
	return [*replacements, *finish_updates(operation, replacements)]


def begin(
	operation: Operation, processes: Iterable[Process], busy: Iterable[Process] = ()
) -> list[Replacement]:
	"""
	Order what was held down for a migration to start, unless its group is to be updated before, and these processes to stop:
	all in one conversation. Web whose old workers can linger is first, then web that others stand in for; where its new code
	does not come up, it is all that is returned, and neither the others nor those in `busy` are touched.
	"""
	for replacement in operation.held:
		replacement.release()
	processes = list(processes)
	first = replace_lingering(operation, processes)
	names = {replacement.old.name for replacement in first}
	others = [process for process in processes if process.name not in names]
	if any(replacement.stage is Stage.FAILED for replacement in first):
		keep_old_code(operation, first, [*others, *busy])
		return first
	in_turn = replace_replicas(operation, replicas_among(others))
	names = {replacement.old.name for replacement in in_turn}
	others = [process for process in others if process.name not in names]
	first = [*first, *in_turn]
	if any(replacement.stage is Stage.FAILED for replacement in in_turn):
		keep_replicas(operation, in_turn, [*others, *busy])
		return first
	with never_left_down(operation, first):
		replacements = [
			*operation.held,
			*make_in_turn(operation, others, has_web=bool(web_programs(processes))),
		]
		give_orders(operation.bench, operation.updates.admitted(replacements))
	return [*first, *replacements]


def make_in_turn(operation: Operation, processes: Iterable[Process], *, has_web: bool) -> list[Replacement]:
	"""
	Replacements that begin now, but for socketio's where web is restarted, too: socketio asks web who a browser is, and one
	that is refused while web boots does not try again. The verify step begins it when web is back; likewise the scheduler,
	which nobody misses, where jobs run meanwhile and one boot after the other takes less from them.
	"""
	after_web = {ProcessKind.SOCKETIO, *([ProcessKind.SCHEDULER] if operation.starts.spares_one else [])}
	now, later, held = [], [], []
	for process in processes:
		waits = has_web and process.kind in after_web and not operation.updates.awaits(process)
		(later if waits else held if hold_requests(operation, process) else now).append(process)
	if any(process.kind is ProcessKind.WEB and process.state is ProcessState.RUNNING for process in now):
		announce_pause(operation)
	return [
		*make_replacements(operation, held, keeps_down=True),
		*make_by_method(operation, now),
		*make_replacements(operation, later, waits=True),
	]


def make_by_method(operation: Operation, processes: Iterable[Process]) -> list[Replacement]:
	"""
	A worker at work is told by us where its manager's order would reach the running job, too: it leaves when that has ended,
	or was killed on purpose and named.
	"""
	processes = list(processes)
	risky = any(process.stop_reaches_jobs and process.runs_jobs for process in processes)
	look = operation.look() if risky else None
	by_us = [it for it in processes if look and it.stop_reaches_jobs and is_busy(operation, it, look)]
	return [
		*make_replacements(operation, by_us, method=StopMethod.TERM),
		*make_replacements(operation, [process for process in processes if process not in by_us]),
	]


def announce_pause(operation: Operation) -> None:
	"""Only where it will be seen: old web does not linger, and requests do not wait."""
	if refusal := operation.bench.notices.pause():
		operation.emit(events.PauseNotAnnounced(refusal))


def wait_until_down(
	operation: Operation, replacements: list[Replacement], *, force_after: float | None = None
) -> None:
	"""Wait until every old process has ended; what runs no job is killed in the end. What is left then has failed."""
	with never_left_down(operation, replacements):
		if force_after is not None and not wait_until_stopped(operation, replacements, Patience(force_after)):
			end_jobs(operation, force_after)
		if not wait_until_stopped(operation, replacements, UNMOVED):
			operation.wait(lambda: end_parked(operation, replacements), ONCE)
		if not wait_until_stopped(operation, replacements, STOPPING):
			operation.wait(lambda: end_all_but_busy(operation, replacements), ONCE)
			wait_until_stopped(operation, replacements, UNMOVED)
	for replacement in replacements:
		if replacement.stage is Stage.STOPPING:
			replacement.fail(f"it did not stop within {STOPPING.timeout:.0f} s")


def as_they_are_now(operation: Operation, processes: Iterable[Process]) -> list[Process]:
	"""
	A process may have another pid than in the plan: it crashed or was killed while we waited, and its manager brought
	it back. One that someone has stopped since then is left so, unless that was us, with its job. Those that are held down are not among them.
	"""
	held = {replacement.old.name for replacement in operation.held}
	processes = [process for process in processes if process.name not in held]
	to_start = {process.name for process in processes if process.state is ProcessState.STOPPED}
	to_start |= {process.name for process in operation.killed}
	survey = operation.bench.processes.survey()
	current = {process.name: process for process in operation.as_planned(survey.processes)}
	processes = [current.get(process.name, process) for process in processes]
	stopped = [
		process
		for process in processes
		if process.state is ProcessState.STOPPED and process.name not in to_start
	]
	left_alone = operation.report.left_alone
	left_alone += [process.name for process in stopped if process.name not in left_alone]
	return [process for process in processes if process not in stopped]


def end_parked(operation: Operation, replacements: Iterable[Replacement]) -> bool:
	"""
	RQ can swallow a TERM (logging catches its StopRequested), and the manager would wait minutes before it kills. A
	worker that is suspended runs no job: ending it loses nothing.
	"""
	look = operation.look()
	parked = {worker.pid for worker in local_workers(look) if is_surely_parked(worker, look)}
	if not operation.fence_stood:
		return True
	stopping = [replacement for replacement in replacements if replacement.stage is Stage.STOPPING]
	for replacement in stopping:
		if replacement.old.local_pid in parked:
			operation.bench.host.end(replacement.family)
	kill_elsewhere(operation, (it.old for it in stopping if are_parked_there(it.old, look)))
	return True


def are_parked_there(process: Process, look: Look) -> bool:
	"""The workers of a program of another machine are known, and all of them are suspended."""
	workers = [worker for worker in live_workers(look) if is_elsewhere_in(process, worker, look)]
	return bool(workers) and all(worker.state is WorkerState.SUSPENDED for worker in workers)


def kill_elsewhere(operation: Operation, processes: Iterable[Process]) -> None:
	"""Through their managers. One that does not follow is found by its program that stays up."""
	if names := [process.name for process in processes if process.host]:
		operation.bench.processes.kill(names)


def is_surely_parked(worker: Worker, look: Look) -> bool:
	"""It is suspended, and no other worker may be that process."""
	return worker.state is WorkerState.SUSPENDED and worker.name not in look.local.doubtful


def end_all_but_busy(operation: Operation, replacements: Iterable[Replacement]) -> bool:
	"""The manager has not killed it in all this time, and nobody would start it again once it does."""
	look = operation.look()
	stuck = [
		replacement
		for replacement in replacements
		if replacement.stage is Stage.STOPPING and not still_works(operation, replacement, look)
	]
	for replacement in stuck:
		operation.bench.host.end(replacement.family)
	kill_elsewhere(operation, (replacement.old for replacement in stuck))
	return True


def still_works(operation: Operation, replacement: Replacement, look: Look) -> bool:
	"""By Redis' record, and by the process table where Redis has none (any more) that is certainly this worker's."""
	family = {process.pid for process in replacement.family}
	workers = [worker for worker in local_workers(look) if worker.pid in family]
	if any(worker.state is WorkerState.BUSY for worker in workers):
		return True
	if replacement.old.local_pid is None:
		old = replacement.old  # of a worker that nobody knows nothing tells that it is idle
		return is_busy(operation, old, look) or (old.runs_jobs and not old.has_workers)
	is_certain = any(worker.is_recorded and worker.name not in look.local.doubtful for worker in workers)
	return (
		not is_certain
		and replacement.old.runs_jobs
		and bool(operation.bench.host.horses(replacement.old.local_pid))
	)


def restart_idle(
	operation: Operation, reloads: list[Reload], programs: list[Process]
) -> tuple[list[Replacement], list[Replacement]]:
	"""
	Everything but busy workers is restarted; those are asked to leave when their job is done. Under the fence where any
	of `programs` runs jobs: they pop nothing more. Workers that reload in place are asked, too, and not waited for. Returns
	the replacements of those that leave when their job is done last.
	"""
	operation.enter(Phase.RESTART)
	with never_left_down(operation, operation.held):
		at_work, others = split_busy(operation, programs)
		restart_begins(operation, others)
		prompt = begin(operation, others, busy=[*at_work, *(reload.old for reload in reloads)])
		if operation.report.not_replaced:  # new web does not answer, so old code runs everywhere
			at_work, reloads = [], []
		leaving = begin_replacements(operation, at_work, StopMethod.TERM)
	operation.report.processes += [reload.change for reload in reloads]
	operation.wait(lambda: follow_reloads(operation, reloads) or True, ONCE)
	wait_until_down(operation, prompt)
	return [*prompt, *reloads], leaving


def split_busy(operation: Operation, processes: Iterable[Process]) -> tuple[list[Process], list[Process]]:
	"""As they are now: workers that may be at work, and all others."""
	processes, look = as_they_are_now(operation, processes), operation.look()
	at_work = [process for process in processes if is_busy(operation, process, look)]
	return at_work, [process for process in processes if process not in at_work]


def is_busy(operation: Operation, process: Process, look: Look) -> bool:
	"""Whether its worker may be at work: it is not suspended. A worker-pool is busy when any of its children is."""
	if not process.runs_jobs or process.pid is None:
		return False
	restless = [worker for worker in live_workers(look) if worker.state is not WorkerState.SUSPENDED]
	if process.host:
		return any(is_elsewhere_in(process, worker, look) for worker in restless)
	family = {member.pid for member in operation.bench.host.family(process.pid)}
	return any(worker.pid in family for worker in restless if worker.name in look.local.running)


def wait_until_stopped(operation: Operation, replacements: list[Replacement], patience: Patience) -> bool:
	"""False where an old process that may run a job is left when time is up."""
	return operation.wait(lambda: advance(operation, replacements), patience)
