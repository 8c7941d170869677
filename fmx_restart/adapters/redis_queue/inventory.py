"""Which job stands where: read in one transaction. And the way back for jobs that were lost by a worker."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from itertools import islice

from redis import Redis, ResponseError
from rq import registry

from fmx_restart.adapters.redis_queue import keys
from fmx_restart.adapters.redis_queue.look import instant, text
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
CHUNK = 1000  # job hashes asked for in one round trip

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
	def __init__(self, connection: Redis, bench_id: str) -> None:
		self.connection, self.prefix = connection, f"{bench_id}:"
		self._put_back = connection.register_script(PUT_BACK)

	def inventory(self) -> Inventory:
		pipe = self.connection.pipeline(transaction=True)
		places = [place for queue in self.queues() for place in self._ask(pipe, queue)]
		pipe.time()
		*lists, (seconds, microseconds) = pipe.execute()
		found: dict[str, Place] = {}
		order = [*(place for place, _ in REGISTRIES), Place.STRANDED, Place.WAITING]
		for place, members in sorted(zip(places, lists, strict=True), key=lambda pair: order.index(pair[0])):
			found.update((id, place) for id in ids(place, members))
		return Inventory(int(seconds) + int(microseconds) / 1e6, found)

	def statuses(self, ids: Iterable[str]) -> dict[str, str | None]:
		return {id: status for id, (status, *_) in self.hashes(ids, "status")}

	def unlisted(self, listed: Collection[str]) -> dict[str, float]:
		"""SCAN, never KEYS; only hashes that are not in `listed` are asked for."""
		stem = len(keys.JOB_PREFIX)
		scan = self.connection.scan_iter(match=keys.JOB_PREFIX + "*", count=CHUNK)
		names = (text(key)[stem:] for key in scan)
		unknown = (id for id in names if id not in listed and not keys.is_wake(id))
		found = {}
		for id, (status, origin, enqueued) in self.hashes(unknown, "status", "origin", "enqueued_at"):
			if status == "queued" and (origin or "").startswith(self.prefix):
				found[id] = instant(enqueued or "") or 0.0
		return found

	def put_back(self, ids: Iterable[str]) -> list[str]:
		"""The last one pushed stands first, so they go in backwards."""
		returned = []
		for id, (origin,) in reversed(list(self.hashes(ids, "origin"))):
			queue = keys.QUEUE_PREFIX + (origin or "")
			names = [keys.job_key(id), queue, f"{queue}:intermediate", keys.QUEUES]
			if origin and self._put_back(keys=names, args=[id]):
				returned.append(id)
		return returned

	def queues(self) -> list[str]:
		start = keys.QUEUE_PREFIX + self.prefix
		members = (text(key) for key in self.connection.smembers(keys.QUEUES))
		return sorted(key[len(keys.QUEUE_PREFIX) :] for key in members if key.startswith(start))

	@staticmethod
	def _ask(pipe, queue: str) -> Iterator[Place]:
		for place, kind in REGISTRIES:
			pipe.zrange(kind.key_template.format(queue), 0, -1)
			yield place
		pipe.lrange(f"{keys.QUEUE_PREFIX}{queue}:intermediate", 0, -1)
		yield Place.STRANDED
		pipe.lrange(keys.QUEUE_PREFIX + queue, 0, -1)
		yield Place.WAITING

	def hashes(self, ids: Iterable[str], *fields: str) -> Iterator[tuple[str, list[str | None]]]:
		"""Fields of job hashes, CHUNK at a time. Other keys below rq:job: (…:dependents) are passed over."""
		ids = iter(ids)
		while chunk := list(islice(ids, CHUNK)):
			pipe = self.connection.pipeline(transaction=False)
			for id in chunk:
				pipe.hmget(keys.job_key(id), fields)
			for id, values in zip(chunk, pipe.execute(raise_on_error=False), strict=True):
				if type(values) is ResponseError:  # the wrong type of key
					continue
				if isinstance(values, Exception):
					raise values
				yield id, [None if value is None else value.decode() for value in values]


def ids(place: Place, members: list[bytes]) -> Iterator[str]:
	for member in members:
		id = keys.started_id(text(member)) if place is Place.RUNNING else text(member)
		if not keys.is_wake(id):
			yield id
