"""Claims that workers of this app have on jobs, as others see them."""

from __future__ import annotations

from redis import Redis

from fmx_restart.adapters.redis_queue.connection import redis_border
from fmx_restart.adapters.redis_queue.records import of_its_type
from fmx_restart.worker.claims import claims_key, read_claims
from fmx_restart.worker.owners import is_gone

OPEN = {"popped": b"queued", "started": b"started"}  # state of a claim → status of a job that is not over


def ownerless_claims(connection: Redis, bench_id: str) -> list[str]:
	"""Ids of jobs that are not over, and whose worker is gone."""
	with redis_border():
		found = read_claims(connection, claims_key(bench_id))
		gone = [claim for owner, claim in found.items() if is_gone(connection, owner, claim)]
		pipe = connection.pipeline(transaction=False)
		for claim in gone:
			pipe.hget(f"rq:job:{claim.id}", "status")
		statuses = map(of_its_type, pipe.execute(raise_on_error=False) if gone else [])
		return sorted(
			claim.id for claim, status in zip(gone, statuses, strict=True) if status == OPEN[claim.state]
		)
