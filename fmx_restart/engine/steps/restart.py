"""Stop everything side by side, start each process as soon as its predecessor is down."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fmx_restart.engine.options import Strategy
from fmx_restart.engine.phases import Phase
from fmx_restart.engine.ports import ProcessKind
from fmx_restart.engine.relay import Leg, Relay
from fmx_restart.engine.steps.kill import end_jobs
from fmx_restart.engine.waiting import Patience

if TYPE_CHECKING:
	from fmx_restart.engine.operation import Operation

#: gunicorn may take 30 s (--graceful-timeout); a manager kills long before this is over
STOPPING = Patience(timeout=180.0, poll=0.05)


def restart(operation: Operation) -> list[Relay]:
	"""Returns one relay per process, each at least told to start, or marked as failed."""
	operation.enter(Phase.RESTART)
	relays = [Relay(process, operation.bench, operation.emit) for process in operation.plan.restart]
	operation.report.processes = [relay.change for relay in relays]
	if not operation.wait(lambda: pass_on(operation, relays), grace(operation)):
		end_jobs(operation, operation.options.force_kill_timeout)
		operation.wait(lambda: pass_on(operation, relays), STOPPING)
	for relay in relays:
		if relay.leg is Leg.STOPPING:
			relay.fail(f"it did not stop within {STOPPING.timeout:.0f} s")
	return relays


def grace(operation: Operation) -> Patience:
	"""Where nobody waited for the jobs before, busy workers get this long before force is used."""
	drained = operation.options.strategy is not Strategy.SUSPEND_RQ
	return STOPPING if drained else Patience(operation.options.force_kill_timeout, STOPPING.poll)


def pass_on(operation: Operation, relays: list[Relay]) -> bool:
	"""Let every relay see how its process stands. True when no old worker can run a job any more."""
	follow(operation, relays)
	return all(relay.leg is not Leg.STOPPING and not is_worker_left(operation, relay) for relay in relays)


def is_worker_left(operation: Operation, relay: Relay) -> bool:
	return relay.old.kind is ProcessKind.WORKER and bool(operation.bench.host.alive(relay.family))


def follow(operation: Operation, relays: list[Relay]) -> None:
	processes = {process.name: process for process in operation.bench.processes.list()}
	for relay in relays:
		if relay.old.name in processes:
			relay.follow(processes[relay.old.name])
