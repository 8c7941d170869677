"""Numbers of a bench's queues for a monitoring system: two round trips, whatever waits."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence

from redis import Redis
from rq.registry import FailedJobRegistry

from fmx_restart.adapters.redis_queue import keys
from fmx_restart.adapters.redis_queue.connection import redis_border
from fmx_restart.adapters.redis_queue.records import instant, of_its_type, text
from fmx_restart.engine.frozen import frozen
from fmx_restart.worker.claims import claims_key, parsed

ASKED = 3  # questions about each queue in the first round trip


@frozen
class QueueGauge:
	"""`oldest`: when the job at the head was enqueued, in seconds since the epoch; None for an empty queue, or if unknown."""

	name: str  # without the bench's prefix
	failed: int
	stranded: int  # in RQ's intermediate list: popped by a worker, and not started yet
	oldest: float | None


def queue_gauges(
	connection: Redis, bench_id: str, queues: Collection[str]
) -> tuple[list[QueueGauge], dict[str, int]]:
	"""The queues, and the claims of this app's workers by their state. A key of another type counts as empty."""
	names = list(queues)
	with redis_border():
		pipe = connection.pipeline(transaction=False)
		for name in names:
			full = f"{bench_id}:{name}"
			pipe.zcard(keys.registry_key(FailedJobRegistry, full))
			pipe.llen(keys.intermediate_key(full))
			pipe.lindex(keys.queue_key(full), 0)
		pipe.hvals(claims_key(bench_id))
		*answers, claims = [of_its_type(answer) for answer in pipe.execute(raise_on_error=False)]
		parts = [answers[start : start + ASKED] for start in range(0, len(answers), ASKED)]
		oldest = enqueued(connection, [text(head) for _, _, head in parts])
	gauges = [
		QueueGauge(name, failed or 0, stranded or 0, at)
		for name, (failed, stranded, _), at in zip(names, parts, oldest, strict=True)
	]
	return gauges, Counter(claim.state for claim in map(parsed, claims or ()) if claim)


def enqueued(connection: Redis, ids: Sequence[str]) -> list[float | None]:
	"""When each job was enqueued; an empty id is no job."""
	pipe = connection.pipeline(transaction=False)
	for id in ids:
		pipe.hget(keys.job_key(id), "enqueued_at")
	return [instant(text(of_its_type(answer))) for answer in pipe.execute(raise_on_error=False)]
