"""A connection to the bench's queue Redis, by Frappe's rules, with time-outs; its errors become the engine's."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import redis
from redis import Redis, exceptions
from redis.exceptions import ResponseError
from redis.sentinel import Sentinel, SentinelConnectionPool

from fmx_restart.adapters.bench import read_config
from fmx_restart.adapters.redis_queue.typed import redis_cli
from fmx_restart.adapters.setting_rules import COMMON, checked_url, url_fault, whole_number
from fmx_restart.engine.errors import QueueUnreachable, WrongEnvironment
from fmx_restart.engine.plain_text import printable

# redis-py makes AuthenticationError a ConnectionError: the narrower one comes first
REFUSED = (exceptions.AuthenticationError, exceptions.AuthorizationError, exceptions.NoPermissionError)
AWAY = (exceptions.ConnectionError, exceptions.TimeoutError, OSError)
#: Redis answers but writes nothing: it is full, a replica, cannot save, or waits for its replicas. That may pass.
WRITES_NOTHING = re.compile(r"\b(OOM|READONLY|MISCONF|NOREPLICAS) ")
CODES = {"OutOfMemoryError": "OOM", "ReadOnlyError": "READONLY"}  # where redis-py takes the code away


@contextmanager
def redis_border() -> Iterator[None]:
	"""What redis-py raises inside becomes QueueUnreachable where it may pass, and WrongEnvironment elsewhere."""
	try:
		yield
	except (*REFUSED, *AWAY, exceptions.ResponseError) as error:
		raise told(error) from error
	except (exceptions.RedisError, UnicodeError) as error:  # its text may hold what was to be sent
		raise WrongEnvironment(
			f"Redis cannot be used ({type(error).__name__}).",
			hint="Check the settings that begin with redis_queue and rq_ in sites/common_site_config.json.",
		) from None


def told(error: Exception) -> QueueUnreachable | WrongEnvironment:
	"""The engine's error for this one, whose text is Redis' own."""
	text = error_text(error)
	if isinstance(error, REFUSED):
		return WrongEnvironment(
			f"Redis refuses what this bench needs: {text}.",
			hint="Check use_rq_auth, rq_username and rq_password in sites/common_site_config.json"
			" against config/redis_queue.acl.",
		)
	if isinstance(error, AWAY):
		return QueueUnreachable(
			f"Redis does not answer: {text}.",
			hint="Check redis_queue in sites/common_site_config.json, and that Redis runs:"
			f" {own_cli()} ping.",
		)
	if code := writes_nothing(error):
		return QueueUnreachable(
			f"Redis refuses to write ({code}): {text}.",
			hint="Check Redis' memory (OOM: maxmemory), role (READONLY: it is a replica) or disk (MISCONF):"
			f" {own_cli()} info.",
		)
	return WrongEnvironment(
		f"Redis cannot do what this bench needs: {text}.",
		hint="Check redis_queue in sites/common_site_config.json, then Redis' memory, role and version"
		f" (6.0.6 or newer): {own_cli()} info.",
	)


def own_cli() -> str:
	"""redis-cli with the address of this bench's queue; without one where it cannot be read."""
	try:
		return queue_cli()
	except (WrongEnvironment, ValueError):
		return "redis-cli"


def queue_cli() -> str:
	"""redis-cli for redis_queue of the bench we are in. Raises WrongEnvironment for a setting that cannot be read."""
	config = read_config()
	return redis_cli(connection_for(config, credentials(config, "")))


def error_text(error: Exception) -> str:
	"""One line without what was sent: a server that does not know a command repeats its arguments, a password too."""
	return printable(str(error).partition(", with args beginning with")[0]).rstrip(".")


def writes_nothing(error: exceptions.ResponseError) -> str | None:
	"""The code; None for any other refusal. A script or a pipeline puts words before it."""
	if code := CODES.get(type(error).__name__):
		return code
	match = WRITES_NOTHING.search(f"{error} ")
	return match and match[1]


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
	"""User and password as Frappe's own workers give them; empty for a Redis without users."""
	if config.get("use_rq_auth"):
		return {
			"username": text_of(config, "rq_username") or bench_id,
			"password": text_of(config, "rq_password"),
		}
	if password := os.environ.get("RQ_ADMIN_PASWORD"):  # spelt so in Frappe
		return {"username": "default", "password": password}
	return {}


def connection_for(config: Mapping, arguments: Mapping[str, str | None]) -> redis.Redis:
	"""Raises WrongEnvironment for a setting that cannot be read."""
	if config.get("redis_queue_sentinel_enabled"):
		return by_sentinel(config, arguments)
	if url := os.environ.get("FRAPPE_REDIS_QUEUE"):
		return redis.from_url(checked_url(url, "FRAPPE_REDIS_QUEUE", "the environment"), **arguments)
	return redis.from_url(checked_url(config.get("redis_queue") or DEFAULT, "redis_queue"), **arguments)


def by_sentinel(config: Mapping, arguments: Mapping[str, str | None]) -> redis.Redis:
	"""frappe.utils.redis_queue: the nodes are "host:port", the master's credentials stand beside them."""
	names = {"username": "redis_queue_sentinel_username", "password": "redis_queue_sentinel_password"}
	sentinel_kwargs = {key: text_of(config, name) for key, name in names.items() if config.get(name)}
	master = {
		key: text_of(config, f"redis_queue_master_{key}") or arguments.get(key)
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
	addresses = []
	for node in nodes:
		host, _, port = str(node).rpartition(":")
		if not host or not port.isdecimal() or url_fault(f"redis://{node}"):
			raise odd_setting(key, "has an entry that is not host:port")
		addresses.append((host, int(port)))
	return addresses


def text_of(config: Mapping, key: str) -> str | None:
	"""A number counts as the text that it looks like. Raises WrongEnvironment for anything else; never shows the value."""
	value = config.get(key)
	if value is None or isinstance(value, str):
		return value
	if isinstance(value, int) and not isinstance(value, bool):
		return str(value)
	raise odd_setting(key, "is not text")


def odd_setting(key: str, what: str) -> WrongEnvironment:
	"""The error for a Redis setting that cannot be used. `what` follows the key: "is not a URL"."""
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


RETRIES_TAKE = 120.0  # seconds; RQ tries again after 60 s at the latest when it lost Redis (rq/worker.py)


def reached_at(connection: Redis, settled_after: float = RETRIES_TAKE) -> str:
	"""
	host:port. Empty where it is no TCP server, and where it has not been up for so many seconds: workers that lost it may not
	be back yet.
	"""
	arguments = connection.connection_pool.connection_kwargs
	if "path" in arguments or "host" not in arguments:
		return ""
	try:
		up = whole_number(connection.info("server").get("uptime_in_seconds")) or 0
	except ResponseError:
		return ""
	return f"{arguments['host']}:{arguments.get('port', 6379)}" if up >= settled_after else ""
