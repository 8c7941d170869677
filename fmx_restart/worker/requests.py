"""Asking processes of a bench to reload: all of them, those of a host, one worker, one pool, or the scheduler."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from redis import Redis

ALL, SCHEDULER = "all", "scheduler"
FORGOTTEN_AFTER = 7 * 86_400_000  # milliseconds: whoever was asked by name and has not answered is gone

ANSWERED = "fmx_reload_answered"  # in a worker's record: reload.py

#: KEYS: requests, and, where one process is asked, its record. ARGV: of whom. Returns the number of the request: by Redis' clock,
#: in milliseconds, and above all others and what that process has answered: the clock may have been set back.
ASK = f"""
local time = redis.call('TIME')
local number = time[1] * 1000 + math.floor(time[2] / 1000)
local held = redis.call('HGETALL', KEYS[1])
for i = 1, #held, 2 do
	local other = tonumber(held[i + 1]) or 0
	if other < number - {FORGOTTEN_AFTER} then redis.call('HDEL', KEYS[1], held[i]) end
	if other < 2 ^ 53 then number = math.max(number, other + 1) end
end
local answered = KEYS[2] and tonumber(redis.call('HGET', KEYS[2], '{ANSWERED}') or 0) or 0
if answered < 2 ^ 53 then number = math.max(number, answered + 1) end
number = string.format('%.0f', number)
redis.call('HSET', KEYS[1], ARGV[1], number)
return number
"""


def requests_key(bench_id: str) -> str:
	"""A hash: all, host:<name>, worker:<name>, pool:<name> or scheduler → the number of the newest request."""
	return f"rq:fmx:{bench_id}:reload"


#: In the hash of trials: it was asked, it has begun, and nothing is wrong; else what is
TRY, TRYING, LOADS = "try", "trying", "loads"
TRIALS_KEPT = 600  # seconds


def trials_key(bench_id: str) -> str:
	"""A hash: worker's name → whether the code that is on its host now can be loaded there. Looked at while suspended."""
	return f"rq:fmx:{bench_id}:try"


def lock_key(bench_id: str) -> str:
	"""It is there while an operation works on the bench. Frappe's Redis ACL lets a bench write rq:[^q]* only."""
	return f"rq:fmx:{bench_id}:lock"


def of_host(name: str) -> str:
	"""All of one machine, as workers' records name it."""
	return f"host:{name}"


def of_worker(name: str) -> str:
	"""
	One; after its reload it has another name. One of a pool leaves, and its pool starts another one with the pool's own code.
	"""
	return f"worker:{name}"


def of_pool(name: str) -> str:
	"""One pool, as its workers' records name it. It keeps its name when it reloads."""
	return f"pool:{name}"


def ask(connection: Redis, bench_id: str, whom: str = ALL, *, record: str | bytes = "") -> int:
	"""
	The number of the request. `whom`: ALL, of_host, of_worker, of_pool or SCHEDULER. `record`: the key of the record of the one
	process that is asked. Raises RedisError.
	"""
	keys = [requests_key(bench_id), *([record] if record else [])]
	return int(connection.eval(ASK, len(keys), *keys, whom))


def withdraw(connection: Redis, bench_id: str, whom: Iterable[str]) -> None:
	"""Whoever has not seen such a request yet stays as it is. Raises RedisError."""
	if fields := list(whom):
		connection.hdel(requests_key(bench_id), *fields)


def newest(connection: Redis, bench_id: str, whom: Sequence[str]) -> int:
	"""The number of the newest request to one of these; 0 where there is none. Raises RedisError."""
	numbers = connection.hmget(requests_key(bench_id), whom)
	return max((int(number) for number in numbers if number and number.isdigit()), default=0)
