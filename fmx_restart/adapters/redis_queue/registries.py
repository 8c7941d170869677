"""What stands in RQ's registries of ended jobs, told without moving anything."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import chain

from redis import Redis
from redis.client import Pipeline
from rq.registry import FailedJobRegistry, FinishedJobRegistry

from fmx_restart.adapters.redis_queue import keys
from fmx_restart.adapters.redis_queue.border import redis_border
from fmx_restart.adapters.redis_queue.hashes import hashes_with_data
from fmx_restart.adapters.redis_queue.jobs import label
from fmx_restart.adapters.redis_queue.records import Unreadable, instant, of_its_type, text

MINUTE = 60.0


@dataclass(frozen=True)
class FailedJob:
	"""Why it failed stands in its traceback, which may show arguments: that is for whoever may read RQ Job."""

	id: str
	site: str
	method: str
	queue: str
	ended: float | None  # seconds since the epoch


def failed_counts(connection: Redis, bench_id: str, queues: Iterable[str]) -> dict[str, int]:
	"""Queue → failed jobs that RQ still keeps. One round trip."""
	names = list(queues)
	with redis_border():
		pipe = connection.pipeline(transaction=False)
		for name in names:
			pipe.zcard(keys.registry_key(FailedJobRegistry, f"{bench_id}:{name}"))
		counts = [of_its_type(answer) or 0 for answer in pipe.execute(raise_on_error=False)]
		return dict(zip(names, counts, strict=True))


def newest_failed(connection: Redis, bench_id: str, queues: Iterable[str], most: int) -> list[FailedJob]:
	"""Of all these queues, the newest first. Three round trips."""
	with redis_border():
		pipe = connection.pipeline(transaction=False)
		for name in queues:
			pipe.zrevrange(keys.registry_key(FailedJobRegistry, f"{bench_id}:{name}"), 0, most - 1)
		ids = [text(id) for id in chain.from_iterable(filled(pipe))]
		found = list(hashes_with_data(connection, ids, ("origin", "ended_at"), Unreadable()))
	jobs = [
		FailedJob(id, *label(data), text(fields[0]).removeprefix(f"{bench_id}:"), instant(text(fields[1])))
		for id, data, fields in found
		if fields and fields[0]
	]
	return sorted(jobs, key=lambda job: job.ended or 0.0, reverse=True)[:most]


def filled(pipe: Pipeline) -> Iterator[list]:
	"""The answers, without those of keys that are of another type."""
	return filter(None, map(of_its_type, pipe.execute(raise_on_error=False)))


def ended_per_minute(
	connection: Redis,
	bench_id: str,
	queues: Iterable[str],
	minutes: Iterable[float],
	ttls: Mapping[str, float],
) -> dict[float, tuple[int, int]]:
	"""
	Minute (its beginning, seconds since the epoch) → jobs that finished and failed in it. RQ orders a registry by when it
	forgets a job: its end plus `ttls` ("finished", "failed", seconds). A job with a time of its own is counted elsewhere.
	"""
	names, wanted = list(queues), list(minutes)
	registries = {"finished": FinishedJobRegistry, "failed": FailedJobRegistry}
	with redis_border():
		pipe = connection.pipeline(transaction=False)
		for minute in wanted:
			for kind, registry in registries.items():
				begin = minute + ttls[kind]
				for name in names:
					key = keys.registry_key(registry, f"{bench_id}:{name}")
					pipe.zcount(key, begin, f"({begin + MINUTE}")
		counts = [of_its_type(answer) or 0 for answer in pipe.execute(raise_on_error=False)]
	size = len(names)
	sums = (
		[sum(counts[at : at + size]) for at in range(0, len(counts), size)] if size else [0] * 2 * len(wanted)
	)
	return {minute: (sums[2 * at], sums[2 * at + 1]) for at, minute in enumerate(wanted)}
