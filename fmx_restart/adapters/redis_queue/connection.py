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
from fmx_restart.adapters.redis_url import COMMON, checked_url, url_fault
from fmx_restart.engine.errors import WrongEnvironment

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
		return {
			"username": text_of(config, "rq_username") or bench_id,
			"password": text_of(config, "rq_password"),
		}
	if password := os.environ.get("RQ_ADMIN_PASWORD"):  # spelt so in Frappe
		return {"username": "default", "password": password}
	return {}


def connection_for(config: Mapping, given: Mapping[str, str | None]) -> redis.Redis:
	"""Raises WrongEnvironment for a setting that cannot be read."""
	if config.get("redis_queue_sentinel_enabled"):
		return by_sentinel(config, given)
	if url := os.environ.get("FRAPPE_REDIS_QUEUE"):
		return redis.from_url(checked_url(url, "FRAPPE_REDIS_QUEUE", "the environment"), **given)
	return redis.from_url(checked_url(config.get("redis_queue") or DEFAULT, "redis_queue"), **given)


def by_sentinel(config: Mapping, given: Mapping[str, str | None]) -> redis.Redis:
	"""frappe.utils.redis_queue: the nodes are "host:port", the master's credentials stand beside them."""
	names = {"username": "redis_queue_sentinel_username", "password": "redis_queue_sentinel_password"}
	sentinel_kwargs = {key: text_of(config, name) for key, name in names.items() if config.get(name)}
	master = {
		key: text_of(config, f"redis_queue_master_{key}") or given.get(key)
		for key in ("username", "password")
	}
	sentinel = Sentinel(nodes_of(config), sentinel_kwargs=sentinel_kwargs, **master)
	return sentinel.master_for(text_of(config, "redis_queue_master_service"))


def nodes_of(config: Mapping) -> list[tuple[str, int]]:
	"""Host and port of each sentinel."""
	key = "redis_queue_sentinels"
	nodes = config.get(key)
	if not isinstance(nodes, list) or not nodes:
		raise odd_setting(key, "is not a list of sentinels")
	found = []
	for node in nodes:
		host, _, port = str(node).rpartition(":")
		if not host or not port.isdecimal() or url_fault(f"redis://{node}"):
			raise odd_setting(key, "has an entry that is not host:port")
		found.append((host, int(port)))
	return found


def text_of(config: Mapping, key: str) -> str | None:
	"""A number counts as the text that it looks like. Raises WrongEnvironment for anything else; never shows the value."""
	value = config.get(key)
	if value is None or isinstance(value, str):
		return value
	if isinstance(value, int) and not isinstance(value, bool):
		return str(value)
	raise odd_setting(key, "is not text")


def odd_setting(key: str, what: str) -> WrongEnvironment:
	return WrongEnvironment(
		f"{key} in {COMMON} {what}. Nothing was changed.",
		hint=f"Correct it, then look at the file with: python3 -m json.tool {COMMON}",
	)


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
