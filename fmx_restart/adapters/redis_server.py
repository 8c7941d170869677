"""How one of the bench's Redis servers does. One round trip; what its ACL refuses is not known."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping

import redis
from redis.exceptions import NoPermissionError, ResponseError

from fmx_restart.adapters.setting_rules import whole_number
from fmx_restart.engine.frozen import frozen

ATTEMPTS = 5
QUICK = 0.01  # seconds; good enough


def shortest(ask: Callable[[], object]) -> float:
	"""Seconds of the quickest of a few attempts: the others may have waited for this process itself."""
	best = float("inf")
	for _ in range(ATTEMPTS):
		began = time.perf_counter()
		ask()
		best = min(best, time.perf_counter() - began)
		if best < QUICK:
			break
	return best


TIMEOUT = 1.0  # seconds for each answer, and for the connecting, where nothing else is set


@frozen
class RedisServer:
	"""None where the server does not tell."""

	latency: float  # seconds for a PING
	version: str
	memory: int  # bytes
	memory_limit: int  # bytes; 0: none
	eviction: str  # Redis' own words: noeviction, allkeys-lru, …
	is_replica: bool
	saves: str | None  # the setting save: "" is never, "3600 1 …" after so many seconds and changes
	appends: bool  # appendonly
	is_saved: bool  # False: its last attempt to write to disk failed

	@property
	def is_persistent(self) -> bool | None:
		"""Whether jobs outlive a restart of Redis; None where it may not be asked."""
		if self.appends:
			return True
		return None if self.saves is None else bool(self.saves)


def connect(url: str, username: str | None = None, password: str | None = None) -> redis.Redis:
	"""One attempt, and a time limit for each answer."""
	login = {name: value for name, value in (("username", username), ("password", password)) if value}
	return redis.Redis.from_url(url, socket_timeout=TIMEOUT, **login)


def look(connection: redis.Redis) -> RedisServer:
	"""Raises what redis-py raises."""
	connection.ping()  # connecting is not what we measure
	latency = shortest(connection.ping)
	info = all_info(connection)
	return RedisServer(
		latency=latency,
		version=str(info.get("redis_version", "")),
		memory=whole_number(info.get("used_memory")) or 0,
		memory_limit=whole_number(info.get("maxmemory")) or 0,
		eviction=str(info.get("maxmemory_policy", "")),
		is_replica=info.get("role") == "slave",
		saves=setting(connection, "save"),
		appends=bool(info.get("aof_enabled")),
		is_saved=not {info.get("rdb_last_bgsave_status"), info.get("aof_last_write_status")} & {"err"},
	)


def all_info(connection: redis.Redis) -> Mapping:
	"""INFO, empty where this user may not ask."""
	try:
		return connection.info()
	except NoPermissionError:
		return {}


def setting(connection: redis.Redis, name: str) -> str | None:
	"""CONFIG is an administrator's: with Redis' ACL a bench may not ask."""
	try:
		return connection.config_get(name).get(name)
	except ResponseError:  # no permission, and servers that do not know CONFIG
		return None
