"""How long jobs took that finished lately: what RQ keeps of them (Frappe keeps results for ten minutes)."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from itertools import chain
from statistics import median

from redis import Redis
from rq.registry import FinishedJobRegistry

from fmx_restart.adapters.redis_queue import keys
from fmx_restart.adapters.redis_queue.hashes import hashes_with_data
from fmx_restart.adapters.redis_queue.jobs import label
from fmx_restart.adapters.redis_queue.records import Unreadable, instant, of_its_type, text

NEWEST = 100  # finished jobs that are looked at, per queue


def usual_durations(connection: Redis, queues: Collection[str], methods: Collection[str]) -> dict[str, float]:
	"""Method → median seconds. Three round trips."""
	took: dict[str, list[float]] = {}
	for data, begin, end in finished_jobs(connection, queues):
		method = label(data)[1] if begin and end and end >= begin else None
		if method in methods:
			took.setdefault(method, []).append(end - begin)
	return {method: median(seconds) for method, seconds in took.items()}


def finished_jobs(
	connection: Redis, queues: Collection[str]
) -> Iterator[tuple[bytes | None, float | None, float | None]]:
	"""Data, start and end of each; jobs that cannot be read say nothing about how long others take."""
	pipe = connection.pipeline(transaction=False)
	for queue in queues:
		pipe.zrevrange(keys.registry_key(FinishedJobRegistry, queue), 0, NEWEST - 1)
	found = filter(None, map(of_its_type, pipe.execute(raise_on_error=False)))
	ids = map(text, chain.from_iterable(found))
	for _, data, fields in hashes_with_data(connection, ids, ("started_at", "ended_at"), Unreadable()):
		started, ended = fields or (None, None)
		yield data, instant(text(started)), instant(text(ended))
