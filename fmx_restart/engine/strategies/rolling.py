"""
Web and scheduler at once, then the workers one at a time (or a share of them), each when it is free. Nothing is fenced:
the queue never stands still.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from fmx_restart.engine.phases import Phase
from fmx_restart.engine.ports import ProcessKind
from fmx_restart.engine.steps.audit import audit, close_ledger_on_the_move, open_ledger
from fmx_restart.engine.steps.last_look import last_look
from fmx_restart.engine.steps.preflight import preflight
from fmx_restart.engine.steps.restart import restart_all
from fmx_restart.engine.steps.roll import refuse_pools, roll
from fmx_restart.engine.steps.verify import verify

if TYPE_CHECKING:
	from fmx_restart.engine.operation import Operation


def rolling(operation: Operation) -> None:
	preflight(operation)
	workers = [process for process in operation.plan.restart if process.kind is ProcessKind.WORKER]
	refuse_pools(operation, workers)
	last_look(operation)
	open_ledger(operation)
	others = restart_all(operation, [process for process in operation.plan.restart if process not in workers])
	verify(operation, others)
	operation.enter(Phase.HANDOVER)
	relays = roll(operation, workers)
	close_ledger_on_the_move(operation)
	audit(operation, [*others, *relays])
