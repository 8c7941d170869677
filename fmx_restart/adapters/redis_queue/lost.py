"""
Jobs that stand in no list: a hash says queued or started, but no queue and no registry knows the id. Looked for with
SCAN, never KEYS, and never longer than was allowed.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from itertools import chain

from redis import Redis

from fmx_restart.adapters.redis_queue import keys
from fmx_restart.adapters.redis_queue.border import redis_border
from fmx_restart.adapters.redis_queue.inventory import REGISTRIES, Stock
from fmx_restart.adapters.redis_queue.look import instant, text

CHUNK = 2000  # keys of one SCAN
OPEN = {"queued", "started"}  # RQ's words for a job that is not over


@dataclass(frozen=True)
class LostJob:
	id: str
	status: str  # queued or started, as its hash says
	queue: str  # without the bench's prefix
	enqueued: float  # seconds since the epoch; 0 where the hash does not tell
	is_stranded: bool  # its id lies in RQ's intermediate list


def lost_jobs(connection: Redis, bench_id: str, *, most_keys: int) -> tuple[list[LostJob], bool]:
	"""
	Those that look lost at this instant; one that a worker pops just now looks so, too, until it has started. False
	when there are more than `most_keys` keys and not all of them were looked at.
	"""
	stock = Stock(connection, bench_id)
	with redis_border():
		listed, stranded = listed_ids(connection, stock.queues())
		unlisted: set[bytes] = set()
		seen = 0
		for chunk in job_ids(connection):
			seen += len(chunk)
			unlisted |= chunk - listed
			if seen >= most_keys:
				break
		return described(stock, unlisted, stranded), seen < most_keys


def still_lost(connection: Redis, bench_id: str, ids: Collection[str]) -> list[LostJob]:
	"""Those of `ids` that look lost at this instant: the second look at a few."""
	stock = Stock(connection, bench_id)
	with redis_border():
		listed, stranded = listed_ids(connection, stock.queues())
		return described(stock, {id.encode() for id in ids} - listed, stranded)


def listed_ids(connection: Redis, queues: Collection[str]) -> tuple[set[bytes], set[bytes]]:
	"""
	Ids in any queue or registry, and ids in intermediate lists, of one instant. Bytes, and sets made by the interpreter
	itself: a hundred thousand of them must not take a second.
	"""
	pipe = connection.pipeline(transaction=True)
	for queue in queues:
		pipe.lrange(keys.QUEUE_PREFIX + queue, 0, -1)
		for _, kind in REGISTRIES:
			pipe.zrange(kind.key_template.format(queue), 0, -1)
		pipe.lrange(f"{keys.QUEUE_PREFIX}{queue}:intermediate", 0, -1)
	answers = pipe.execute()
	each = len(REGISTRIES) + 2
	listed: set[bytes] = set()
	for number, ids in enumerate(answers):
		if number % each == each - 2:  # the last registry is that of started jobs
			listed.update(keys.started_id(text(id)).encode() for id in ids)
		elif number % each != each - 1:
			listed.update(ids)
	return listed, set(chain.from_iterable(answers[each - 1 :: each]))


def described(stock: Stock, unlisted: set[bytes], stranded: set[bytes]) -> list[LostJob]:
	ids = (id for id in map(text, unlisted) if not keys.is_wake(id))
	return [
		LostJob(
			id,
			status,
			origin.removeprefix(stock.prefix),
			instant(enqueued or "") or 0.0,
			id.encode() in stranded,
		)
		for id, (status, origin, enqueued) in stock.hashes(ids, "status", "origin", "enqueued_at")
		if status in OPEN and (origin or "").startswith(stock.prefix)
	]


def job_ids(connection: Redis) -> Iterator[set[bytes]]:
	stem, cursor = len(keys.JOB_PREFIX), 0
	while True:
		cursor, names = connection.scan(cursor, match=keys.JOB_PREFIX + "*", count=CHUNK)
		yield {name[stem:] for name in names}
		if not cursor:
			return
