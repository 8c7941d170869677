"""Stop everything side by side, start each process as soon as its predecessor is down."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from fmx_restart.engine import events
from fmx_restart.engine.errors import OperationError
from fmx_restart.engine.phases import Phase
from fmx_restart.engine.ports import Look, Process, ProcessState, Survey, Worker, WorkerState
from fmx_restart.engine.replacement import Farewell, Replacement, Stage, give_orders
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
	Returns one relay per process, each at least told to start, or marked as failed. `force_after`: seconds until
	jobs are killed, where nobody waited for them before.
	"""
	return restart_all(operation, operation.plan.restart, force_after=force_after)


def restart_all(
	operation: Operation, processes: Iterable[Process], *, force_after: float | None = None
) -> list[Replacement]:
	operation.enter(Phase.RESTART)
	with nobody_left_down(operation, operation.held):
		processes = as_they_are(operation, processes)
		watch(operation, processes)
		relays = begin(operation, processes)
	see_down(operation, relays, force_after=force_after)
	return relays


def begin(operation: Operation, processes: Iterable[Process]) -> list[Replacement]:
	"""What was held down for a migration starts, these others are told to stop: both in one conversation."""
	for relay in operation.held:
		relay.release()
	relays = [*operation.held, *relays_of(operation, processes)]
	give_orders(operation.bench, relays)
	return relays


def see_down(operation: Operation, relays: list[Replacement], *, force_after: float | None = None) -> None:
	"""Until none is stopping: with patience, then with force for whatever runs no job. What still stands is a fault."""
	with nobody_left_down(operation, relays):
		if force_after is not None and not hand_on(operation, relays, Patience(force_after)):
			end_jobs(operation, force_after)
		if not hand_on(operation, relays, UNMOVED):
			operation.wait(lambda: end_parked(operation, relays), ONCE)
		if not hand_on(operation, relays, STOPPING):
			operation.wait(lambda: end_all_but_busy(operation, relays), ONCE)
			hand_on(operation, relays, UNMOVED)
	for relay in relays:
		if relay.leg is Stage.STOPPING:
			relay.fail(f"it did not stop within {STOPPING.timeout:.0f} s")


def as_they_are(operation: Operation, processes: Iterable[Process]) -> list[Process]:
	"""
	A process may have another pid than in the plan: it crashed or was killed while we waited, and its manager brought
	it back. One that someone has stopped since then is left so. Those that are held down are not among them.
	"""
	held = {relay.old.name for relay in operation.held}
	processes = [process for process in processes if process.name not in held]
	to_start = {process.name for process in processes if process.state is ProcessState.STOPPED}
	survey = operation.bench.processes.survey()
	now = {process.name: process for process in operation.as_planned(survey.processes)}
	processes = [now.get(process.name, process) for process in processes]
	stopped = [it for it in processes if it.state is ProcessState.STOPPED and it.name not in to_start]
	left_alone = operation.report.left_alone
	left_alone += [process.name for process in stopped if process.name not in left_alone]
	return [process for process in processes if process not in stopped]


@contextmanager
def nobody_left_down(operation: Operation, relays: list[Replacement]) -> Iterator[None]:
	"""
	Whatever ends the block, whoever was told to stop is told to start again, unless another operation has the bench.
	Needs no Redis.
	"""
	try:
		yield
	except BaseException:
		if not operation.has_lost_lock:
			start_all(operation, relays)
		raise


def start_all(operation: Operation, relays: Iterable[Replacement]) -> None:
	for relay in relays:
		relay.release()
	with suppress(OperationError):
		wait_until(lambda: pass_on(operation, relays), STOPPING, operation.bench.clock)


def end_parked(operation: Operation, relays: Iterable[Replacement]) -> bool:
	"""
	RQ can swallow a TERM (logging catches its StopRequested), and the manager would wait minutes before it kills. A
	worker that is suspended runs no job: ending it loses nothing.
	"""
	look = operation.look()
	parked = {worker.pid for worker in local_workers(look) if is_surely_parked(worker, look)}
	for relay in relays:
		if relay.leg is Stage.STOPPING and relay.old.local_pid in parked and operation.fence_stood:
			operation.bench.host.end(relay.family)
	return True


def is_surely_parked(worker: Worker, look: Look) -> bool:
	return worker.state is WorkerState.SUSPENDED and worker.name not in look.local.doubtful


def end_all_but_busy(operation: Operation, relays: Iterable[Replacement]) -> bool:
	"""The manager has not killed it in all this time, and nobody would start it again once it does."""
	look = operation.look()
	for relay in relays:
		if relay.leg is Stage.STOPPING and not still_works(operation, relay, look):
			operation.bench.host.end(relay.family)
	return True


def still_works(operation: Operation, relay: Replacement, look: Look) -> bool:
	"""By Redis' record, and by the process table where Redis has none (any more) that is certainly this worker's."""
	family = {process.pid for process in relay.family}
	its = [worker for worker in local_workers(look) if worker.pid in family]
	if any(worker.state is WorkerState.BUSY for worker in its):
		return True
	if relay.old.local_pid is None:
		return False
	is_certain = any(worker.is_recorded and worker.name not in look.local.doubtful for worker in its)
	return not is_certain and relay.old.runs_jobs and bool(operation.bench.host.horses(relay.old.local_pid))


def relays_for(
	operation: Operation, processes: Iterable[Process], how: Farewell = Farewell.STOP
) -> list[Replacement]:
	"""Begun at once, and noted in the report."""
	relays = relays_of(operation, processes, farewell=how)
	give_orders(operation.bench, relays)
	return relays


def relays_of(operation: Operation, processes: Iterable[Process], **how) -> list[Replacement]:
	"""Noted in the report; the manager knows nothing of it yet. `how`: as a Relay takes it."""
	relays = [Replacement(process, operation.bench, operation.emit, **how) for process in processes]
	operation.report.processes += [relay.change for relay in relays]
	return relays


def restart_idle(operation: Operation) -> tuple[list[Replacement], list[Replacement]]:
	"""
	Everything but busy workers is restarted; those are asked to leave when their job is done. Under the fence: they
	pop nothing more. Returns the relays of the former and of the latter.
	"""
	operation.enter(Phase.RESTART)
	with nobody_left_down(operation, operation.held):
		at_work, others = split_busy(operation, operation.plan.restart)
		watch(operation, others)
		lingering = relays_for(operation, at_work, Farewell.TERM)
		prompt = begin(operation, others)
	see_down(operation, prompt)
	return prompt, lingering


def split_busy(operation: Operation, processes: Iterable[Process]) -> tuple[list[Process], list[Process]]:
	"""As they are now: workers that may be at work, and all others."""
	processes, busy = as_they_are(operation, processes), busy_pids(operation)
	at_work = [process for process in processes if is_busy(operation, process, busy)]
	return at_work, [process for process in processes if process not in at_work]


def busy_pids(operation: Operation) -> set[int]:
	workers = local_workers(operation.look())
	return {worker.pid for worker in workers if worker.state is not WorkerState.SUSPENDED}


def is_busy(operation: Operation, process: Process, busy: set[int]) -> bool:
	"""A worker-pool is busy when any of its children is."""
	if not process.runs_jobs or process.local_pid is None:
		return False
	return bool(busy & {member.pid for member in operation.bench.host.family(process.local_pid)})


def hand_on(operation: Operation, relays: list[Replacement], patience: Patience) -> bool:
	return operation.wait(lambda: pass_on(operation, relays), patience)


def pass_on(operation: Operation, relays: list[Replacement]) -> bool:
	"""Let every relay see how its process stands. True when no old worker can run a job any more."""
	follow(operation, relays)
	return all(relay.leg is not Stage.STOPPING and not is_worker_left(operation, relay) for relay in relays)


def is_worker_left(operation: Operation, relay: Replacement) -> bool:
	counts = relay.keeps_down or relay.old.runs_jobs
	return counts and bool(operation.bench.host.alive(relay.family))


def follow(operation: Operation, relays: list[Replacement]) -> None:
	processes = {process.name: process for process in listed(operation)}
	if not processes:
		return  # nobody would hear an order either
	for relay in relays:
		if relay.old.name in processes:
			relay.follow(processes[relay.old.name])
	away = operation.away_since
	give_orders(operation.bench, [relay for relay in relays if relay.old.manager not in away])
	for relay in relays:
		if not relay.is_settled and is_gone(operation, relay.old.manager):
			give_up(operation, relay)


def is_gone(operation: Operation, manager: str) -> bool:
	since = operation.away_since.get(manager)
	return since is not None and operation.bench.clock.now() - since > MANAGER_RETURNS


def give_up(operation: Operation, relay: Replacement) -> None:
	"""Its manager alone could start it. The processes of the others are restarted all the same."""
	processes = operation.bench.processes
	relay.fail(f"its process manager ({relay.old.manager}) has not answered for {MANAGER_RETURNS:.0f} s")
	relay.remedy = (
		f"When that process manager answers again, type: {processes.start_command([relay.old.name])}."
		" Then type bench safe-restart again."
	)


def listed(operation: Operation) -> list[Process]:
	"""Of the managers that answer. Raises ProcessFault where none of them has answered for too long."""
	survey = operation.bench.processes.survey()
	note_away(operation, survey)
	if survey.away and not survey.processes and all(is_gone(operation, name) for name in survey.away):
		raise next(iter(survey.away.values()))
	operation.note_managed(survey)
	return survey.processes


def note_away(operation: Operation, survey: Survey) -> None:
	"""Since when each of those managers does not answer; told once each time."""
	now, before = operation.bench.clock.now(), operation.away_since
	for name in survey.away.keys() - before.keys():
		operation.emit(events.ManagerAway(str(survey.away[name])))
	operation.away_since = {name: before.get(name, now) for name in survey.away}
