"""
The way back into their queues for jobs that a worker popped and never started.

To learn whether a job stands in a list of a million takes Redis longer than it may keep others waiting. So a long queue is
read page by page first. The script that pushes looks through both ends of it alone, and proves that what lies between them
was read: jobs are put in at the ends, and elsewhere only taken out.
"""

from __future__ import annotations

from collections.abc import Iterator

from redis import Redis
from redis.commands.core import Script

from fmx_restart.adapters.redis_queue import keys
from fmx_restart.adapters.redis_queue.leases import OWNERS, RedisFence
from fmx_restart.adapters.redis_queue.records import raw
from fmx_restart.engine.frozen import frozen
from fmx_restart.engine.ledger import Beat
from fmx_restart.worker.claims import bench_of, claims_key

PAGE = 2000  # ids read at once: Redis serves others in between
OVERLAP = 100  # ids of a page that the one before showed already
EDGE = 2000  # ids at each end of a queue that the script looks through
SEAM = 4  # ids in a row by which a place in a queue is found again
READINGS = 3  # of a queue that others change; after the last one the script looks through all of it, at once
REFUSED, LONG = -1, -2

#: KEYS: those of the fence, then the job's hash, its queue, the queue's intermediate list, rq:queues, the claims of the bench's
#: workers. ARGV: the fence's owner, the job's id, how many ids of each end to look through (0: all), then SEAM ids of the queue's
#: front and of its back, as they were read; none of them where it was not. Pushes only what is still a ghost at this instant, so
#: nobody can be put back twice, and only under a fence that has stood ever since its owner renewed it: otherwise a worker may
#: have popped the job just now. A worker of this app that has popped it loses its claim, and starts it no more.
PUT_BACK = (
	OWNERS
	+ f"""
local id, edge, seam = ARGV[2], tonumber(ARGV[3]), {SEAM}
local function is_at_edge(rank, ids)
	local at = redis.call('LPOS', KEYS[4], rank == 1 and ids[1] or ids[seam], 'RANK', rank, 'MAXLEN', edge)
	if not at then return false end
	local first = rank == 1 and at or at - seam + 1
	local found = redis.call('LRANGE', KEYS[4], first, first + seam - 1)
	for i = 1, seam do
		if found[i] ~= ids[i] then return false end
	end
	return true
end
local function is_read()
	if #ARGV == 3 then return false end
	return is_at_edge(1, {{unpack(ARGV, 4, 3 + seam)}}) and is_at_edge(-1, {{unpack(ARGV, 4 + seam, 3 + 2 * seam)}})
end
if not has_stood(ARGV[1]) then return {REFUSED} end
if redis.call('HGET', KEYS[3], 'status') ~= 'queued' then return 0 end
if edge > 0 and redis.call('LLEN', KEYS[4]) > 2 * edge and not is_read() then return {LONG} end
if redis.call('LPOS', KEYS[4], id, 'MAXLEN', edge) then return 0 end
if edge > 0 and redis.call('LPOS', KEYS[4], id, 'RANK', -1, 'MAXLEN', edge) then return 0 end
redis.call('LREM', KEYS[5], 0, id)
local claims = redis.pcall('HGETALL', KEYS[7])
for i = 2, claims.err and 0 or #claims, 2 do
	local is_read, claim = pcall(cjson.decode, claims[i])
	if is_read and type(claim) == 'table' and claim.id == id then redis.call('HDEL', KEYS[7], claims[i - 1]) end
end
redis.call('SADD', KEYS[6], KEYS[4])
redis.call('LPUSH', KEYS[4], id)
return 1
"""
)


@frozen
class Reading:
	"""Of a queue: its ends, and which of the ids that someone wants to put back stand in it."""

	ends: list[bytes]
	standing: set[bytes]


class Changed(Exception):
	"""Others took so much out of a queue while it was read that an id may have been missed."""


class WayBack:
	"""For some ghosts, under a fence that its owner has put up already."""

	def __init__(self, script: Script, wanted: set[bytes], fence: RedisFence, beat: Beat) -> None:
		self.script, self.wanted, self.fence, self.beat = script, wanted, fence, beat
		self.connection: Redis = script.registered_client
		self.taken = fence.taken
		self._readings: dict[str, Reading] = {}

	def push(self, id: bytes, origin: str) -> int:
		"""To the front. 1, or 0 where it is no ghost any more, or REFUSED where the fence lapsed."""
		pushed = self._run(id, origin, EDGE)
		for _ in range(READINGS):
			if pushed != LONG:
				return pushed
			try:
				self._readings[origin] = self._read(keys.queue_key(origin))
			except Changed:
				continue
			pushed = self._run(id, origin, EDGE)
		return self._run(id, origin, 0) if pushed == LONG else pushed

	def _run(self, id: bytes, origin: str, edge: int) -> int:
		if self.fence.taken != self.taken:  # a beat may have put it up again
			return REFUSED
		reading = self._readings.get(origin) or Reading([], set())
		if id in reading.standing:
			return 0
		lists = [
			keys.queue_key(origin),
			keys.intermediate_key(origin),
			keys.QUEUES,
			claims_key(bench_of(origin)),
		]
		names = [*self.fence.keys, keys.JOB_PREFIX.encode() + id, *lists]
		return self.script(keys=names, args=[raw(self.fence.owner), id, edge, *reading.ends])

	def _read(self, key: bytes) -> Reading:
		"""Raises Changed."""
		front, back, standing = [], [], set()
		for page in self._pages(key):
			back = back or page[-SEAM:]
			front = page[:SEAM]
			standing |= self.wanted.intersection(page)
		return Reading([*front, *back] if len(front) == len(back) == SEAM else [], standing)

	def _pages(self, key: bytes) -> Iterator[list[bytes]]:
		"""
		From its end. Each page overlaps the one before, and must show where that began: what comes at the end moves that place
		to the front of a page, and what is taken out of the part that was read moves it off its end. Raises Changed.
		"""
		seam: list[bytes] = []
		read = 0  # ids from the end on, with those that came meanwhile
		while True:
			self.beat()
			last = max(0, read - OVERLAP)
			page = self.connection.lrange(key, -last - PAGE, -last - 1)
			if seam and not holds(page, seam):
				raise Changed
			yield page
			if len(page) < PAGE:
				return
			read, seam = last + PAGE, page[:SEAM]


def holds(page: list[bytes], row: list[bytes]) -> bool:
	"""Whether these ids stand there in a row."""
	starts = (at for at, id in enumerate(page) if id == row[0])
	return any(page[at : at + len(row)] == row for at in starts)
