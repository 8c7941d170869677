"""
Jobs that stand in no list: a hash says queued or started, but no queue and no registry knows the id. Looked for with
SCAN, never KEYS, and never longer than was allowed.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass

from redis import Redis

from fmx_restart.adapters.redis_queue import keys
from fmx_restart.adapters.redis_queue.border import redis_border
from fmx_restart.adapters.redis_queue.inventory import Stock
from fmx_restart.adapters.redis_queue.records import Record, Unreadable, raw, text
from fmx_restart.engine.ports import Place

CHUNK = 2000  # keys of one SCAN
OPEN = {"queued", "started"}  # RQ's words for a job that is not over


@dataclass(frozen=True)
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
	when there are more than `most_keys` keys and not all of them were looked at.
	"""
	stock = Stock(connection, bench_id, unreadable)
	with redis_border():
		listed, stranded = listed_ids(stock)
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
		listed, stranded = listed_ids(stock)
		return described(stock, {raw(id) for id in ids} - listed, stranded)


def listed_ids(stock: Stock) -> tuple[set[bytes], set[bytes]]:
	"""
	Ids in any queue or registry, and ids in intermediate lists, of one instant. Bytes, and sets made by the interpreter
	itself: a hundred thousand of them must not take a second.
	"""
	pipe = stock.connection.pipeline(transaction=True)
	asked = [(queue, place) for queue in stock.queues() for place in stock.ask_for_lists(pipe, queue)]
	answers = pipe.execute(raise_on_error=False) if asked else []
	listed: set[bytes] = set()
	stranded: set[bytes] = set()
	for (queue, place), answer in zip(asked, answers, strict=True):
		members = stock.readable(queue, place, answer)
		if place is Place.RUNNING:
			listed.update(raw(keys.started_id(text(member))) for member in members)
		else:
			(stranded if place is Place.STRANDED else listed).update(members)
	return listed, stranded


def described(stock: Stock, unlisted: set[bytes], stranded: set[bytes]) -> list[LostJob]:
	ids = (id for id in map(text, unlisted) if not keys.is_wake(id))
	return [
		LostJob(
			id,
			status,
			origin.removeprefix(stock.prefix),
			Record(stock.unreadable, "job", id).instant("enqueued_at", enqueued) or 0.0,
			raw(id) in stranded,
		)
		for id, (status, origin, enqueued) in stock.hashes(ids, "status", "origin", "enqueued_at")
		if status in OPEN and stock.is_ours(origin)
	]


def job_ids(connection: Redis) -> Iterator[set[bytes]]:
	stem, cursor = len(keys.JOB_PREFIX), 0
	while True:
		cursor, names = connection.scan(cursor, match=keys.JOB_PREFIX + "*", count=CHUNK)
		yield {name[stem:] for name in names}
		if not cursor:
			return
