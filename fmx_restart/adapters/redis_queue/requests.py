"""
The operation's mailbox: a list in Redis, so that any terminal, Desk or another machine reaches it. Anyone who may write to
this Redis can put anything there: each entry is read on its own, and what cannot be read is counted and left out.
"""

from __future__ import annotations

import json
from dataclasses import asdict

from redis import Redis

from fmx_restart.adapters.redis_queue.border import redis_border
from fmx_restart.adapters.redis_queue.keys import requests_key
from fmx_restart.engine.plain_text import printable
from fmx_restart.engine.ports import LONGEST_EXTENSION, Mail, Request, Wish

KEPT = 3600  # seconds; a request to an operation that has ended goes away by itself
MOST = 100  # entries taken at once
LARGEST = 2048  # bytes of one
MOST_SHOWN = 140  # characters of a name: as long as a user's name in Frappe can be
WISHES = {wish.value: wish for wish in Wish}
#: KEYS: the list. ARGV: how many entries are taken at most, the most bytes of one. A larger one is returned as an empty one.
TAKE = """
local kind = redis.call('TYPE', KEYS[1]).ok
if kind == 'none' then return {} end
if kind ~= 'list' then
	redis.call('DEL', KEYS[1])
	return {''}
end
local taken = {}
for i = 1, tonumber(ARGV[1]) do
	local entry = redis.call('LPOP', KEYS[1])
	if not entry then break end
	taken[i] = #entry <= tonumber(ARGV[2]) and entry or ''
end
return taken
"""


class Unreadable(ValueError):
	"""Says why in a few words, and nothing of what was written."""


class RedisRequests:
	def __init__(self, connection: Redis, bench_id: str, operation: str) -> None:
		self.connection, self.key = connection, requests_key(bench_id, operation)
		self._take = connection.register_script(TAKE)

	def take(self) -> Mail:
		with redis_border():
			entries = self._take(keys=[self.key], args=[MOST, LARGEST])
		requests, unreadable = [], []
		for entry in entries:
			try:
				requests.append(request_in(entry))
			except Unreadable as error:
				unreadable.append(str(error))
		return Mail(tuple(requests), tuple(unreadable))

	def put(self, request: Request) -> None:
		with redis_border():
			pipe = self.connection.pipeline()
			pipe.rpush(self.key, json.dumps(asdict(request)))
			pipe.expire(self.key, KEPT)
			pipe.execute()


def request_in(entry: bytes) -> Request:
	try:
		fields = json.loads(entry.decode())
	except (ValueError, RecursionError) as error:
		raise Unreadable("it is not JSON, or too long") from error
	if not isinstance(fields, dict):
		raise Unreadable("it is not a JSON object")
	wish, by = fields.get("wish"), fields.get("by")
	if not isinstance(wish, str) or wish not in WISHES:
		raise Unreadable("it asks for something unknown")
	name = printable(by.strip(), MOST_SHOWN) if isinstance(by, str) else ""
	if not name:
		raise Unreadable("it does not say who asks")
	return Request(WISHES[wish], name, seconds_in(fields, WISHES[wish]))


def seconds_in(fields: dict, wish: Wish) -> float:
	"""They mean something where more time is asked for."""
	if wish is not Wish.EXTEND:
		return 0.0
	seconds = fields.get("seconds")
	if isinstance(seconds, bool) or not isinstance(seconds, int | float):
		raise Unreadable("its seconds are not a number")
	if not 0 < seconds <= LONGEST_EXTENSION:
		raise Unreadable("its seconds are out of range")
	return float(seconds)
