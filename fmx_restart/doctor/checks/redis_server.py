"""The bench's Redis servers: the queue must lose nothing, the cache may."""

from __future__ import annotations

from collections.abc import Iterator

from redis import Redis
from redis.exceptions import RedisError

from fmx_restart.adapters.redis_queue.typed import redis_cli
from fmx_restart.adapters.redis_server import RedisServer
from fmx_restart.doctor.bench_view import BenchView
from fmx_restart.doctor.host import cache_connection, cache_server, queue_server
from fmx_restart.doctor.registry import Finding, Severity, check
from fmx_restart.engine.errors import WrongEnvironment
from fmx_restart.engine.format import size

SLOW = 0.2  # seconds for an answer; on one machine it takes less than a thousandth of that
NEARLY_FULL = 0.9  # of its limit
NEVER = "noeviction"


@check("redis-cache")
def redis_cache(view: BenchView) -> Iterator[Finding]:
	"""redis_queue is asked by nearly every check; without it that is told as unreachable."""
	try:
		cache_server(view)
	except WrongEnvironment as error:
		yield Finding("redis-cache", Severity.ERROR, "redis_cache", str(error), error.hint)
	except (RedisError, OSError, ValueError) as error:
		text = f"redis_cache does not answer ({type(error).__name__}): every request is slow or fails."
		remedy = f"{view.status_command}, and redis_cache in sites/common_site_config.json"
		yield Finding("redis-cache", Severity.ERROR, "redis_cache", text, remedy)


@check("redis-latency")
def redis_latency(view: BenchView) -> Iterator[Finding]:
	"""The shortest of several answers: a single slow one may be this machine's fault."""
	for name, server, connection in servers(view):
		if server.latency > SLOW:
			text = f"{name} takes {server.latency:.2f} s for its shortest answer: it is busy, far away, or swapped out."
			yield Finding(
				"redis-latency", Severity.WARNING, name, text, f"{redis_cli(connection)} slowlog get"
			)


@check("redis-eviction")
def redis_eviction(view: BenchView) -> Iterator[Finding]:
	"""allkeys throws jobs away; volatile does so with workers' records, results, and the lease of a fence."""
	server = queue_server(view)
	if server.eviction in ("", NEVER):
		return
	severity = Severity.ERROR if server.memory_limit else Severity.WARNING
	when = (
		f"when {size(server.memory_limit)} are full"
		if server.memory_limit
		else "as soon as a maxmemory is set"
	)
	text = f"redis_queue throws keys away {when} (maxmemory-policy {server.eviction}): jobs or their records are lost."
	remedy = f"{redis_cli(view.connection)} config set maxmemory-policy {NEVER}, and the same in config/redis_queue.conf"
	yield Finding("redis-eviction", severity, "redis_queue", text, remedy)


@check("redis-memory")
def redis_memory(view: BenchView) -> Iterator[Finding]:
	"""Where a server refuses to write when it is full. A cache makes room; a queue that does is told as redis-eviction."""
	for name, server, connection in servers(view):
		share = server.memory / server.memory_limit if server.memory_limit else 0.0
		if share < NEARLY_FULL or server.eviction != NEVER:
			continue
		severity = Severity.ERROR if share >= 1 else Severity.WARNING
		text = f"{name} uses {size(server.memory)} of {size(server.memory_limit)}; when it is full, nothing can be written."
		double = 2 * server.memory_limit
		remedy = f"{redis_cli(connection)} config set maxmemory {double}, and the same in config/{name}.conf"
		yield Finding("redis-memory", severity, name, text, remedy)


@check("redis-persistence")
def redis_persistence(view: BenchView) -> Iterator[Finding]:
	"""By default, a Redis that cannot save refuses to answer (MISCONF): then it is told as unreachable."""
	server = queue_server(view)
	if not server.is_saved:
		text = "redis_queue failed to write its data to disk: when it restarts, waiting jobs are lost."
		remedy = "df -h, and redis_queue's log: logs/redis-queue.error.log"
		yield Finding("redis-persistence", Severity.ERROR, "redis_queue", text, remedy)
	elif server.is_persistent is False:
		text = "redis_queue never writes its data to disk: when it restarts, every waiting job is lost."
		remedy = f'{redis_cli(view.connection)} config set save "900 1 300 10 60 10000", and the same in config/redis_queue.conf'
		yield Finding("redis-persistence", Severity.WARNING, "redis_queue", text, remedy)


@check("redis-replica")
def redis_replica(view: BenchView) -> Iterator[Finding]:
	"""A replica refuses to be written to: no job can be enqueued or started."""
	if queue_server(view).is_replica:
		text = "redis_queue is a replica of another server: it takes no jobs."
		remedy = f"{redis_cli(view.connection)} replicaof no one, or the address of the master as redis_queue in common_site_config.json"
		yield Finding("redis-replica", Severity.ERROR, "redis_queue", text, remedy)


def servers(view: BenchView) -> Iterator[tuple[str, RedisServer, Redis]]:
	"""A cache that does not answer is told by another check."""
	yield "redis_queue", queue_server(view), view.connection
	try:
		server = cache_server(view)
	except (WrongEnvironment, RedisError, OSError, ValueError):
		return
	if server is not None:
		yield "redis_cache", server, cache_connection(view)
