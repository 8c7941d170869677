"""What is asked of an operation over Redis: its mailbox, and the ticket of one that waits to be launched."""

from __future__ import annotations

import json
from dataclasses import asdict

from redis import Redis

from fmx_restart.adapters.redis_queue.connection import redis_border
from fmx_restart.adapters.redis_queue.keys import requests_key
from fmx_restart.engine.frozen import frozen
from fmx_restart.engine.identity import is_operation_id
from fmx_restart.engine.plain_text import printable
from fmx_restart.engine.ports import LONGEST_EXTENSION, Mail, Request, RequestKind

KEPT = 3600  # seconds; a request to an operation that has ended goes away by itself
MOST = 100  # entries taken at once
LARGEST = 2048  # bytes of one
MOST_SHOWN = 140  # characters of a name: as long as a user's name in Frappe can be
WISHES = {wish.value: wish for wish in RequestKind}
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
		"""
		Ask; the operation reads it within a poll. It expires with the list where nobody reads it. Raises QueueUnreachable.
		"""
		with redis_border():
			pipe = self.connection.pipeline()
			pipe.rpush(self.key, json.dumps(asdict(request)))
			pipe.expire(self.key, KEPT)
			pipe.execute()


def request_in(entry: bytes) -> Request:
	"""A request as the operation may follow it. Raises Unreadable, with a reason that quotes nothing of it."""
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


def seconds_in(fields: dict, wish: RequestKind) -> float:
	"""They mean something where more time is asked for."""
	if wish is not RequestKind.EXTEND:
		return 0.0
	seconds = fields.get("seconds")
	if isinstance(seconds, bool) or not isinstance(seconds, int | float):
		raise Unreadable("its seconds are not a number")
	if not 0 < seconds <= LONGEST_EXTENSION:
		raise Unreadable("its seconds are out of range")
	return float(seconds)


WAITS = 600  # seconds for someone to launch it
STATES = ("queued", "launched", "withdrawn")
STARTS = 60  # seconds from its launch until it holds the bench's lock

#: KEYS: the key. ARGV: value that must stand there, new value ("" to delete), seconds
REPLACE = """
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
if ARGV[2] == '' then return redis.call('DEL', KEYS[1]) end
redis.call('SET', KEYS[1], ARGV[2], 'EX', ARGV[3])
return 1
"""


@frozen
class Waiting:
	operation: str
	is_launched: bool


def parse(value: bytes | None) -> Waiting | None:
	"""None where no operation waits; also for what is not a ticket, since others may write to this Redis."""
	state, _, operation = (value or b"").decode(errors="replace").partition(" ")
	is_ticket = state in STATES and is_operation_id(operation)
	return Waiting(operation, state == "launched") if is_ticket else None


class LaunchTicket:
	def __init__(self, connection: Redis, bench_id: str) -> None:
		self.connection, self.key = connection, f"rq:fmx:{bench_id}:launch"
		self._replace = connection.register_script(REPLACE)

	def issue(self, operation: str) -> Waiting | None:
		"""None when it is ours now; else the operation that has it."""
		with redis_border():
			while not self.connection.set(self.key, f"queued {operation}", nx=True, ex=WAITS):
				if waiting := self.waiting():
					return waiting
				self._clear_strange()
		return None

	def waiting(self) -> Waiting | None:
		"""The operation that waits to be launched; None if none does. Raises QueueUnreachable."""
		with redis_border():
			return parse(self.connection.get(self.key))

	def take(self, operation: str) -> bool:
		"""True for one caller: that one launches it."""
		return self._become(operation, f"launched {operation}")

	def withdraw(self, operation: str) -> bool:
		"""True for one caller: nobody launches it any more. Its ticket bars the next one until it is given back."""
		return self._become(operation, f"withdrawn {operation}")

	def give_back(self, operation: str) -> bool:
		"""It was launched and is over, or was withdrawn: the next one need not wait until its ticket expires."""
		return any(self._become(operation, "", state=state) for state in ("launched", "withdrawn"))

	def _clear_strange(self) -> None:
		"""What someone else wrote there would bar every operation."""
		value = self.connection.get(self.key)
		if value is not None and parse(value) is None:
			self._replace(keys=[self.key], args=[value, "", STARTS])

	def _become(self, operation: str, value: str, *, state: str = "queued") -> bool:
		with redis_border():
			return bool(self._replace(keys=[self.key], args=[f"{state} {operation}", value, STARTS]))
