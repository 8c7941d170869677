"""What workers, pools and the scheduler of this app say of starting anew: reloads that they refused, and how often they were recycled."""

from __future__ import annotations

from collections.abc import Iterable

from redis import Redis

from fmx_restart.adapters.redis_queue.connection import redis_border
from fmx_restart.adapters.redis_queue.keys import worker_key
from fmx_restart.adapters.redis_queue.records import of_its_type, text
from fmx_restart.adapters.setting_rules import whole_number
from fmx_restart.engine.frozen import frozen
from fmx_restart.engine.ports import Worker
from fmx_restart.worker.membership import POOL, pool_key
from fmx_restart.worker.recycling import REASON, RECYCLED, STAYED, UNUSED
from fmx_restart.worker.reload import REFUSED
from fmx_restart.worker.scheduler import record_key

FIELDS = ("hostname", "pid", POOL, REFUSED, RECYCLED, REASON, STAYED, UNUSED)
LONGEST = 300  # characters of one field


@frozen
class Renewal:
	"""One process of this app. Texts are empty where there is nothing to say."""

	host: str
	pid: int
	pool: str  # the name of its pool
	refused: str  # why it refused the last request to reload: the type of an error
	recycled: (
		int  # how often it started anew by itself; of a pool's worker: how often that happened in the pool
	)
	reason: str  # why last: jobs, age, memory, pressure
	stayed: str  # why it could not be recycled: the type of an error
	unused: str  # what of the setting it cannot use


def renewals(connection: Redis, workers: Iterable[Worker]) -> dict[str, Renewal]:
	"""Worker's name → what it says, of those of this app. One round trip. Raises QueueUnreachable."""
	names = [worker.name for worker in workers if worker.is_lossless]
	return dict(zip(names, read(connection, [worker_key(name) for name in names]), strict=True))


def recycled(renewal: Renewal | None) -> str:
	"""How often, and why last, for a table: "3 (age)"; empty for never."""
	return f"{renewal.recycled} ({renewal.reason})" if renewal and renewal.recycled else ""


def parents(connection: Redis, bench_id: str, known: Iterable[Renewal]) -> dict[str, Renewal]:
	"""What they are → what they say: pools of these workers, and the scheduler. Raises QueueUnreachable."""
	pools = sorted({renewal.pool for renewal in known if renewal.pool})
	keys = [*(pool_key(bench_id, pool) for pool in pools), record_key(bench_id)]
	found = zip([*(f"pool {pool}" for pool in pools), "scheduler"], read(connection, keys), strict=True)
	return {name: renewal for name, renewal in found if renewal.pid}


def read(connection: Redis, keys: Iterable[str | bytes]) -> list[Renewal]:
	"""Of each record; one that is none says nothing."""
	pipe = connection.pipeline(transaction=False)
	for key in keys:
		pipe.hmget(key, FIELDS)
	with redis_border():
		answers = pipe.execute(raise_on_error=False)
	return [renewal(of_its_type(answer) or [None] * len(FIELDS)) for answer in answers]


def renewal(values: list[bytes | None]) -> Renewal:
	"""Of the fields as Redis gives them."""
	host, pid, pool, refused, recycled, *others = (text(value)[:LONGEST] for value in values)
	return Renewal(host, whole_number(pid) or 0, pool, refused, max(0, whole_number(recycled) or 0), *others)
