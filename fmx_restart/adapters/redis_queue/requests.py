"""The operation's mailbox: a list in Redis, so that any terminal, Desk or another machine reaches it."""

from __future__ import annotations

import json
from dataclasses import asdict

from redis import Redis

from fmx_restart.adapters.redis_queue.border import redis_border
from fmx_restart.adapters.redis_queue.keys import requests_key
from fmx_restart.engine.ports import Request, Wish

KEPT = 3600  # seconds; a request to an operation that has ended goes away by itself
#: KEYS: the list. Returns all of it and leaves nothing.
TAKE = """
local found = redis.call('LRANGE', KEYS[1], 0, -1)
redis.call('DEL', KEYS[1])
return found
"""


class RedisRequests:
	def __init__(self, connection: Redis, bench_id: str, operation: str) -> None:
		self.connection, self.key = connection, requests_key(bench_id, operation)
		self._take = connection.register_script(TAKE)

	def take(self) -> list[Request]:
		with redis_border():
			found = self._take(keys=[self.key])
		return [request_in(json.loads(text)) for text in found]

	def put(self, request: Request) -> None:
		with redis_border():
			pipe = self.connection.pipeline()
			pipe.rpush(self.key, json.dumps(asdict(request)))
			pipe.expire(self.key, KEPT)
			pipe.execute()


def request_in(fields: dict) -> Request:
	return Request(Wish(fields["wish"]), fields["by"], float(fields["seconds"]))
