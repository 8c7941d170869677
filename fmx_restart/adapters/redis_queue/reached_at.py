"""Where Redis is, for whoever wants to know who else is connected to it."""

from __future__ import annotations

from redis import Redis
from redis.exceptions import ResponseError

from fmx_restart.adapters.numbers import whole_number

RETRIES_TAKE = 120.0  # seconds; RQ tries again after 60 s at the latest when it lost Redis (rq/worker.py)


def reached_at(connection: Redis, settled_after: float = RETRIES_TAKE) -> str:
	"""
	host:port. Empty where it is no TCP server, and where it has not been up for so many seconds: workers that lost it may not
	be back yet.
	"""
	told = connection.connection_pool.connection_kwargs
	if "path" in told or "host" not in told:
		return ""
	try:
		up = whole_number(connection.info("server").get("uptime_in_seconds")) or 0
	except ResponseError:
		return ""
	return f"{told['host']}:{told.get('port', 6379)}" if up >= settled_after else ""
