"""
The gate before each point of no return. Only leases guard what was seen before: an operation that was stopped meanwhile
(a paused machine, SIGSTOP) may have lost them, and then jobs have started.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from fmx_restart.engine.options import DRAINING
from fmx_restart.engine.steps.drain import see_drained
from fmx_restart.engine.steps.park import see_parked
from fmx_restart.engine.waiting import Outage, Patience

if TYPE_CHECKING:
	from fmx_restart.engine.operation import Operation

REDIS_RETURNS = Patience(timeout=Outage.LONGEST, poll=0.2)


def pass_gate(operation: Operation) -> None:
	"""
	Lock and fence are renewed now. Where the fence had lapsed, workers are parked, and drained where the strategy drains,
	once more. Raises LockLost; DrainTimeout when jobs do not end in time; QueueUnreachable; Interrupted. Everything can
	still be undone then.
	"""
	while not is_guarded(operation):
		operation.fence_stood = True
		if operation.options.strategy in DRAINING:
			see_drained(operation)
		else:
			see_parked(operation)


def is_guarded(operation: Operation) -> bool:
	"""No worker could have taken a job since every one was seen parked or at work."""
	operation.wait(lambda: operation.keep_alive(now=True) or True, REDIS_RETURNS)
	return operation.fence_stood or not operation.is_fenced
