"""Which job stands where: read in one transaction. And the way back for jobs that were lost by a worker."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator

from redis import Redis
from redis.client import Pipeline
from rq import registry

from fmx_restart.adapters.redis_queue import keys
from fmx_restart.adapters.redis_queue.hashes import hashes
from fmx_restart.adapters.redis_queue.records import ODD_TYPE, Record, Unreadable, of_its_type, raw, text
from fmx_restart.engine.ports import Inventory, Place

#: Weakest first: an id that stands in several lists counts for the last of them.
REGISTRIES = (
	(Place.CANCELED, registry.CanceledJobRegistry),
	(Place.LATER, registry.DeferredJobRegistry),
	(Place.LATER, registry.ScheduledJobRegistry),
	(Place.FAILED, registry.FailedJobRegistry),
	(Place.FINISHED, registry.FinishedJobRegistry),
	(Place.RUNNING, registry.StartedJobRegistry),
)
CHUNK = 1000  # keys of one SCAN

#: KEYS: the job's hash, its queue, the queue's intermediate list, rq:queues. ARGV: the job's id.
#: Pushes only what is still a ghost at this instant, so nobody can be put back twice.
PUT_BACK = """
if redis.call('HGET', KEYS[1], 'status') ~= 'queued' then return 0 end
if redis.call('LPOS', KEYS[2], ARGV[1]) then return 0 end
redis.call('LREM', KEYS[3], 0, ARGV[1])
redis.call('SADD', KEYS[4], KEYS[2])
redis.call('LPUSH', KEYS[2], ARGV[1])
return 1
"""


class Stock:
	def __init__(self, connection: Redis, bench_id: str, unreadable: Unreadable | None = None) -> None:
		self.connection, self.prefix = connection, f"{bench_id}:"
		self.unreadable = unreadable or Unreadable()
		self.blind: set[str] = (
			set()
		)  # queues of which a list could not be read: a job that is in none may be in that one
		self._put_back = connection.register_script(PUT_BACK)

	def inventory(self) -> Inventory:
		queues = self.queues()
		pipe = self.connection.pipeline(transaction=True)
		asked = [(place, queue) for queue in queues for place in self.ask_for_lists(pipe, queue)]
		pipe.time()
		*lists, (seconds, microseconds) = pipe.execute(raise_on_error=False)
		found: dict[str, Place] = {}
		order = [*(place for place, _ in REGISTRIES), Place.STRANDED, Place.WAITING]
		pairs = sorted(zip(asked, lists, strict=True), key=lambda pair: order.index(pair[0][0]))
		for (place, queue), members in pairs:
			found.update((id, place) for id in ids(place, self.readable(queue, place, members)))
		return Inventory(int(seconds) + int(microseconds) / 1e6, found)

	def readable(self, queue: str, place: Place, answer: list[bytes] | Exception) -> list[bytes]:
		"""The members of a list; none, and that is noted, where its key is of another type."""
		members = of_its_type(answer)
		if members is None:
			self.blind.add(queue)
			name = f"{queue.removeprefix(self.prefix)} ({place.value})"
			self.unreadable.note("list of a queue", name, ODD_TYPE)
		return members or []

	def statuses(self, ids: Iterable[str]) -> dict[str, str | None]:
		return {id: status for id, (status,) in self.hashes(ids, "status")}

	def unlisted(self, listed: Collection[str]) -> dict[str, float]:
		"""SCAN, never KEYS; only hashes that are not in `listed` are asked for."""
		stem = len(keys.JOB_PREFIX)
		scan = self.connection.scan_iter(match=keys.JOB_PREFIX + "*", count=CHUNK)
		names = (text(key)[stem:] for key in scan)
		unknown = (id for id in names if id not in listed and not keys.is_wake(id))
		found = {}
		for id, (status, origin, enqueued) in self.hashes(unknown, "status", "origin", "enqueued_at"):
			if status == "queued" and self.is_ours(origin):
				record = Record(self.unreadable, "job", id)
				found[id] = record.instant("enqueued_at", enqueued) or 0.0
		return found

	def is_ours(self, origin: str | None) -> bool:
		"""A job of this bench, of a queue whose lists can all be read."""
		return (origin or "").startswith(self.prefix) and origin not in self.blind

	def put_back(self, ids: Iterable[str]) -> list[str]:
		"""The last one pushed stands first, so they go in backwards."""
		returned = []
		for id, (origin,) in reversed(list(self.hashes(ids, "origin"))):
			if not origin or origin in self.blind:
				continue
			lists = [keys.queue_key(origin), keys.intermediate_key(origin), keys.QUEUES]
			if self._put_back(keys=[keys.job_key(id), *lists], args=[raw(id)]):
				returned.append(id)
		return returned

	def queues(self) -> list[str]:
		start = keys.QUEUE_PREFIX + self.prefix
		members = (text(key) for key in self.connection.smembers(keys.QUEUES))
		return sorted(key[len(keys.QUEUE_PREFIX) :] for key in members if key.startswith(start))

	@staticmethod
	def ask_for_lists(pipe: Pipeline, queue: str) -> Iterator[Place]:
		"""Each list's place, as its members are asked for."""
		for place, kind in REGISTRIES:
			pipe.zrange(keys.registry_key(kind, queue), 0, -1)
			yield place
		pipe.lrange(keys.intermediate_key(queue), 0, -1)
		yield Place.STRANDED
		pipe.lrange(keys.queue_key(queue), 0, -1)
		yield Place.WAITING

	def hashes(self, ids: Iterable[str], *fields: str) -> Iterator[tuple[str, list[str | None]]]:
		"""None for each field of a key that is gone, or that is none of RQ's hashes."""
		for id, found in hashes(self.connection, ids, fields, self.unreadable):
			yield id, [None if value is None else text(value) for value in found or [None] * len(fields)]


def ids(place: Place, members: list[bytes]) -> Iterator[str]:
	for member in members:
		id = keys.started_id(text(member)) if place is Place.RUNNING else text(member)
		if not keys.is_wake(id):
			yield id
