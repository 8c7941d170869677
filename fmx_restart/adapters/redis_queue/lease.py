"""A key with an owner and an expiry, as Redis sees it. Both are written at once, by one script."""

from __future__ import annotations

from redis import Redis

from fmx_restart.adapters.redis_queue.border import redis_border
from fmx_restart.engine.ports import Hold

#: KEYS: the key. ARGV: owner, note, milliseconds, prefix of owners that may be replaced ("" for none).
#: A Redis that is full refuses SET, but not PEXPIRE, nor what follows a write of the same script.
HOLD = """
local value = redis.call('GET', KEYS[1])
local is_ours = value and string.sub(value, 1, #ARGV[1]) == ARGV[1]
local is_stale = value and ARGV[4] ~= '' and string.sub(value, 1, #ARGV[4]) == ARGV[4]
if value and not is_ours and not is_stale then return 'foreign' end
if is_ours then redis.call('PEXPIRE', KEYS[1], ARGV[3]) end
redis.call('SET', KEYS[1], ARGV[1] .. ARGV[2], 'PX', ARGV[3])
return is_ours and 'kept' or 'taken'
"""
RELEASE = """
local value = redis.call('GET', KEYS[1])
if not value or string.sub(value, 1, #ARGV[1]) ~= ARGV[1] then return 0 end
return redis.call('DEL', KEYS[1])
"""


class RedisLease:
	"""
	`owner` begins the value and must be unique to this operation. `replaces`: values that begin so belong to an
	operation of the same bench whose lock is gone already, and may be taken over.
	"""

	def __init__(
		self, connection: Redis, key: str, owner: str, *, seconds: float, replaces: str = ""
	) -> None:
		self.connection, self.key, self.owner = connection, key, owner + " "
		self.seconds, self.replaces = seconds, replaces
		self._hold = connection.register_script(HOLD)
		self._release = connection.register_script(RELEASE)

	def hold(self, note: str = "") -> Hold:
		milliseconds = int(self.seconds * 1000)
		with redis_border():
			answer = self._hold(keys=[self.key], args=[self.owner, note, milliseconds, self.replaces])
		return Hold(answer.decode())

	def release(self) -> bool:
		with redis_border():
			return bool(self._release(keys=[self.key], args=[self.owner]))

	def holder(self) -> str | None:
		with redis_border():
			value = self.connection.get(self.key)
		return None if value is None else value.decode(errors="replace").strip()
