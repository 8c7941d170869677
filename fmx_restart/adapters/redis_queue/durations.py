"""How long jobs took that finished lately: what RQ keeps of them (Frappe keeps results for ten minutes)."""

from __future__ import annotations

from collections.abc import Collection
from itertools import chain
from statistics import median

from redis import Redis
from rq.registry import FinishedJobRegistry

from fmx_restart.adapters.redis_queue import keys
from fmx_restart.adapters.redis_queue.jobs import label
from fmx_restart.adapters.redis_queue.look import instant, text

NEWEST = 200  # finished jobs that are looked at, per queue


def usual_durations(connection: Redis, queues: Collection[str], methods: Collection[str]) -> dict[str, float]:
	"""Method → median seconds. Two round trips."""
	took: dict[str, list[float]] = {}
	for data, started, ended in finished_jobs(connection, queues):
		begin, end = instant(text(started)), instant(text(ended))
		method = label(data)[1] if begin and end else None
		if method in methods:
			took.setdefault(method, []).append(end - begin)
	return {method: median(seconds) for method, seconds in took.items()}


def finished_jobs(connection: Redis, queues: Collection[str]) -> list[list]:
	pipe = connection.pipeline(transaction=False)
	for queue in queues:
		pipe.zrevrange(FinishedJobRegistry.key_template.format(queue), 0, NEWEST - 1)
	for id in chain.from_iterable(pipe.execute()):
		pipe.hmget(keys.job_key(text(id)), "data", "started_at", "ended_at")
	return pipe.execute()
