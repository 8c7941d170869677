"""
A moment in which it is certain that no worker holds a job that stands in no list. A worker that has popped a job and not
started it looks idle, or busy with nothing; so idle workers are parked under the fence, as an operation does it.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from fmx_restart.adapters.machine import SystemClock
from fmx_restart.adapters.redis_queue import RedisQueue
from fmx_restart.adapters.redis_queue.keys import lock_key
from fmx_restart.adapters.redis_queue.leases import RedisFence, RedisLease
from fmx_restart.adapters.user import who_types
from fmx_restart.doctor.bench_view import OURS, BenchView
from fmx_restart.doctor.words import listed
from fmx_restart.engine.errors import DrainTimeout
from fmx_restart.engine.events import Event
from fmx_restart.engine.held import LEASE
from fmx_restart.engine.operation import Operation
from fmx_restart.engine.options import Options
from fmx_restart.engine.ports import Bench, NoWeb, ProcessManagers
from fmx_restart.engine.steps.drain import wait_until_parked
from fmx_restart.engine.strategies import operation_for


@contextmanager
def idle_moment(view: BenchView) -> Iterator[Operation]:
	"""
	An operation that holds the bench and its queues, and restarts nothing. Raises BenchBusy while another one runs,
	DrainTimeout where a worker cannot be judged; nothing was changed then.
	"""
	id, who = view.access.new_operation_id(), f"{who_types()}@{view.host.name}"
	operation = operation_for(bench_of(view, id), Options(requested_by=who), tell_nobody, id)
	operation.managed = tuple(view.managed())
	with operation.locked(), operation.fenced():
		wait_until_parked(operation)
		refuse_unanswering(operation)
		yield operation


def bench_of(view: BenchView, id: str) -> Bench:
	"""What parking needs: the queue and its leases. No program is stopped or started, so no process manager is asked."""
	return Bench(
		id=view.bench_id,
		path=str(view.path),
		queue=RedisQueue(view.connection, view.bench_id, id),
		processes=ProcessManagers({}),
		host=view.host,
		web=NoWeb(),
		lock=RedisLease(view.connection, lock_key(view.bench_id), id, seconds=LEASE),
		fence=RedisFence(view.connection, f"{OURS}{view.bench_id}:{id}", seconds=LEASE),
		clock=SystemClock(),
	)


def refuse_unanswering(operation: Operation) -> None:
	"""A restart may take a silent worker elsewhere for gone. Here a job would run twice if it is not."""
	if operation.unanswering:
		raise DrainTimeout(
			"It could not be determined whether these workers hold a job:"
			f" {listed(sorted(operation.unanswering))}. Nothing was changed.",
			hint="Their records are listed by: bench safe-restart status -v. The record of a dead worker on another machine expires within 8 minutes.",
		)


def tell_nobody(event: Event) -> None:
	"""The fix itself says what it did."""
