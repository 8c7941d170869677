"""
Fence, plain restart, lift. Nobody waits for running jobs first: each busy worker is told to stop at once and, as RQ
does, finishes its job while the others are back already; what takes longer than the force-kill time-out is killed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from fmx_restart.engine.phases import Phase
from fmx_restart.engine.steps.audit import audit, close_ledger, open_ledger
from fmx_restart.engine.steps.judge_migrations import migrations_judged
from fmx_restart.engine.steps.migrate import migrate
from fmx_restart.engine.steps.park import park
from fmx_restart.engine.steps.preflight import preflight
from fmx_restart.engine.steps.restart import restart
from fmx_restart.engine.steps.verify import verify

if TYPE_CHECKING:
	from fmx_restart.engine.operation import Operation


def suspend_rq(operation: Operation) -> None:
	preflight(operation)
	operation.enter(Phase.FENCE)
	open_ledger(operation)
	with migrations_judged(operation):
		with operation.fenced():
			park(operation)
			migrate(operation)  # only with --force: running jobs go on meanwhile
			relays = restart(operation, force_after=operation.options.force_kill_timeout)
			operation.enter(Phase.LIFT)
			operation.insist(lambda: close_ledger(operation))
		verify(operation, relays)
		audit(operation, relays)
