"""Replacements on their way: begun, shown how their processes stand, given the next order, and never left half done."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from fmx_restart.engine import events
from fmx_restart.engine.errors import OperationError
from fmx_restart.engine.ports import Process, Survey
from fmx_restart.engine.replacement import Replacement, Stage, StopMethod, give_orders
from fmx_restart.engine.waiting import Patience, wait_until

if TYPE_CHECKING:
	from fmx_restart.engine.operation import Operation

#: gunicorn may take 30 s (--graceful-timeout); a manager kills long before this is over
STOPPING = Patience(timeout=180.0, poll=0.05)
MANAGER_RETURNS = 60.0  # seconds


def make_replacements(operation: Operation, processes: Iterable[Process], **how) -> list[Replacement]:
	"""Replacements that the report has, and that no manager was told of yet. `how`: as Replacement takes it."""
	replacements = [Replacement(process, operation.bench, operation.emit, **how) for process in processes]
	operation.report.processes += [replacement.change for replacement in replacements]
	operation.updates.note(replacements)
	return replacements


def begin_replacements(
	operation: Operation, processes: Iterable[Process], method: StopMethod = StopMethod.MANAGER
) -> list[Replacement]:
	"""Begin to replace these processes now; the report has them."""
	replacements = make_replacements(operation, processes, method=method)
	give_orders(operation.bench, replacements)
	return replacements


def follow(operation: Operation, replacements: list[Replacement]) -> None:
	"""Show each replacement how its process stands now, and give the orders that follow. Raises ProcessFault."""
	is_needed = any(replacement.needs_manager for replacement in replacements)
	processes = {process.name: process for process in listed(operation, is_needed=is_needed)}
	if not processes:
		return  # no manager would take an order either
	for replacement in replacements:
		if replacement.old.name in processes:
			replacement.follow(processes[replacement.old.name])
	away = operation.away_since
	operation.updates.follow(processes.values(), away)
	operation.request_hold.follow(replacements)
	reachable = [replacement for replacement in replacements if replacement.old.manager not in away]
	give_orders(operation.bench, operation.starts.admitted(operation.updates.admitted(reachable)))
	for replacement in replacements:
		is_lost = replacement.needs_manager and not replacement.is_settled
		if is_lost and is_gone(operation, replacement.old.manager):
			give_up(operation, replacement)


def advance(operation: Operation, replacements: list[Replacement]) -> bool:
	"""Let every replacement see how its process stands. True when no old worker can run a job any more."""
	follow(operation, replacements)
	return all(
		replacement.stage is not Stage.STOPPING and not is_worker_left(operation, replacement)
		for replacement in replacements
	)


def are_all_ordered(operation: Operation, replacements: list[Replacement]) -> bool:
	"""Let every replacement see how its process stands. True when no start waits for others any more."""
	follow(operation, replacements)
	return not operation.starts.held_back


def is_worker_left(operation: Operation, replacement: Replacement) -> bool:
	"""Whether an old process is left that could run a job, or must not meet a new schema."""
	counts = replacement.keeps_down or replacement.old.runs_jobs
	return counts and bool(operation.bench.host.alive(replacement.family))


def listed(operation: Operation, *, is_needed: bool = True) -> list[Process]:
	"""
	Processes of the managers that answer. Raises ProcessFault where none of them has answered for too long, if one is needed.
	"""
	survey = operation.bench.processes.survey()
	if not is_needed:
		return survey.processes
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
	operation.away_faults = dict(survey.away)


def is_gone(operation: Operation, manager: str) -> bool:
	"""Whether this manager has not answered for too long."""
	since = operation.away_since.get(manager)
	return since is not None and operation.bench.clock.now() - since > MANAGER_RETURNS


def give_up(operation: Operation, replacement: Replacement) -> None:
	"""Its manager alone could start it. The processes of other managers are restarted without it."""
	processes = operation.bench.processes
	manager = replacement.old.manager
	why = operation.away_faults[manager]
	replacement.fail(f"its process manager ({manager}) has not answered for {MANAGER_RETURNS:.0f} s: {why}")
	replacement.remedy = (
		f"When that process manager answers again, type: {processes.start_command([replacement.old.name])}."
		" Then type bench safe-restart again."
	)


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
	operation.starts.let_all()
	with suppress(OperationError):
		operation.updates.give_up("the operation did not come so far")
	for replacement in replacements:
		replacement.release()
	with suppress(OperationError):
		wait_until(lambda: advance(operation, replacements), STOPPING, operation.bench.clock)
