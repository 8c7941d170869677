"""
Fence, plain restart, lift. Nobody waits for running jobs first: each busy worker is told to stop at once and, as RQ
does, finishes its job while the others are back already; what takes longer than the force-kill time-out is killed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from fmx_restart.engine.steps.audit import audit
from fmx_restart.engine.steps.judge_migrations import migrations_judged
from fmx_restart.engine.steps.last_look import last_look
from fmx_restart.engine.steps.migrate import migrate_then
from fmx_restart.engine.steps.preflight import preflight
from fmx_restart.engine.steps.restart import restart
from fmx_restart.engine.steps.verify import verify
from fmx_restart.engine.strategies.under_fence import under_fence

if TYPE_CHECKING:
	from fmx_restart.engine.operation import Operation


def suspend_rq(operation: Operation) -> None:
	preflight(operation)
	with migrations_judged(operation):
		with under_fence(operation):
			last_look(operation)
			force_after = operation.options.force_kill_timeout
			# a migration only with --force: running jobs go on meanwhile
			relays = migrate_then(operation, lambda: restart(operation, force_after=force_after))
		verify(operation, relays)
		audit(operation, relays)
