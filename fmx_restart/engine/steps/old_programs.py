"""
No worker and no scheduler with old code is alive while a schema changes. They are stopped when no job runs any more, and
started when the last site is done: so nothing depends on a lease meanwhile, which an operation that does not run would lose.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from fmx_restart.engine.errors import OperationError, ProcessFault, WrongEnvironment
from fmx_restart.engine.options import DRAINING
from fmx_restart.engine.plan import chosen
from fmx_restart.engine.ports import HostProcess, Process
from fmx_restart.engine.relay import Leg, Relay, give_orders
from fmx_restart.engine.steps.inspect_sites import OLD_CODE
from fmx_restart.engine.steps.restart import as_they_are, pass_on, relays_of, see_down, split_busy, start_all
from fmx_restart.engine.steps.web import watch
from fmx_restart.engine.waiting import Patience, wait_until
from fmx_restart.engine.workers import live_workers

if TYPE_CHECKING:
	from fmx_restart.engine.operation import Operation

HELD = Patience(timeout=20.0, poll=0.05)  # for what its manager brings back, and is stopped again
AFTER_KILL = Patience(timeout=5.0, poll=0.05)
STARTED = Patience(timeout=30.0, poll=0.05)


def stop_old_programs(operation: Operation) -> None:
	"""
	Everything that is restarted but web (and that too where it runs workers). Where one does not stop, or a worker is left that is not ours to stop, those that
	stopped are started again and a ProcessFault or WrongEnvironment is raised: no schema was changed.
	"""
	processes = to_stop(operation)
	watch(operation, processes)
	relays = operation.held = relays_of(operation, processes, keeps_down=True)
	try:
		give_orders(operation.bench, relays)
		see_down(operation, relays)
		keep_stopped(operation)
		check_old_workers(operation)
	except OperationError as error:
		if operation.has_lost_lock:
			raise
		raise started_again(operation, relays, error) from error
	except BaseException:
		start_all(operation, relays)
		raise


def to_stop(operation: Operation) -> list[Process]:
	"""Where nobody waited for running jobs (only with --force) those that are at work go on."""
	planned = operation.plan.restart
	others = chosen(planned, web=False, workers=True)
	processes = [process for process in planned if process.runs_jobs or process in others]
	if operation.options.strategy in DRAINING:
		return as_they_are(operation, processes)
	_, others = split_busy(operation, processes)
	return others


def keep_stopped(operation: Operation) -> None:
	"""Also before each further site. Raises LockLost; ProcessFault where one cannot be kept down."""
	operation.renew()
	relays = operation.held
	if operation.wait(lambda: is_all_down(operation, relays) or has_failed(relays), HELD) and not has_failed(
		relays
	):
		return
	if operation.fence_stood:  # it belongs to a program that is down, and runs no job
		operation.bench.host.end(left_of(operation, relays))
		wait_until(lambda: not left_of(operation, relays), AFTER_KILL, operation.bench.clock)
	if not is_all_down(operation, relays):
		raise still_alive(operation, relays)


def is_all_down(operation: Operation, relays: list[Relay]) -> bool:
	"""By the manager and by the process table."""
	return pass_on(operation, relays) and all(relay.is_held for relay in relays)


def has_failed(relays: list[Relay]) -> bool:
	return any(relay.leg is Leg.FAILED for relay in relays)


def still_alive(operation: Operation, relays: list[Relay]) -> ProcessFault:
	up = [relay for relay in relays if not relay.is_held or operation.bench.host.alive(relay.family)]
	pids = [process.pid for relay in up for process in operation.bench.host.alive(relay.family)]
	return ProcessFault(
		f"These programs did not stop, and their old code would meet the new schema:"
		f" {', '.join(relay.old.name for relay in up)} (pid {', '.join(map(str, pids)) or 'unknown'}).",
		hint="Look at what they do, e.g. py-spy dump --pid PID, stop them, and type the same command again.",
	)


def left_of(operation: Operation, relays: list[Relay]) -> list[HostProcess]:
	down = [relay for relay in relays if relay.is_held]
	return operation.bench.host.alive(member for relay in down for member in relay.family)


def check_old_workers(operation: Operation) -> None:
	"""Whoever is alive now was started since the drain, or is known and left on purpose (--force)."""
	left = [f"pid {worker.pid} on {worker.host}" for worker in live_workers(operation.look())]
	if left and not operation.options.migration.force:
		raise WrongEnvironment(
			f"Workers were started meanwhile that this restart does not replace: {', '.join(left)}.",
			hint=f"Stop them first. {OLD_CODE}",
		)
	operation.report.old_workers = left


def started_again(operation: Operation, relays: list[Relay], error: OperationError) -> OperationError:
	"""The same error, which says also what was and what was not changed."""
	start_all(operation, relays)
	wait_until(lambda: are_settled(operation, relays), STARTED, operation.bench.clock)
	operation.held = []
	up = [relay.old.name for relay in relays if relay.leg is Leg.UP]
	down = [relay.old.name for relay in relays if relay.leg is not Leg.UP]
	parts = [f"Not migrated: {error} No schema was changed, and web was not restarted."]
	parts += [f"Started again, with the code that is on the disk now: {', '.join(up)}."] if up else []
	parts += [f"Not up: {', '.join(down)}."] if down else []
	return type(error)(" ".join(parts), hint=error.hint)


def are_settled(operation: Operation, relays: list[Relay]) -> bool:
	return pass_on(operation, relays) and all(relay.is_settled for relay in relays)
