"""The lock and the fence in Redis: keys with an owner and an expiry, changed by one script each."""

from __future__ import annotations

from pathlib import Path

from redis import Redis

from fmx_restart.adapters.redis_queue.connection import redis_border
from fmx_restart.adapters.redis_queue.keys import FENCE_OWNERS, SUSPENDED, lock_key
from fmx_restart.adapters.redis_queue.records import of_its_type, raw, text
from fmx_restart.engine.frozen import frozen
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


NO_TEXT = "something that is not text"
DIGITS = 15  # of an instant in milliseconds: 30,000 years
OWNERS = (Path(__file__).parent / "owners.lua").read_text()
#: ARGV: owner, note, milliseconds, beginning of owners that are replaced ("" for none). Returns whether the fence has stood
#: since this owner's last renewal, and whether someone who is no owner has suspended the queue. That one's key is not touched.
#: A Redis that is full refuses HSET and SET, but not PEXPIRE, nor what follows a write of the same script.
HOLD_FENCE = (
	OWNERS
	+ """
local me, replaces = ARGV[1], ARGV[4]
local function is_replaced(name) return replaces ~= '' and name ~= me and begins(name, replaces) end
local stood = has_stood(me)
if living[me] or names(me) then redis.call('PEXPIRE', KEYS[2], ARGV[3]) end
local was_replaced = value and is_replaced(value)
local stranger = value and not (names(me) or was_replaced or named(living) or named(ended))
living[me], ended[me] = nil, nil
for name, owner in pairs(living) do
	if is_replaced(name) then living[name], ended[name] = nil, owner end
end
if not value then mark_lapsed() end
living[me] = {expiry = now + tonumber(ARGV[3]), lapsed = false, note = ARGV[2]}
write(me, living[me])
forget_ended()
local neighbour = named(living)
if stranger then
	-- ours as soon as that is lifted
elseif neighbour and neighbour ~= me then
	expire_with_the_latest(KEYS[1])
else
	suspend_for(me)
end
expire_with_the_latest(KEYS[2])
return {stood and 1 or 0, stranger and 1 or 0}
"""
)
#: ARGV: owner, operation. KEYS[3] may be given: a lock; while that operation holds it nothing happens.
RELEASE_FENCE = (
	OWNERS
	+ """
if KEYS[3] and begins(redis.call('GET', KEYS[3]) or '', ARGV[2]) then return 0 end
return leave(ARGV[1]) and 1 or 0
"""
)


@frozen
class Owner:
	name: str
	left: float | None  # seconds until it ends by itself; None: never
	note: str
	has_lapsed: bool = False  # the queue was not suspended at some moment since its last renewal


class RedisFence:
	"""
	`owner` must be unique to this operation. `replaces`: owners that begin so belong to operations of the same bench whose
	lock is gone already, and are forgotten.
	"""

	def __init__(self, connection: Redis, owner: str, *, seconds: float, replaces: str = "") -> None:
		self.connection, self.owner = connection, owner
		self.seconds, self.replaces = seconds, replaces
		self.keys = [SUSPENDED, FENCE_OWNERS]
		self.is_held, self.taken = False, 0
		self._hold = connection.register_script(HOLD_FENCE)
		self._release = connection.register_script(RELEASE_FENCE)

	def hold(self, note: str = "") -> Hold:
		arguments = [raw(self.owner), note, int(self.seconds * 1000), self.replaces]
		with redis_border():
			has_stood, is_foreign = self._hold(keys=self.keys, args=arguments)
		was_held, self.is_held = self.is_held, True
		if is_foreign and (has_stood or not was_held):
			return Hold.FOREIGN
		self.taken += not has_stood
		return Hold.KEPT if has_stood else Hold.TAKEN

	def release(self) -> bool:
		self.is_held = False
		with redis_border():
			return bool(self._release(keys=self.keys, args=[raw(self.owner), ""]))

	def holder(self) -> str | None:
		with redis_border():
			[answer] = (
				self.connection.pipeline(transaction=False).get(SUSPENDED).execute(raise_on_error=False)
			)
			value = of_its_type(answer)
		if value is None:
			return NO_TEXT if isinstance(answer, Exception) else None
		return text(value).strip()


def forget_owner(connection: Redis, owner: str, bench_id: str, operation: str) -> bool:
	"""
	The fence of an operation that died: released for it, unless that operation holds its bench's lock. False where nothing
	of it was left, or where it lives.
	"""
	release = connection.register_script(RELEASE_FENCE)
	with redis_border():
		return bool(release(keys=[SUSPENDED, FENCE_OWNERS, lock_key(bench_id)], args=[raw(owner), operation]))


def owners(connection: Redis) -> list[Owner]:
	"""Everyone who holds the fence and has not expired. One round trip."""
	with redis_border():
		(seconds, microseconds), entries = connection.pipeline().time().hgetall(FENCE_OWNERS).execute()
	now = seconds + microseconds / 1e6
	read = (owner(name, fields, now) for name, fields in entries.items())
	return sorted((one for one in read if one.left), key=lambda one: one.name)


def owner(name: bytes, fields: bytes, now: float) -> Owner:
	"""
	An owner of the fence with the seconds that its lease has left; `now` is Redis' clock. A record that cannot be read has
	none left.
	"""
	expiry, _, rest = text(fields).partition(" ")
	lapsed, _, note = rest.partition(" ")
	is_number = expiry.isascii() and expiry.isdigit() and len(expiry) <= DIGITS
	left = max(0.0, int(expiry) / 1000 - now) if is_number else 0.0
	return Owner(text(name), left, note, lapsed == "1")
