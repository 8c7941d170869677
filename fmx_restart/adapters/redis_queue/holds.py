"""Holds of the queue in Redis: owners of the fence that nobody renews, and what is known of each afterwards."""

from __future__ import annotations

import json
from urllib.parse import unquote

from redis import Redis

from fmx_restart.adapters.redis_queue.connection import redis_border
from fmx_restart.adapters.redis_queue.keys import FENCE_OWNERS, HOLD_STEM, SUSPENDED, hold_key, hold_owner
from fmx_restart.adapters.redis_queue.leases import OWNERS, Owner, RedisFence, owner
from fmx_restart.adapters.redis_queue.records import of_its_type, raw, text
from fmx_restart.engine.frozen import changed
from fmx_restart.engine.notes import MOST_SHOWN
from fmx_restart.engine.plain_text import printable
from fmx_restart.engine.ports import Release, ReleaseEnd
from fmx_restart.engine.queue_hold import QueueHold

KNOWN_FOR = 7 * 86400  # seconds that is known what became of a hold

RECORD = """
-- The object in a text of JSON; an empty one where there is none.
local function decoded(text)
	local is_read, found = pcall(cjson.decode, type(text) == 'string' and text or '')
	return is_read and type(found) == 'table' and found[1] == nil and found or {}
end

local function note_of(name)
	if living[name] then return living[name].note end
	return names(name) and string.sub(value, #name + 2) or nil
end

local function keep(record)
	local left = (tonumber(record['until']) or 0) * 1000 - now
	local kept = string.format('%.0f', math.min(math.max(left, 0), 86400000) + tonumber(ARGV[#ARGV]) * 1000)
	redis.call('SET', KEYS[3], cjson.encode(record), 'PX', kept)
end
"""
#: KEYS: rq:suspended, the owners, the record of this hold. ARGV: owner, the owner that must have stood, milliseconds, note, seconds for
#: which the record is kept. Returns the note as it is written; nothing where that owner has not stood, or a stranger's suspension does.
#: An extension keeps the mark of a lapse: nobody renews a hold, so nobody else has heard of it.
MAKE = (
	OWNERS
	+ RECORD
	+ """
local me = ARGV[1]
local is_stranger = value and not (names(me) or named(living) or named(ended))
if is_stranger or not has_stood(ARGV[2]) then return false end
local before, had_stood = note_of(me), has_stood(me)
local expiry = now + tonumber(ARGV[3])
if living[me] and living[me].expiry > expiry then expiry = living[me].expiry end
local note, old = decoded(ARGV[4]), decoded(before)
note.since, note['until'] = old.since or now / 1000, expiry / 1000
if note.reason == '' then note.reason = old.reason or '' end
if before and not had_stood then note.has_stood = false end
local written = cjson.encode(note)
living[me], ended[me] = {expiry = expiry, lapsed = before ~= nil and not had_stood, note = written}, nil
write(me, living[me])
forget_ended()
if names(me) or not named(living) then suspend_for(me) else expire_with_the_latest(KEYS[1]) end
expire_with_the_latest(KEYS[2])
keep(note)
return written
"""
)
#: KEYS: as MAKE. ARGV: owner, who lifts it, seconds for which the record is kept. Returns whether it had not ended, whether it has
#: stood, its record and the time in milliseconds.
RELEASE = (
	OWNERS
	+ RECORD
	+ """
local me = ARGV[1]
local stood, was_noted = has_stood(me), note_of(me)
local known = redis.pcall('GET', KEYS[3])
local record = decoded(was_noted or known)
local was_ours = leave(me)
if was_ours then
	record.released, record.released_by = now / 1000, ARGV[2]
	keep(record)
end
return {was_ours and 1 or 0, stood and 1 or 0, cjson.encode(record), string.format('%.0f', now)}
"""
)


class RedisHolds:
	"""`connection` must not decode responses."""

	def __init__(self, connection: Redis, bench_id: str) -> None:
		self.connection, self.bench_id = connection, bench_id
		self._make = connection.register_script(MAKE)
		self._release = connection.register_script(RELEASE)

	def standing(self) -> list[QueueHold]:
		pipe = self.connection.pipeline(transaction=False)
		with redis_border():
			answers = pipe.time().exists(SUSPENDED).hgetall(FENCE_OWNERS).execute(raise_on_error=False)
			(seconds, microseconds), is_suspended, entries = map(of_its_type, answers)
		now = seconds + microseconds / 1e6
		read = (owner(name, fields, now) for name, fields in (entries or {}).items())
		holds = [hold_of(one, now, bool(is_suspended)) for one in read if is_hold(one) and one.left]
		return sorted(holds, key=lambda hold: (hold.until, hold.owner))

	def make(
		self, owner: str, seconds: float, fence: RedisFence, *, reason: str, by: str
	) -> QueueHold | None:
		note = {"bench": self.bench_id, "owner": owner, "reason": reason, "by": by}
		name, guard = hold_owner(self.bench_id, owner), raw(fence.owner)
		with redis_border():
			written = self._make(
				keys=self._keys(owner),
				args=[name, guard, int(seconds * 1000), json.dumps(note), KNOWN_FOR],
			)
		return None if written is None else QueueHold.parse(text(written))

	def release(self, owner: str, by: str) -> Release:
		name = hold_owner(self.bench_id, owner)
		with redis_border():
			answer = self._release(keys=self._keys(owner), args=[name, by, KNOWN_FOR])
		was_ours, has_stood, record, now = answer
		hold, at = QueueHold.parse(text(record)), int(now) / 1000
		if was_ours:
			return Release(ReleaseEnd.LIFTED if has_stood else ReleaseEnd.BROKEN, hold, at)
		return what_became_of(hold, text(record), at)

	def serves_since(self) -> float:
		with redis_border():
			(seconds, _), known = self.connection.pipeline(transaction=False).time().info("server").execute()
		return seconds - known["uptime_in_seconds"]

	def _keys(self, owner: str) -> list[str]:
		return [SUSPENDED, FENCE_OWNERS, hold_key(self.bench_id, owner)]


def what_became_of(hold: QueueHold | None, record: str, now: float) -> Release:
	"""Of a hold that does not stand any more. `record`: what is known of it, as JSON; `now`: by Redis' clock."""
	if hold is None:
		return Release(ReleaseEnd.UNKNOWN, None, 0.0)
	released = json.loads(record).get("released")
	if isinstance(released, (int, float)):
		return Release(ReleaseEnd.RELEASED_BEFORE, hold, released)
	if hold.until > now:
		return Release(ReleaseEnd.BROKEN, hold, 0.0)
	return Release(ReleaseEnd.EXPIRED, hold, hold.until)


def is_hold(one: Owner) -> bool:
	"""Of whichever bench; also one whose command still waits."""
	return one.name.startswith(HOLD_STEM)


def hold_of(one: Owner, now: float, is_suspended: bool) -> QueueHold:
	"""An owner of the fence that is a hold. Its name and its expiry are enough where its note cannot be read."""
	bench, _, name = one.name[len(HOLD_STEM) :].partition(":")
	name, slash, _ = name.partition("/")
	# anybody on the same Redis may write them
	names = (printable(unquote(part), MOST_SHOWN) for part in (bench, name))
	unread = QueueHold(*names, "", "", 0.0, 0.0, is_beginning=bool(slash))
	hold = QueueHold.parse(one.note) or unread
	has_stood = hold.has_stood and is_suspended and not one.has_lapsed
	return changed(hold, until=now + (one.left or 0.0), has_stood=has_stood)
