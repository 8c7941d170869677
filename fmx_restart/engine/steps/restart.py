"""Stop everything side by side, start each process as soon as its predecessor is down."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from fmx_restart.engine import events
from fmx_restart.engine.errors import OperationError
from fmx_restart.engine.phases import Phase
from fmx_restart.engine.ports import Look, Process, ProcessState, Survey, Worker, WorkerState
from fmx_restart.engine.replacement import Replacement, Stage, StopMethod, give_orders
from fmx_restart.engine.steps.kill import end_jobs
from fmx_restart.engine.steps.web import watch
from fmx_restart.engine.waiting import Patience, wait_until
from fmx_restart.engine.workers import local_workers

if TYPE_CHECKING:
	from fmx_restart.engine.operation import Operation

#: gunicorn may take 30 s (--graceful-timeout); a manager kills long before this is over
STOPPING = Patience(timeout=180.0, poll=0.05)
MANAGER_RETURNS = 60.0  # seconds
ONCE = Patience(timeout=0.0)
#: a parked worker dies within 0.2 s of its TERM
UNMOVED = Patience(timeout=10.0, poll=0.05)


def restart(operation: Operation, *, force_after: float | None = None) -> list[Replacement]:
	"""
	Stop and start everything in the plan. Returns one replacement per process, each ordered to start or failed. `force_after`: seconds until
	jobs are killed, where nobody waited for them before.
	"""
	return restart_all(operation, operation.plan.restart, force_after=force_after)


def restart_all(
	operation: Operation, processes: Iterable[Process], *, force_after: float | None = None
) -> list[Replacement]:
	"""As restart, for these processes."""
	operation.enter(Phase.RESTART)
	with never_left_down(operation, operation.held):
		processes = as_they_are_now(operation, processes)
		watch(operation, processes)
		replacements = begin(operation, processes)
	wait_until_down(operation, replacements, force_after=force_after)
	return replacements


def begin(operation: Operation, processes: Iterable[Process]) -> list[Replacement]:
	"""Order what was held down for a migration to start, and these processes to stop: all in one conversation."""
	for replacement in operation.held:
		replacement.release()
	replacements = [*operation.held, *make_replacements(operation, processes)]
	give_orders(operation.bench, replacements)
	return replacements


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
	it back. One that someone has stopped since then is left so. Those that are held down are not among them.
	"""
	held = {replacement.old.name for replacement in operation.held}
	processes = [process for process in processes if process.name not in held]
	to_start = {process.name for process in processes if process.state is ProcessState.STOPPED}
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


@contextmanager
def never_left_down(operation: Operation, replacements: list[Replacement]) -> Iterator[None]:
	"""
	However the block fails, every process that was ordered to stop is started again, unless another operation has the bench.
	Needs no Redis.
	"""
	try:
		yield
	except BaseException:
		if not operation.has_lost_lock:
			start_all(operation, replacements)
		raise


def start_all(operation: Operation, replacements: Iterable[Replacement]) -> None:
	"""Needs no Redis. Waits until no old process can run a job any more; raises nothing for one that does not start."""
	for replacement in replacements:
		replacement.release()
	with suppress(OperationError):
		wait_until(lambda: advance(operation, replacements), STOPPING, operation.bench.clock)


def end_parked(operation: Operation, replacements: Iterable[Replacement]) -> bool:
	"""
	RQ can swallow a TERM (logging catches its StopRequested), and the manager would wait minutes before it kills. A
	worker that is suspended runs no job: ending it loses nothing.
	"""
	look = operation.look()
	parked = {worker.pid for worker in local_workers(look) if is_surely_parked(worker, look)}
	for replacement in replacements:
		if (
			replacement.stage is Stage.STOPPING
			and replacement.old.local_pid in parked
			and operation.fence_stood
		):
			operation.bench.host.end(replacement.family)
	return True


def is_surely_parked(worker: Worker, look: Look) -> bool:
	"""It is suspended, and no other worker may be that process."""
	return worker.state is WorkerState.SUSPENDED and worker.name not in look.local.doubtful


def end_all_but_busy(operation: Operation, replacements: Iterable[Replacement]) -> bool:
	"""The manager has not killed it in all this time, and nobody would start it again once it does."""
	look = operation.look()
	for replacement in replacements:
		if replacement.stage is Stage.STOPPING and not still_works(operation, replacement, look):
			operation.bench.host.end(replacement.family)
	return True


def still_works(operation: Operation, replacement: Replacement, look: Look) -> bool:
	"""By Redis' record, and by the process table where Redis has none (any more) that is certainly this worker's."""
	family = {process.pid for process in replacement.family}
	workers = [worker for worker in local_workers(look) if worker.pid in family]
	if any(worker.state is WorkerState.BUSY for worker in workers):
		return True
	if replacement.old.local_pid is None:
		return False
	is_certain = any(worker.is_recorded and worker.name not in look.local.doubtful for worker in workers)
	return (
		not is_certain
		and replacement.old.runs_jobs
		and bool(operation.bench.host.horses(replacement.old.local_pid))
	)


def begin_replacements(
	operation: Operation, processes: Iterable[Process], method: StopMethod = StopMethod.MANAGER
) -> list[Replacement]:
	"""Begin to replace these processes now; the report has them."""
	replacements = make_replacements(operation, processes, method=method)
	give_orders(operation.bench, replacements)
	return replacements


def make_replacements(operation: Operation, processes: Iterable[Process], **how) -> list[Replacement]:
	"""Replacements that the report has, and that no manager was told of yet. `how`: as Replacement takes it."""
	replacements = [Replacement(process, operation.bench, operation.emit, **how) for process in processes]
	operation.report.processes += [replacement.change for replacement in replacements]
	return replacements


def restart_idle(operation: Operation) -> tuple[list[Replacement], list[Replacement]]:
	"""
	Everything but busy workers is restarted; those are asked to leave when their job is done. Under the fence: they
	pop nothing more. Returns the replacements of the former and of the latter.
	"""
	operation.enter(Phase.RESTART)
	with never_left_down(operation, operation.held):
		at_work, others = split_busy(operation, operation.plan.restart)
		watch(operation, others)
		lingering = begin_replacements(operation, at_work, StopMethod.TERM)
		prompt = begin(operation, others)
	wait_until_down(operation, prompt)
	return prompt, lingering


def split_busy(operation: Operation, processes: Iterable[Process]) -> tuple[list[Process], list[Process]]:
	"""As they are now: workers that may be at work, and all others."""
	processes, busy = as_they_are_now(operation, processes), busy_pids(operation)
	at_work = [process for process in processes if is_busy(operation, process, busy)]
	return at_work, [process for process in processes if process not in at_work]


def busy_pids(operation: Operation) -> set[int]:
	"""Of workers of this machine that may be at work: those that are not suspended."""
	workers = local_workers(operation.look())
	return {worker.pid for worker in workers if worker.state is not WorkerState.SUSPENDED}


def is_busy(operation: Operation, process: Process, busy: set[int]) -> bool:
	"""A worker-pool is busy when any of its children is."""
	if not process.runs_jobs or process.local_pid is None:
		return False
	return bool(busy & {member.pid for member in operation.bench.host.family(process.local_pid)})


def wait_until_stopped(operation: Operation, replacements: list[Replacement], patience: Patience) -> bool:
	"""False where an old process that may run a job is left when time is up."""
	return operation.wait(lambda: advance(operation, replacements), patience)


def advance(operation: Operation, replacements: list[Replacement]) -> bool:
	"""Let every replacement see how its process stands. True when no old worker can run a job any more."""
	follow(operation, replacements)
	return all(
		replacement.stage is not Stage.STOPPING and not is_worker_left(operation, replacement)
		for replacement in replacements
	)


def is_worker_left(operation: Operation, replacement: Replacement) -> bool:
	"""Whether an old process is left that could run a job, or must not meet a new schema."""
	counts = replacement.keeps_down or replacement.old.runs_jobs
	return counts and bool(operation.bench.host.alive(replacement.family))


def follow(operation: Operation, replacements: list[Replacement]) -> None:
	"""Show each replacement how its process stands now, and give the orders that follow. Raises ProcessFault."""
	processes = {process.name: process for process in listed(operation)}
	if not processes:
		return  # no manager would take an order either
	for replacement in replacements:
		if replacement.old.name in processes:
			replacement.follow(processes[replacement.old.name])
	away = operation.away_since
	give_orders(
		operation.bench, [replacement for replacement in replacements if replacement.old.manager not in away]
	)
	for replacement in replacements:
		if not replacement.is_settled and is_gone(operation, replacement.old.manager):
			give_up(operation, replacement)


def is_gone(operation: Operation, manager: str) -> bool:
	"""Whether this manager has not answered for too long."""
	since = operation.away_since.get(manager)
	return since is not None and operation.bench.clock.now() - since > MANAGER_RETURNS


def give_up(operation: Operation, replacement: Replacement) -> None:
	"""Its manager alone could start it. The processes of other managers are restarted without it."""
	processes = operation.bench.processes
	replacement.fail(
		f"its process manager ({replacement.old.manager}) has not answered for {MANAGER_RETURNS:.0f} s"
	)
	replacement.remedy = (
		f"When that process manager answers again, type: {processes.start_command([replacement.old.name])}."
		" Then type bench safe-restart again."
	)


def listed(operation: Operation) -> list[Process]:
	"""Processes of the managers that answer. Raises ProcessFault where none of them has answered for too long."""
	survey = operation.bench.processes.survey()
	note_away(operation, survey)
	if survey.away and not survey.processes and all(is_gone(operation, name) for name in survey.away):
		raise next(iter(survey.away.values()))
	operation.note_managed(survey)
	return survey.processes


def note_away(operation: Operation, survey: Survey) -> None:
	"""Remember since when each of these managers does not answer, and emit it once each time."""
	now, before = operation.bench.clock.now(), operation.away_since
	for name in survey.away.keys() - before.keys():
		operation.emit(events.ManagerAway(str(survey.away[name])))
	operation.away_since = {name: before.get(name, now) for name in survey.away}
