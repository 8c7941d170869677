"""RQ's queues, workers and registries over Redis, as far as they belong to one bench. rq 1.15 to 2.x."""

from __future__ import annotations

from collections.abc import Collection, Iterable

from redis import Redis

from fmx_restart.adapters.redis_queue import jobs
from fmx_restart.adapters.redis_queue.connection import RETRIES_TAKE, reached_at, redis_border
from fmx_restart.adapters.redis_queue.interruptions import Interruptions
from fmx_restart.adapters.redis_queue.inventory import Stock
from fmx_restart.adapters.redis_queue.jobs import usual_durations
from fmx_restart.adapters.redis_queue.keys import worker_key
from fmx_restart.adapters.redis_queue.leases import RedisFence
from fmx_restart.adapters.redis_queue.look import Looker
from fmx_restart.adapters.redis_queue.records import Unreadable, text
from fmx_restart.adapters.redis_queue.wakes import Wakes
from fmx_restart.engine.ledger import Beat, Ids, Inventory, no_beat
from fmx_restart.engine.ports import (
	Job,
	Look,
	Pool,
	PutBack,
	Reloadable,
	Scheduler,
	Trial,
	UnreadableRecords,
	Worker,
)
from fmx_restart.worker.membership import pool_key
from fmx_restart.worker.requests import (
	LOADS,
	SCHEDULER,
	TRIALS_KEPT,
	TRY,
	TRYING,
	ask,
	of_pool,
	of_worker,
	trials_key,
	withdraw,
)
from fmx_restart.worker.scheduler import record_key


def trial_of(answer: str) -> Trial:
	"""`answer`: as it stands in the hash of trials."""
	if answer in ("", TRY, TRYING):
		return Trial(is_seen=answer == TRYING)
	return Trial(is_seen=True, is_over=True, fault="" if answer == LOADS else answer)


class RedisQueue:
	def __init__(
		self, connection: Redis, bench_id: str, operation: str, *, settled_after: float = RETRIES_TAKE
	) -> None:
		"""
		`connection` must not decode responses and should have a socket timeout. `settled_after`: seconds after a start of
		Redis until all workers are back.
		"""
		self.connection, self.bench_id, self.settled_after = connection, bench_id, settled_after
		self.odd = Unreadable()
		self._looker = Looker(connection, bench_id, self.odd)
		self._wakes = Wakes(connection, bench_id, operation)
		self._stock = Stock(connection, bench_id, self.odd)
		self._interruptions = Interruptions(connection, self.odd)

	def look(self) -> Look:
		with redis_border():
			return self._looker.look()

	def reached_at(self) -> str:
		with redis_border():
			return reached_at(self.connection, self.settled_after)

	def wake(self, workers: Collection[Worker]) -> None:
		with redis_border():
			self._wakes.send(workers)

	def ask_to_leave(self, queue: str, names: Collection[str], told: Collection[str] = ()) -> str:
		with redis_border():
			return self._wakes.send_pill(queue, names, told)

	def takers(self, pills: Iterable[str]) -> dict[str, str]:
		with redis_border():
			return self._stock.runners(pills)

	def ask_to_reload(self, whom: Collection[Reloadable]) -> None:
		with redis_border():
			for one in whom:
				ask(self.connection, self.bench_id, address(one), record=self._record_of(one))

	def _record_of(self, one: Reloadable) -> str | bytes:
		"""Its key."""
		if isinstance(one, Scheduler):
			return record_key(self.bench_id)
		return pool_key(self.bench_id, one.name) if isinstance(one, Pool) else worker_key(one.name)

	def withdraw_reloads(self, whom: Collection[Reloadable]) -> None:
		with redis_border():
			withdraw(self.connection, self.bench_id, map(address, whom))

	def ask_to_try(self, workers: Collection[Worker]) -> None:
		key = trials_key(self.bench_id)
		with redis_border():
			pipe = self.connection.pipeline().delete(key)
			pipe.hset(key, mapping={worker.name: TRY for worker in workers})
			pipe.expire(key, TRIALS_KEPT).execute()

	def trials(self, workers: Collection[Worker]) -> dict[str, Trial]:
		names = [worker.name for worker in workers]
		with redis_border():
			answers = self.connection.hmget(trials_key(self.bench_id), names)
		return {name: trial_of(text(answer or b"")) for name, answer in zip(names, answers, strict=True)}

	def ask_scheduler_to_reload(self) -> str:
		with redis_border():
			key = record_key(self.bench_id)
			pid, host = (text(value or b"") for value in self.connection.hmget(key, "pid", "hostname"))
			if not pid:
				return ""
			ask(self.connection, self.bench_id, SCHEDULER, record=key)
			return f"pid {pid} on {host}"

	def recall(self) -> int:
		with redis_border():
			return self._wakes.recall()

	def describe(self, ids: Iterable[str]) -> dict[str, Job]:
		with redis_border():
			return jobs.describe(self.connection, self.bench_id, ids, self.odd)

	def usual_durations(self, methods: Collection[str]) -> dict[str, float]:
		with redis_border():
			return usual_durations(self.connection, self._stock.queues(), methods)

	def inventory(self, beat: Beat = no_beat) -> Inventory:
		with redis_border():
			return self._stock.inventory(beat)

	def unreadable(self) -> UnreadableRecords:
		return self.odd.summary()

	def statuses(self, ids: Iterable[str], beat: Beat = no_beat) -> dict[str, str | None]:
		with redis_border():
			return self._stock.statuses(ids, beat)

	def hashes(self, beat: Beat = no_beat) -> Ids:
		with redis_border():
			return self._stock.hashes(beat)

	def queued(self, ids: Iterable[str], beat: Beat = no_beat) -> dict[str, float]:
		with redis_border():
			return self._stock.queued(ids, beat)

	def put_back(self, ids: Iterable[str], fence: RedisFence, beat: Beat = no_beat) -> PutBack:
		with redis_border():
			return self._stock.put_back(ids, fence, beat)

	def fail(self, ids: Iterable[str], reason: str) -> None:
		with redis_border():
			self._interruptions.fail(ids, reason)

	def requeue(self, ids: Iterable[str], reason: str) -> list[str]:
		with redis_border():
			return self._interruptions.requeue(ids, reason)


def address(one: Reloadable) -> str:
	"""Under which it looks for requests."""
	if isinstance(one, Scheduler):
		return SCHEDULER
	return of_pool(one.name) if isinstance(one, Pool) else of_worker(one.name)
