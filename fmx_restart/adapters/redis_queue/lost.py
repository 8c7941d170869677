"""
Jobs that stand in no list: a hash says queued or started, but no queue and no registry knows the id. Looked for with
SCAN, never KEYS, and never longer than was allowed.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from redis import Redis

from fmx_restart.adapters.redis_queue.border import redis_border
from fmx_restart.adapters.redis_queue.inventory import Stock, job_ids
from fmx_restart.adapters.redis_queue.records import Record, Unreadable, raw, text
from fmx_restart.engine.places import BUCKETS, Ids, Place

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
	"""Those of them that stand in no list. The lists are read after the hashes: each job is pushed with its hash."""
	listed, stranded = Ids(), set()
	for place, ids in stock.listed():
		(stranded.update if place is Place.STRANDED else listed.add)(ids)
	unlisted = (id for n in range(BUCKETS) for id in map(text, hashes.bucket(n) - listed.bucket(n)))
	return [
		lost_job(stock, id, fields, is_stranded=raw(id) in stranded)
		for id, fields in stock.fields(unlisted, "status", "origin", "enqueued_at")
		if fields[0] in OPEN and stock.is_ours(fields[1])
	]


def lost_job(stock: Stock, id: str, fields: list[str | None], *, is_stranded: bool) -> LostJob:
	status, origin, enqueued = fields
	since = Record(stock.unreadable, "job", id).instant("enqueued_at", enqueued)
	return LostJob(id, status or "", (origin or "").removeprefix(stock.prefix), since or 0.0, is_stranded)
