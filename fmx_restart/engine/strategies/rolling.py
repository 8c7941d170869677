"""
Web and scheduler at once, then the workers one at a time (or a share of them), each when it is free. Nothing is fenced:
the queue keeps running. A process that does not come back ends it: the workers that are left stay in service.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from fmx_restart.engine.phases import Phase
from fmx_restart.engine.ports import Process, ProcessKind
from fmx_restart.engine.relay import Leg, Relay
from fmx_restart.engine.steps.audit import audit, close_ledger_on_the_move, open_ledger
from fmx_restart.engine.steps.last_look import last_look
from fmx_restart.engine.steps.preflight import preflight
from fmx_restart.engine.steps.restart import restart_all
from fmx_restart.engine.steps.roll import refuse_pools, roll, stop_rolling
from fmx_restart.engine.steps.verify import verify

if TYPE_CHECKING:
	from fmx_restart.engine.operation import Operation

ESSENTIAL = {ProcessKind.WEB, ProcessKind.SCHEDULER}


def rolling(operation: Operation) -> None:
	preflight(operation)
	workers = [process for process in operation.plan.restart if process.runs_jobs]
	refuse_pools(operation, workers)
	last_look(operation)
	open_ledger(operation)
	others = restart_all(operation, [process for process in operation.plan.restart if process not in workers])
	verify(operation, others)
	relays = roll_workers(operation, others, workers)
	close_ledger_on_the_move(operation)
	audit(operation, [*others, *relays])


def roll_workers(operation: Operation, others: list[Relay], workers: list[Process]) -> list[Relay]:
	"""No worker is touched when web or the scheduler did not come back, or too many of the other processes."""
	failed = [relay.old for relay in others if relay.leg is Leg.FAILED]
	is_essential = any(process.kind in ESSENTIAL for process in failed)
	if is_essential or len(failed) >= operation.options.rolling_max_failures:
		stop_rolling(operation, failed, workers)
		return []
	operation.enter(Phase.HANDOVER)
	return roll(operation, workers, failed_before=failed)
