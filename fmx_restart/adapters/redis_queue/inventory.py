"""Which job stands where, read page by page, and which jobs stand nowhere."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from typing import Any

from redis import Redis
from rq import registry

from fmx_restart.adapters.redis_queue import keys
from fmx_restart.adapters.redis_queue.connection import redis_border
from fmx_restart.adapters.redis_queue.ghosts import PUT_BACK, REFUSED, WayBack
from fmx_restart.adapters.redis_queue.jobs import chunks, hashes
from fmx_restart.adapters.redis_queue.leases import RedisFence
from fmx_restart.adapters.redis_queue.records import ODD_TYPE, Record, Unreadable, of_its_type, raw, text
from fmx_restart.engine.frozen import frozen
from fmx_restart.engine.ledger import BUCKETS, Beat, Ids, Inventory, Place, Places, no_beat
from fmx_restart.engine.ports import PutBack
from fmx_restart.worker.claims import claims_key, read_claims
from fmx_restart.worker.owners import is_gone

PAGE = 2000  # ids read at once: Redis serves others in between
SCANNED = 1000  # keys of one SCAN
WAKE = keys.WAKE_PREFIX.encode()
REGISTRIES = (
	(Place.FINISHED, registry.FinishedJobRegistry),
	(Place.FAILED, registry.FailedJobRegistry),
	(Place.CANCELED, registry.CanceledJobRegistry),
	(Place.LATER, registry.ScheduledJobRegistry),
	(Place.LATER, registry.DeferredJobRegistry),
)


class List:
	"""
	A list of Redis, read from its end: workers take from its beginning, so what they take shifts nothing, and what is
	appended only shows some ids twice. Who removes ids from the middle meanwhile may keep us from seeing a few others; whoever
	misses one asks Redis for it by name.
	"""

	def __init__(self, key: bytes) -> None:
		self.key, self.read = key, 0

	def ask(self, connection: Redis) -> None:
		"""
		Ask for the next page of a list, from its tail: what is pushed meanwhile moves nothing that is still to be read.
		"""
		connection.lrange(self.key, -self.read - PAGE, -self.read - 1)

	def take(self, answer: list[bytes]) -> tuple[list[bytes], bool]:
		"""Its members, and whether there may be more."""
		self.read += len(answer)
		return answer, len(answer) == PAGE


class Registry:
	"""A sorted set. Redis promises that a scan shows every member that is there all the while."""

	def __init__(self, key: bytes) -> None:
		self.key, self.cursor = key, 0

	def ask(self, connection: Redis) -> None:
		"""Ask for the next page of a sorted set. A member that moves meanwhile may come twice."""
		connection.zscan(self.key, self.cursor, count=PAGE)

	def take(self, answer: tuple[int, list[tuple[bytes, float]]]) -> tuple[list[bytes], bool]:
		self.cursor, members = answer
		return [member for member, _ in members], bool(self.cursor)


class Stock:
	def __init__(self, connection: Redis, bench_id: str, unreadable: Unreadable | None = None) -> None:
		self.connection, self.prefix = connection, f"{bench_id}:"
		self.unreadable = unreadable or Unreadable()
		#: queues of which a list could not be read: a job that is in none may be in that one
		self.blind: set[str] = set()
		self._put_back = connection.register_script(PUT_BACK)

	def inventory(self, beat: Beat = no_beat) -> Inventory:
		seconds, microseconds = self.connection.time()
		places = Places()
		for place, ids in self.listed(beat):
			places.add(place, ids)
		return Inventory(seconds + microseconds / 1e6, places)

	def listed(self, beat: Beat = no_beat) -> Iterator[tuple[Place, list[bytes]]]:
		"""
		All ids in lists and registries, along the way that jobs take, so that one that moves meanwhile is seen where it came
		from or where it went to.
		"""
		queues = self.queues()
		waiting = [(Place.WAITING, queue, List(keys.queue_key(queue))) for queue in queues]
		stranded = [(Place.STRANDED, queue, List(keys.intermediate_key(queue))) for queue in queues]
		started = [
			(Place.RUNNING, queue, self._registry(registry.StartedJobRegistry, queue)) for queue in queues
		]
		others = [
			(place, queue, self._registry(kind, queue)) for place, kind in REGISTRIES for queue in queues
		]
		for lists in (waiting, stranded, started, others):
			yield from self._members(lists, beat)

	def _members(
		self, lists: Sequence[tuple[Place, str, List | Registry]], beat: Beat
	) -> Iterator[tuple[Place, list[bytes]]]:
		"""One page of each in one round trip, then the next page of those that have more."""
		while lists:
			beat()
			pipe = self.connection.pipeline(transaction=False)
			for _, _, one in lists:
				one.ask(pipe)
			longer = []
			for (place, queue, one), answer in zip(lists, pipe.execute(raise_on_error=False), strict=True):
				members, has_more = self._readable(queue, place, one, answer)
				if has_more:
					longer.append((place, queue, one))
				yield place, ids(place, members)
			lists = longer

	def _readable(
		self, queue: str, place: Place, one: List | Registry, answer: Any
	) -> tuple[list[bytes], bool]:
		"""The members of a list; none, and that is noted, where its key is of another type."""
		entries = of_its_type(answer)
		if entries is not None:
			return one.take(entries)
		self.blind.add(queue)
		name = f"{queue.removeprefix(self.prefix)} ({place.value})"
		self.unreadable.note("list of a queue", name, ODD_TYPE)
		return [], False

	@staticmethod
	def _registry(kind: type[registry.BaseRegistry], queue: str) -> Registry:
		return Registry(keys.registry_key(kind, queue))

	def hashes(self, beat: Beat = no_beat) -> Ids:
		"""SCAN, never KEYS."""
		ids = Ids()
		for names in job_ids(self.connection):
			beat()
			ids.add(names)
		return ids

	def statuses(self, ids: Iterable[str], beat: Beat = no_beat) -> dict[str, str | None]:
		return {id: status for id, (status,) in self.fields(ids, "status", beat=beat)}

	def runners(self, ids: Iterable[str]) -> dict[str, str]:
		"""Of those that run now the name of the worker."""
		answers = self.fields(ids, "status", "worker_name")
		return {id: worker for id, (status, worker) in answers if status == "started" and worker}

	def queued(self, ids: Iterable[str], beat: Beat = no_beat) -> dict[str, float]:
		instants = {}
		for id, (status, origin, enqueued) in self.fields(ids, "status", "origin", "enqueued_at", beat=beat):
			if status == "queued" and self.is_ours(origin):
				record = Record(self.unreadable, "job", id)
				instants[id] = record.instant("enqueued_at", enqueued) or 0.0
		return instants

	def is_ours(self, origin: str | None) -> bool:
		"""A job of this bench, of a queue whose lists can all be read."""
		return (origin or "").startswith(self.prefix) and origin not in self.blind

	def put_back(self, ids: Iterable[str], fence: RedisFence, beat: Beat = no_beat) -> PutBack:
		"""The last one pushed stands first, so they go in backwards. After the first one that is refused all are."""
		ids = list(ids)
		outcome, way = PutBack(), WayBack(self._put_back, set(map(raw, ids)), fence, beat)
		for id, (origin,) in reversed(list(self.fields(ids, "origin", beat=beat))):
			beat()
			if not origin or origin in self.blind:
				continue
			pushed = REFUSED if outcome.refused else way.push(raw(id), origin)
			if pushed:
				(outcome.pushed if pushed > 0 else outcome.refused).append(id)
		return outcome

	def queues(self) -> list[str]:
		"""The names of this bench's queues that RQ knows, without the prefix."""
		start = keys.QUEUE_PREFIX + self.prefix
		members = (text(key) for key in self.connection.smembers(keys.QUEUES))
		return sorted(key[len(keys.QUEUE_PREFIX) :] for key in members if key.startswith(start))

	def fields(
		self, ids: Iterable[str], *names: str, beat: Beat = no_beat
	) -> Iterator[tuple[str, list[str | None]]]:
		"""Of job hashes. None for each field of a key that is gone, or that is none of RQ's hashes."""
		for chunk in chunks(ids):
			beat()
			for id, values in hashes(self.connection, chunk, names, self.unreadable):
				yield id, [None if value is None else text(value) for value in values or [None] * len(names)]


def ids(place: Place, members: list[bytes]) -> list[bytes]:
	"""The job ids of a page; wake-ups are no jobs of anybody's."""
	if place is Place.RUNNING:
		members = [raw(keys.started_id(text(member))) for member in members]
	return [member for member in members if not member.startswith(WAKE)]


def job_ids(connection: Redis) -> Iterator[list[bytes]]:
	"""Ids of all jobs that have a hash, but for wake-ups; and whatever else has a key below rq:job:."""
	stem, cursor = len(keys.JOB_PREFIX), 0
	while True:
		cursor, names = connection.scan(cursor, match=keys.JOB_PREFIX + "*", count=SCANNED)
		ids = (name[stem:] for name in names)
		yield [id for id in ids if not id.startswith(WAKE)]
		if not cursor:
			return


OPEN = {"queued", "started"}  # RQ's words for a job that is not over


@frozen
class LostJob:
	id: str
	status: str  # queued or started, as its hash says
	queue: str  # without the bench's prefix
	enqueued: float  # seconds since the epoch; 0 where the hash does not tell
	is_stranded: bool  # its id lies in RQ's intermediate list


def lost_jobs(
	connection: Redis, bench_id: str, *, most_keys: int, unreadable: Unreadable | None = None
) -> tuple[list[LostJob], bool]:
	"""
	Those that look lost at this instant; one that a worker pops just now looks so, too, until it has started. False
	when there are more than `most_keys` keys and not all of them were examined.
	"""
	stock = Stock(connection, bench_id, unreadable)
	with redis_border():
		hashes, seen = Ids(), 0
		for names in job_ids(connection):
			hashes.add(names)
			seen += len(names)
			if seen >= most_keys:
				break
		return described(stock, hashes), seen < most_keys


def still_lost(connection: Redis, bench_id: str, ids: Collection[str]) -> list[LostJob]:
	"""Those of `ids` that look lost at this instant: the second look at a few."""
	suspects = Ids()
	suspects.add(list(map(raw, ids)))
	with redis_border():
		return described(Stock(connection, bench_id), suspects)


def described(stock: Stock, hashes: Ids) -> list[LostJob]:
	"""
	Those of them that stand in no list, and of which no living worker has the claim. The lists are read after the hashes: each
	job is pushed with its hash.
	"""
	listed, stranded = Ids(), set()
	for place, ids in stock.listed():
		(stranded.update if place is Place.STRANDED else listed.add)(ids)
	listed.add(list(claimed(stock)))
	unlisted = (id for n in range(BUCKETS) for id in map(text, hashes.bucket(n) - listed.bucket(n)))
	return [
		lost_job(stock, id, fields, is_stranded=raw(id) in stranded)
		for id, fields in stock.fields(unlisted, "status", "origin", "enqueued_at")
		if fields[0] in OPEN and stock.is_ours(fields[1])
	]


def claimed(stock: Stock) -> Iterator[bytes]:
	"""Ids of jobs that a living worker of this app has popped: it starts each, or puts it back."""
	for owner, claim in read_claims(stock.connection, claims_key(stock.prefix.removesuffix(":"))).items():
		if not is_gone(stock.connection, owner, claim):
			yield raw(claim.id)


def lost_job(stock: Stock, id: str, fields: list[str | None], *, is_stranded: bool) -> LostJob:
	"""A job that is in no list, as its hash tells of it. A time that cannot be read is 0."""
	status, origin, enqueued = fields
	since = Record(stock.unreadable, "job", id).instant("enqueued_at", enqueued)
	return LostJob(id, status or "", (origin or "").removeprefix(stock.prefix), since or 0.0, is_stranded)
