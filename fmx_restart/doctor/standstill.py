"""
A moment in which it is certain that no worker holds a job that stands in no list. A worker that has popped a job and not
started it looks idle, or busy with nothing; so the queue is suspended, idle workers are woken, and whoever then is seen
asleep, or at work on a job that is known, holds nothing else.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

from fmx_restart.adapters.clock import SystemClock
from fmx_restart.adapters.redis_queue import RedisQueue
from fmx_restart.adapters.redis_queue.fence import RedisFence
from fmx_restart.adapters.redis_queue.keys import lock_key
from fmx_restart.adapters.redis_queue.lease import RedisLease
from fmx_restart.adapters.user_names import who_types
from fmx_restart.doctor.patient import Patient
from fmx_restart.doctor.suspension import OURS
from fmx_restart.doctor.words import listed, worker_name
from fmx_restart.engine.errors import BenchBusy, DrainTimeout
from fmx_restart.engine.holder import Holder, describe
from fmx_restart.engine.local_workers import Locator
from fmx_restart.engine.ports import Hold, Worker, WorkerState
from fmx_restart.engine.waiting import Patience, wait_until
from fmx_restart.engine.workers import live_workers, restless

LEASE = 30.0  # seconds
BEAT = LEASE / 8  # seconds between two renewals
PATIENCE = Patience(timeout=10.0, poll=0.02)
WAKE_AGAIN = 0.2  # seconds


class Held:
	"""The bench's lock and the fence, renewed a few times per lease by whoever works under them."""

	def __init__(self, patient: Patient) -> None:
		id = patient.ways.new_operation_id()
		self.note, self.clock, self._next = note_of(id, patient), SystemClock(), 0.0
		self.lock = RedisLease(patient.connection, lock_key(patient.bench_id), id, seconds=LEASE)
		self.fence = RedisFence(patient.connection, f"{OURS}{patient.bench_id}:{id}", seconds=LEASE)
		self.queue = RedisQueue(patient.connection, patient.bench_id, id)

	def take(self) -> None:
		if self.lock.hold(self.note) is Hold.FOREIGN:
			raise BenchBusy(
				f"An operation holds this bench: {describe(self.lock.holder() or '')}. Nothing was changed.",
				hint="Wait until it has ended: bench safe-restart --attach.",
			)

	def beat(self) -> None:
		if self.clock.now() >= self._next:
			self.lock.hold(self.note)
			self.fence.hold(self.note)  # where somebody else has suspended the queue, that does as well
			self._next = self.clock.now() + BEAT


@contextmanager
def standstill(patient: Patient) -> Iterator[Held]:
	"""Raises BenchBusy while an operation runs, DrainTimeout where a worker cannot be judged; nothing was changed then."""
	held = Held(patient)
	held.take()
	try:
		held.beat()
		wait_for_sleep(patient, held.queue)
		yield held
	finally:
		held.queue.recall()
		held.fence.release()
		held.lock.release()


def wait_for_sleep(patient: Patient, queue: RedisQueue) -> None:
	clock, woken = SystemClock(), [0.0]
	locator = Locator(patient.host, queue, clock)
	unsure: list[Worker] = []

	def is_sure() -> bool:
		unsure[:] = restless(live_workers(locator.locate(queue.look(), patient.managed)))
		idle = [worker for worker in unsure if worker.state is WorkerState.IDLE]
		if idle and clock.now() >= woken[0]:
			queue.wake(idle)
			woken[0] = clock.now() + WAKE_AGAIN
		return not unsure

	if not wait_until(is_sure, PATIENCE, clock):
		raise DrainTimeout(
			f"Within {PATIENCE.timeout:.0f} s nobody could tell whether these workers hold a job:"
			f" {listed([worker_name(worker) for worker in unsure])}. Nothing was changed.",
			hint="Look at what they do: py-spy dump --pid PID. A record of a dead one elsewhere ends within 8 minutes.",
		)


def note_of(id: str, patient: Patient) -> str:
	"""For whoever finds the bench held meanwhile."""
	who = f"{who_types()}@{patient.host.name}"
	me = patient.host.me()
	holder = Holder(id, who, patient.host.name, me.pid, "doctor --fix", time.time(), identity=me.identity)
	return holder.note()
