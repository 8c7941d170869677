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
from fmx_restart.adapters.redis_queue.look import instant, text
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


def lost_jobs(connection: Redis, bench_id: str, *, most_keys: int) -> tuple[list[LostJob], bool]:
	"""
	Those that look lost at this instant; one that a worker pops just now looks so, too, until it has started. False
	when there are more than `most_keys` keys and not all of them were looked at.
	"""
	stock = Stock(connection, bench_id)
	with redis_border():
		places = stock.inventory().places
		listed = {id for id, place in places.items() if place is not Place.STRANDED}
		unlisted, seen = [], 0
		for chunk in job_ids(connection):
			seen += len(chunk)
			unlisted += [id for id in chunk if id not in listed]
			if seen >= most_keys:
				break
		return described(stock, bench_id, unlisted, places), seen < most_keys


def still_lost(connection: Redis, bench_id: str, ids: Collection[str]) -> list[LostJob]:
	"""Those of `ids` that look lost at this instant: the second look at a few."""
	stock = Stock(connection, bench_id)
	with redis_border():
		places = stock.inventory().places
		unlisted = [id for id in ids if places.get(id, Place.STRANDED) is Place.STRANDED]
		return described(stock, bench_id, unlisted, places)


def described(stock: Stock, bench_id: str, ids: Collection[str], places: dict) -> list[LostJob]:
	return [
		LostJob(id, status, origin.removeprefix(stock.prefix), instant(enqueued or "") or 0.0, id in places)
		for id, (status, origin, enqueued) in stock.hashes(ids, "status", "origin", "enqueued_at")
		if status in OPEN and (origin or "").startswith(stock.prefix)
	]


def job_ids(connection: Redis) -> Iterator[list[str]]:
	stem, cursor = len(keys.JOB_PREFIX), 0
	while True:
		cursor, names = connection.scan(cursor, match=keys.JOB_PREFIX + "*", count=CHUNK)
		ids = (text(name)[stem:] for name in names)
		yield [id for id in ids if not keys.is_wake(id)]
		if not cursor:
			return
