"""
Web, scheduler and idle workers at once; each busy worker is replaced when its own job ends. The fence stands only while
idle workers are being replaced. From then on the operation goes on in the background.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from fmx_restart.engine.relay import Leg
from fmx_restart.engine.steps.audit import audit
from fmx_restart.engine.steps.handover import hand_over
from fmx_restart.engine.steps.judge_migrations import migrations_judged
from fmx_restart.engine.steps.last_look import last_look
from fmx_restart.engine.steps.migrate import migrate_then
from fmx_restart.engine.steps.preflight import preflight
from fmx_restart.engine.steps.restart import restart_idle
from fmx_restart.engine.steps.verify import verify
from fmx_restart.engine.strategies.under_fence import under_fence

if TYPE_CHECKING:
	from fmx_restart.engine.operation import Operation


def no_wait_workers(operation: Operation) -> None:
	preflight(operation)
	with migrations_judged(operation):
		with under_fence(operation):
			last_look(operation)
			# a migration only with --force: running jobs go on meanwhile
			prompt, lingering = migrate_then(operation, lambda: restart_idle(operation))
		verify(operation, prompt)
		if lingering:
			failed = any(relay.leg is Leg.FAILED for relay in prompt)
			hand_over(operation, lingering, all_is_well=not failed and not operation.report.lapses)
		audit(operation, [*prompt, *lingering])
