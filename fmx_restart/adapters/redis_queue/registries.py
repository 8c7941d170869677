"""How much stands in RQ's registries of ended jobs, counted without moving anything."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from redis import Redis
from rq.registry import FailedJobRegistry, FinishedJobRegistry

from fmx_restart.adapters.redis_queue.border import redis_border

MINUTE = 60.0


def failed_counts(connection: Redis, bench_id: str, queues: Iterable[str]) -> dict[str, int]:
	"""Queue → failed jobs that RQ still keeps. One round trip."""
	names = list(queues)
	with redis_border():
		pipe = connection.pipeline(transaction=False)
		for name in names:
			pipe.zcard(FailedJobRegistry.key_template.format(f"{bench_id}:{name}"))
		return dict(zip(names, pipe.execute(), strict=True))


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
					key = registry.key_template.format(f"{bench_id}:{name}")
					pipe.zcount(key, begin, f"({begin + MINUTE}")
		counts = pipe.execute()
	size = len(names)
	sums = (
		[sum(counts[at : at + size]) for at in range(0, len(counts), size)] if size else [0] * 2 * len(wanted)
	)
	return {minute: (sums[2 * at], sums[2 * at + 1]) for at, minute in enumerate(wanted)}
