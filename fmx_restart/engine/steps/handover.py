"""Busy workers that were asked to leave: each is replaced when its own job ends, however long that takes."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from fmx_restart.engine import events
from fmx_restart.engine.errors import Interrupted, ProcessFault, QueueUnreachable
from fmx_restart.engine.phases import Phase
from fmx_restart.engine.plan import is_worth_naming
from fmx_restart.engine.relay import Leg, Relay
from fmx_restart.engine.steps.restart import follow
from fmx_restart.engine.steps.verify import see_up
from fmx_restart.engine.waiting import Patience

if TYPE_CHECKING:
	from fmx_restart.engine.operation import Operation

#: RQ's own limit ends a job, so this ends by itself; a job without a limit is somebody's decision
WITHOUT_END = Patience(timeout=math.inf, poll=0.2)


def hand_over(operation: Operation, lingering: list[Relay], *, all_is_well: bool) -> None:
	"""
	From here on no terminal need wait any more. Stays until the last worker is another one and has registered.
	`all_is_well`: all that is replaced already came back.
	"""
	operation.enter(Phase.HANDOVER)
	running = [operation.running[id] for id in sorted(running_ids(operation)) if id in operation.running]
	jobs = tuple(job for job in running if is_worth_naming(job, operation.bench.clock.time()))
	names = tuple(relay.old.name for relay in lingering)
	operation.emit(events.HandedOver(names, jobs, 0 if all_is_well else ProcessFault.exit_code))
	operation.wait(lambda: have_left(operation, lingering), WITHOUT_END)
	see_up(operation, lingering)


def running_ids(operation: Operation) -> set[str]:
	"""Only to name them: while Redis is away none is named, and the workers are watched all the same."""
	try:
		return {job.id for job in operation.look().started}
	except QueueUnreachable as error:
		operation.emit(events.QueueAway(str(error)))
		return set()


def have_left(operation: Operation, relays: list[Relay]) -> bool:
	"""The old process is gone, whoever starts the next one. Raises Interrupted when somebody wants no more of it."""
	if operation.stop_requested.is_set():
		left = ", ".join(relay.old.name for relay in relays if relay.leg is not Leg.UP)
		raise Interrupted(
			f"Stopped on request. {left}: each leaves when its own job ends, and nobody watches it any more.",
			hint="Look with supervisorctl status whether each has come back.",
		)
	follow(operation, relays)
	return not any(operation.bench.host.alive(relay.family[:1]) for relay in relays)
