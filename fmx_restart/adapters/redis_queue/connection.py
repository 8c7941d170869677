"""
A connection to the bench's queue Redis, by Frappe's rules (URL, ACL user, sentinel). Frappe's own has no time-outs: on a
Redis that hangs it would wait for ever before it can be given any.
"""

from __future__ import annotations

import os
from collections.abc import Mapping

import redis
from redis.sentinel import Sentinel, SentinelConnectionPool

from fmx_restart.adapters.redis_queue.border import redis_border

TIMEOUT = (
	5.0  # seconds for one answer of Redis, and for connecting: who holds a lease must not hang in a read
)
DEFAULT = "redis://127.0.0.1:11311"


def connect(config: Mapping, bench_id: str, *, is_there: bool = True) -> redis.Redis:
	"""
	As frappe.utils.background_jobs.get_redis_conn does. `is_there`: proved by a ping; raises QueueUnreachable or
	WrongEnvironment then.
	"""
	with redis_border():
		connection = with_timeouts(connection_for(config, credentials(config, bench_id)))
		if is_there:
			connection.ping()
	return connection


def credentials(config: Mapping, bench_id: str) -> dict[str, str | None]:
	if config.get("use_rq_auth"):
		return {"username": config.get("rq_username") or bench_id, "password": config.get("rq_password")}
	if password := os.environ.get("RQ_ADMIN_PASWORD"):  # spelt so in Frappe
		return {"username": "default", "password": password}
	return {}


def connection_for(config: Mapping, given: Mapping[str, str | None]) -> redis.Redis:
	if config.get("redis_queue_sentinel_enabled"):
		return by_sentinel(config, given)
	url = os.environ.get("FRAPPE_REDIS_QUEUE") or config.get("redis_queue") or DEFAULT
	return redis.from_url(url, **given)


def by_sentinel(config: Mapping, given: Mapping[str, str | None]) -> redis.Redis:
	"""frappe.utils.redis_queue: the nodes are "host:port", the master's credentials stand beside them."""
	nodes = [tuple(node.split(":")) for node in config.get("redis_queue_sentinels", [])]
	names = {"username": "redis_queue_sentinel_username", "password": "redis_queue_sentinel_password"}
	sentinel_kwargs = {key: config[name] for key, name in names.items() if config.get(name)}
	master = {
		"username": config.get("redis_queue_master_username", given.get("username")),
		"password": config.get("redis_queue_master_password", given.get("password")),
	}
	sentinel = Sentinel(nodes, sentinel_kwargs=sentinel_kwargs, **master)
	return sentinel.master_for(config.get("redis_queue_master_service"))


def with_timeouts(connection: redis.Redis) -> redis.Redis:
	"""On a pool of its own, to the same server: TCP, TLS, a unix socket, or whichever master sentinel names."""
	pool = connection.connection_pool
	settings = {
		**pool.connection_kwargs,
		"connection_class": pool.connection_class,
		"socket_timeout": TIMEOUT,  # also of the connecting, where nothing else is set
	}
	where = (pool.service_name, pool.sentinel_manager) if isinstance(pool, SentinelConnectionPool) else ()
	return redis.Redis(connection_pool=type(pool)(*where, **settings))
