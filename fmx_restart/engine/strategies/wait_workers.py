"""Fence, park, drain, restart, verify, lift the fence, audit. The safe one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fmx_restart.engine.phases import Phase
from fmx_restart.engine.steps.audit import audit, close_ledger, open_ledger
from fmx_restart.engine.steps.drain import drain
from fmx_restart.engine.steps.park import park
from fmx_restart.engine.steps.preflight import preflight
from fmx_restart.engine.steps.restart import restart
from fmx_restart.engine.steps.verify import verify

if TYPE_CHECKING:
	from fmx_restart.engine.operation import Operation


def wait_workers(operation: Operation) -> None:
	preflight(operation)
	operation.enter(Phase.FENCE)
	open_ledger(operation)
	with operation.fenced():
		park(operation)
		drain(operation)
		relays = restart(operation)
		verify(operation, relays)
		operation.enter(Phase.LIFT)
		close_ledger(operation)
	operation.enter(Phase.AUDIT)
	audit(operation, relays)
