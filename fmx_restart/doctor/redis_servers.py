"""The bench's two Redis servers, each asked once."""

from __future__ import annotations

import os

from fmx_restart.adapters.redis_queue.border import redis_border
from fmx_restart.adapters.redis_server import RedisServer, connect, look
from fmx_restart.adapters.redis_url import COMMON, checked_url
from fmx_restart.doctor.patient import Patient


def queue_server(patient: Patient) -> RedisServer:
	"""Raises an OperationError where it does not answer."""

	def read() -> RedisServer:
		with redis_border():
			return look(patient.connection)

	return patient.parts.get("redis_queue", read)


def cache_server(patient: Patient) -> RedisServer | None:
	"""None where none is configured. Raises what redis-py raises, and WrongEnvironment for a URL that is none."""
	place = (COMMON, "the environment")["FRAPPE_REDIS_CACHE" in os.environ]
	url = os.environ.get("FRAPPE_REDIS_CACHE") or patient.config.get("redis_cache")  # frappe.get_site_config
	if not url:
		return None
	return patient.parts.get("redis_cache", lambda: look(connect(checked_url(url, "redis_cache", place))))
