"""
A moment in which it is certain that no worker holds a job that stands in no list. A worker that has popped a job and not
started it looks idle, or busy with nothing; so the queue is suspended, idle workers are woken, and whoever then is seen
asleep, or at work on a job that is known, holds nothing else.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

from fmx_restart.adapters.machine import SystemClock
from fmx_restart.adapters.process_table import who_types
from fmx_restart.adapters.redis_queue import RedisQueue
from fmx_restart.adapters.redis_queue.keys import lock_key
from fmx_restart.adapters.redis_queue.leases import RedisFence, RedisLease
from fmx_restart.doctor.bench_view import OURS, BenchView
from fmx_restart.doctor.words import listed, worker_name
from fmx_restart.engine.errors import BenchBusy, DrainTimeout
from fmx_restart.engine.held import BEATS_PER_LEASE, LEASE
from fmx_restart.engine.identity import Holder, describe
from fmx_restart.engine.ports import Hold, Worker, WorkerState
from fmx_restart.engine.waiting import Patience, wait_until
from fmx_restart.engine.workers import Locator, live_workers, restless

BEAT = LEASE / BEATS_PER_LEASE  # seconds between two renewals
PATIENCE = Patience(timeout=10.0, poll=0.02)
WAKE_AGAIN = 0.2  # seconds


class Held:
	"""The bench's lock and the fence, renewed a few times per lease by whoever works under them."""

	def __init__(self, view: BenchView) -> None:
		id = view.ways.new_operation_id()
		self.note, self.clock, self._next = note_of(id, view), SystemClock(), 0.0
		self.lock = RedisLease(view.connection, lock_key(view.bench_id), id, seconds=LEASE)
		self.fence = RedisFence(view.connection, f"{OURS}{view.bench_id}:{id}", seconds=LEASE)
		self.queue = RedisQueue(view.connection, view.bench_id, id)

	def take(self) -> None:
		if self.lock.hold(self.note) is Hold.FOREIGN:
			raise BenchBusy(
				f"An operation holds this bench: {describe(self.lock.holder() or '')}. Nothing was changed.",
				hint="Wait until it has ended: bench safe-restart attach.",
			)

	def beat(self) -> None:
		if self.clock.now() >= self._next:
			self.lock.hold(self.note)
			self.fence.hold(self.note)  # where someone else has suspended the queue, that does as well
			self._next = self.clock.now() + BEAT


@contextmanager
def idle_moment(view: BenchView) -> Iterator[Held]:
	"""Raises BenchBusy while an operation runs, DrainTimeout where a worker cannot be judged; nothing was changed then."""
	held = Held(view)
	held.take()
	try:
		held.beat()
		wait_for_sleep(view, held.queue)
		yield held
	finally:
		held.queue.recall()
		held.fence.release()
		held.lock.release()


def wait_for_sleep(view: BenchView, queue: RedisQueue) -> None:
	clock, woken = SystemClock(), [0.0]
	locator = Locator(view.host, queue, clock)
	unsure: list[Worker] = []

	def is_sure() -> bool:
		unsure[:] = restless(live_workers(locator.locate(queue.look(), view.managed)))
		idle = [worker for worker in unsure if worker.state is WorkerState.IDLE]
		if idle and clock.now() >= woken[0]:
			queue.wake(idle)
			woken[0] = clock.now() + WAKE_AGAIN
		return not unsure

	if not wait_until(is_sure, PATIENCE, clock):
		raise DrainTimeout(
			f"Within {PATIENCE.timeout:.0f} s it could not be determined whether these workers hold a job:"
			f" {listed([worker_name(worker) for worker in unsure])}. Nothing was changed.",
			hint="Check what they are doing: py-spy dump --pid PID. The record of a dead worker on another machine expires within 8 minutes.",
		)


def note_of(id: str, view: BenchView) -> str:
	"""For whoever finds the bench held meanwhile."""
	who = f"{who_types()}@{view.host.name}"
	me = view.host.me()
	holder = Holder(id, who, view.host.name, me.pid, "doctor --fix", time.time(), identity=me.identity)
	return holder.note()
