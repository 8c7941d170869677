"""
The ticket of an operation that was asked for and is not running yet. One per bench: whoever takes it launches the operation,
so that a worker and the web process, or two workers, cannot both do so.
"""

from __future__ import annotations

from dataclasses import dataclass

from redis import Redis

from fmx_restart.adapters.redis_queue.border import redis_border
from fmx_restart.engine.operation_id import is_operation_id

WAITS = 600  # seconds for somebody to launch it
STATES = ("queued", "launched")
STARTS = 60  # seconds from its launch until it holds the bench's lock

#: KEYS: the key. ARGV: value that must stand there, new value ("" to delete), seconds
REPLACE = """
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
if ARGV[2] == '' then return redis.call('DEL', KEYS[1]) end
redis.call('SET', KEYS[1], ARGV[2], 'EX', ARGV[3])
return 1
"""


@dataclass(frozen=True)
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
		with redis_border():
			return parse(self.connection.get(self.key))

	def take(self, operation: str) -> bool:
		"""True for one caller: that one launches it."""
		return self._become(operation, f"launched {operation}")

	def give_back(self, operation: str) -> bool:
		"""It was launched, and is over: the next one need not wait until its ticket expires."""
		return self._become(operation, "", state="launched")

	def _clear_strange(self) -> None:
		"""What somebody else wrote there would bar every operation."""
		value = self.connection.get(self.key)
		if value is not None and parse(value) is None:
			self._replace(keys=[self.key], args=[value, "", STARTS])

	def _become(self, operation: str, value: str, *, state: str = "queued") -> bool:
		with redis_border():
			return bool(self._replace(keys=[self.key], args=[f"{state} {operation}", value, STARTS]))
