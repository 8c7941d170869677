"""Replace workers while the queue keeps running: each when its own job ends."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from fmx_restart.engine import events
from fmx_restart.engine.errors import Interrupted, ProcessFault, QueueUnreachable
from fmx_restart.engine.phases import Phase
from fmx_restart.engine.plan import is_worth_naming
from fmx_restart.engine.replacement import Replacement, Stage
from fmx_restart.engine.steps.follow import follow
from fmx_restart.engine.steps.reload import follow_reloads
from fmx_restart.engine.steps.verify import wait_until_up
from fmx_restart.engine.waiting import Patience

if TYPE_CHECKING:
	from fmx_restart.engine.operation import Operation

#: RQ's own limit ends a job, so this ends by itself; a job without a limit is someone's decision
WITHOUT_END = Patience(timeout=math.inf, poll=0.2)


def hand_over(operation: Operation, lingering: list[Replacement], *, all_is_well: bool) -> None:
	"""
	From here on no terminal has to wait any more. Stays until the last worker is another one and has registered.
	`all_is_well`: all that is replaced already came back.
	"""
	operation.enter(Phase.HANDOVER)
	running = [operation.running[id] for id in sorted(started_ids(operation)) if id in operation.running]
	jobs = tuple(job for job in running if is_worth_naming(job, operation.bench.clock.time()))
	names = tuple(replacement.old.name for replacement in lingering)
	operation.emit(events.HandedOver(names, jobs, 0 if all_is_well else ProcessFault.exit_code))
	operation.wait(lambda: have_left(operation, lingering), WITHOUT_END)
	wait_until_up(operation, lingering)


def started_ids(operation: Operation) -> set[str]:
	"""Only to name them: empty while Redis is away, and the workers are watched without."""
	try:
		return {job.id for job in operation.look().started}
	except QueueUnreachable as error:
		operation.emit(events.QueueAway(str(error)))
		return set()


def have_left(operation: Operation, replacements: list[Replacement]) -> bool:
	"""The old process is gone, whoever starts the next one. Raises Interrupted when someone asked to stop."""
	if operation.stop_requested.is_set():
		left = ", ".join(
			replacement.old.name for replacement in replacements if replacement.stage is not Stage.UP
		)
		raise Interrupted(
			f"Stopped on request. {left}: each is replaced when its own job ends, and it is no longer watched.",
			hint=f"Check that each has come back: {operation.bench.processes.status_command()}",
		)
	follow(operation, replacements)
	follow_reloads(operation, replacements)
	return not any(is_old_left(operation, replacement) for replacement in replacements)


def is_old_left(operation: Operation, replacement: Replacement) -> bool:
	"""Whether its old code may still run."""
	if not replacement.needs_manager:
		return not replacement.is_settled
	if replacement.old.host:
		return replacement.stage is Stage.STOPPING
	return bool(operation.bench.host.alive(replacement.family[:1]))
