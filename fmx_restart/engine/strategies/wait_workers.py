"""
Fence, park, drain, stop old workers and migrate where that was asked for, restart, lift the fence, verify, audit. The safe one.

The fence is lifted when the last old worker is gone, not when the new ones are verified: nobody is left who
could run a job with old code, and new workers that find no fence begin at once instead of a poll later.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from fmx_restart.engine.steps.audit import audit
from fmx_restart.engine.steps.drain import drain
from fmx_restart.engine.steps.judge_migrations import migrations_judged
from fmx_restart.engine.steps.last_look import last_look
from fmx_restart.engine.steps.migrate import migrate_then
from fmx_restart.engine.steps.preflight import preflight
from fmx_restart.engine.steps.restart import restart
from fmx_restart.engine.steps.verify import verify
from fmx_restart.engine.strategies.under_fence import under_fence

if TYPE_CHECKING:
	from fmx_restart.engine.operation import Operation


def wait_workers(operation: Operation) -> None:
	preflight(operation)
	with migrations_judged(operation):
		with under_fence(operation):
			drain(operation)
			last_look(operation)
			relays = migrate_then(operation, lambda: restart(operation))
		verify(operation, relays)
		audit(operation, relays)
