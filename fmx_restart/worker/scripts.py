"""
The three steps of a claim, each as one script: Redis does all of it, or nothing.

A claim is a field of the hash rq:fmx:<bench>:claims: the worker's name → JSON with `state` (popped or started), `queue` (its
key), `id` (the job's), `at` (seconds since the epoch, by Redis' clock) and `process` (which one the worker is). START adds what becomes of the job if its process
is killed: `policy` (fail or requeue) and `tries` (how often it may go back).

A Redis that is full refuses HSET, but neither HDEL and LPOP nor what follows a write of the same script. So each writes one of
these first.
"""

from __future__ import annotations

from rq.job import Job
from rq.queue import Queue
from rq.registry import StartedJobRegistry

#: A field of the job's hash: how often its process was killed
TRIES = "fmx_tries"
#: Seconds after which RQ itself fails a job whose failure nobody recorded
RECORDED_WITHIN = 60
#: Seconds after which another worker of this app does it: RQ cleans up once in a quarter of an hour, and a failure callback may take
#: a minute
RECORDED_AGAIN = 75
#: Milliseconds until another worker becomes the lookout, if that one has not looked since
IS_LOOKOUT_FOR = 1500
#: A call: hang your bells, you need not look before
BE_LOOKOUT = "lookout"
#: Seconds after which a worker that waited, or a call that nobody has heard, is forgotten
CALLED_FOR = 5

_SHARED = f"""
local claims, me = KEYS[1], ARGV[1]
local is_suspended = redis.call('EXISTS', KEYS[2]) == 1
local function key_of(claim) return '{Job.redis_job_namespace_prefix}' .. claim.id end
local ended = {{started = true, finished = true, failed = true, stopped = true, canceled = true}}
local function is_open(claim, owner)
	local job = redis.call('HMGET', key_of(claim), 'status', 'worker_name')
	if claim.state == 'popped' then return job[1] and not ended[job[1]] end
	return job[1] == 'started' and job[2] == owner
end
local function put_back(claim)
	redis.call('SADD', '{Queue.redis_queues_keys}', claim.queue)
	redis.call('LPUSH', claim.queue, claim.id)
end
"""

#: Of the workers with the same queues that have no job, one hangs its bells (bells.py): the lookout. The others wait to be called.
#: Whoever goes on without waiting, and finds that there is no lookout or is it itself, calls the one that has looked last: to be the
#: lookout, or while the queue is suspended, to look. Each looks once a second all the same, so no job waits longer for a lookout that was
#: killed, or for a call that was lost. The keys are those of that group: the name of the lookout, which expires; and those that wait,
#: with the time of their last look.
_LOOKOUT = f"""
local function seconds()
	local now = redis.call('TIME')
	return now[1] + now[2] / 1000000
end
local function pass_on(lookout, waiting)
	redis.call('ZREM', waiting, me)
	local holder = redis.call('GET', lookout)
	if holder and holder ~= me then return end
	redis.call('DEL', lookout)
	local other = redis.call('ZREVRANGE', waiting, 0, 0)[1]
	if not other then return end
	redis.call('ZREM', waiting, other)
	local call = string.sub(claims, 1, -#'claims' - 1) .. 'call:' .. other
	redis.call('LPUSH', call, is_suspended and 'look' or '{BE_LOOKOUT}')
	redis.call('EXPIRE', call, {CALLED_FOR})
	if not is_suspended then redis.call('SET', lookout, other, 'PX', {IS_LOOKOUT_FOR}) end
end
local function stay(lookout, waiting)
	redis.call('ZREM', waiting, me)
	local holder = redis.call('GET', lookout)
	if not holder or holder == me then
		redis.call('SET', lookout, me, 'PX', {IS_LOOKOUT_FOR})
		return '1'
	end
	local now = seconds()
	redis.call('ZREMRANGEBYSCORE', waiting, '-inf', now - {CALLED_FOR})
	redis.call('ZADD', waiting, now, me)
	redis.call('EXPIRE', waiting, {CALLED_FOR})
	return ''
end
"""

#: KEYS: claims, rq:suspended, requests for a reload, this worker's record, the place of the worker that is recycled, the lock of an
#: operation, the lookout, those that wait, then the queues in the order in which they are served. ARGV: this worker's name, its
#: process, the newest request that it has followed or refused, whether it should be recycled ("", "idle": if there is no job,
#: "now": before the next job), seconds until Redis gives its place to another one, "1" if it stays where there is no job, the fields
#: of requests that concern it.
#: Returns what is to be done, the claim, how many others have one, and with a job its record, so that nobody has to ask for it.
#: What is to be done: unregistered (its record is gone: without one, others do not know that it lives), job (a new one; its
#: record says busy), again (one that it was given before: the answer was lost on its way, or Redis was away when the job was
#: to be started), unfinished (the process of the last job ended and nobody recorded it), reload (it has no claim; in place of
#: one, the number of the request), recycle (it has no claim, and has the place), suspended, none (in place of a claim, "1" if it is
#: the lookout). A job that was popped, not started, goes back to its queue while that is suspended.
POP = (
	_SHARED
	+ _LOOKOUT
	+ """
local function go(...)
	pass_on(KEYS[7], KEYS[8])
	return {...}
end
if redis.call('HEXISTS', KEYS[4], 'birth') == 0 then return {'unregistered', '', redis.call('HLEN', claims)} end
local held = redis.call('HGET', claims, me)
if held then
	local claim = cjson.decode(held)
	local is_ours, others = is_open(claim, me), redis.call('HLEN', claims) - 1
	if claim.state == 'popped' and is_ours and not is_suspended then return go('again', held, others, redis.call('HGETALL', key_of(claim))) end
	if claim.state == 'started' and is_ours then return {'unfinished', held, others} end
	redis.call('HDEL', claims, me)
	if is_ours then put_back(claim) end
end
local asked, newest = redis.call('HMGET', KEYS[3], unpack(ARGV, 7)), 0
for i = 1, #ARGV - 6 do
	local number = tonumber(asked[i] or 0) or 0
	if number < 2 ^ 53 then newest = math.max(newest, number) end
end
if newest > tonumber(ARGV[3]) then return go('reload', string.format('%.0f', newest), redis.call('HLEN', claims)) end
if is_suspended then return go('suspended', '', redis.call('HLEN', claims)) end
local function has_place()
	if redis.call('EXISTS', KEYS[6]) == 1 then return false end
	local answer = redis.pcall('SET', KEYS[5], me, 'NX', 'EX', ARGV[5])
	return answer and answer.ok or redis.pcall('GET', KEYS[5]) == me
end
if ARGV[4] == 'now' and has_place() then return go('recycle', '', redis.call('HLEN', claims)) end
for i = 9, #KEYS do
	local id = redis.call('LPOP', KEYS[i])
	if id then
		local at = tonumber(redis.call('TIME')[1])
		local claim = {state = 'popped', queue = KEYS[i], id = id, at = at, process = ARGV[2]}
		local text = cjson.encode(claim)
		redis.call('HSET', claims, me, text)
		redis.call('HSET', KEYS[4], 'state', 'busy')
		return go('job', text, redis.call('HLEN', claims) - 1, redis.call('HGETALL', key_of(claim)))
	end
end
if ARGV[4] == 'idle' and has_place() then return go('recycle', '', redis.call('HLEN', claims)) end
return {'none', ARGV[6] == '1' and stay(KEYS[7], KEYS[8]) or '', redis.call('HLEN', claims)}
"""
)

#: KEYS: claims, rq:suspended, the lookout, those that wait. ARGV: the name of this worker, which ends.
LEAVE = _SHARED + _LOOKOUT + "pass_on(KEYS[3], KEYS[4])"

#: KEYS: claims, rq:suspended, the started registry of the job's queue. ARGV: this worker's name, the job's id, its policy, its
#: tries, seconds until RQ gives it up ("" where RQ has listed it as started already). Returns 1 if the job may be run; 0 if the
#: claim is another's meanwhile, or if the job was deleted or canceled. Asked again, it gives the same answer.
START = (
	_SHARED
	+ """
local held = redis.call('HGET', claims, me)
local claim = held and cjson.decode(held)
if not claim or claim.id ~= ARGV[2] then return 0 end
if claim.state == 'started' then return is_open(claim, me) and 1 or 0 end
redis.call('HDEL', claims, me)
local status = redis.call('HGET', key_of(claim), 'status')
if not status or status == 'canceled' then return 0 end
claim.state, claim.policy, claim.tries = 'started', ARGV[3], tonumber(ARGV[4])
redis.call('HSET', claims, me, cjson.encode(claim))
redis.call('HSET', key_of(claim), 'status', 'started', 'worker_name', me)
if ARGV[5] ~= '' then
	redis.call('ZADD', KEYS[3], redis.call('TIME')[1] + ARGV[5], claim.id)
end
return 1
"""
)

#: KEYS: claims, rq:suspended, failures that nobody has recorded yet: job's id → the claim as RECORD reads it. ARGV: the owner's name, its
#: claim as it was read ("" for whatever it is), "1" if this is the owner,
#: "1" if a job that was not started counts as killed, the tries of such a job, "1" where RQ lists executions (rq 2).
#: Returns what became of the job, and the claim: nothing (there is no such claim), over (the job has ended, or RQ put it
#: back), suspended (an operation may be ending it just now: later), returned (not started: to the front), requeued (killed: to
#: the front), failed (the caller has to record that; until then RQ lists it as started, and fails it after RECORDED_WITHIN).
LET_GO = (
	_SHARED
	+ f"""
local held = redis.call('HGET', claims, me)
if not held or (ARGV[2] ~= '' and ARGV[2] ~= held) then return {{'nothing', ''}} end
local claim, is_owner = cjson.decode(held), ARGV[3] == '1'
if claim.state == 'started' and is_suspended and not is_owner then return {{'suspended', held}} end
redis.call('HDEL', claims, me)
if not is_open(claim, me) then return {{'over', held}} end
local tries = 0
if claim.state == 'started' or ARGV[4] == '1' then
	tries = redis.call('HINCRBY', key_of(claim), '{TRIES}', 1)
end
local goes_back = claim.state == 'popped' or (claim.policy == 'requeue' and not is_suspended)
local fails = not goes_back or tries > (claim.tries or tonumber(ARGV[5]))
local name = string.sub(claim.queue, {len(Queue.redis_queue_namespace_prefix) + 1})
local started, entries = '{StartedJobRegistry.key_template.format("")}' .. name, 0
local until_recorded = redis.call('TIME')[1] + {RECORDED_WITHIN}
for _, member in ipairs(redis.call('ZRANGE', started, 0, -1)) do
	local id, execution = member, ''
	if ARGV[6] == '1' then id, execution = string.match(member, '^(.*):([^:]*)$') end
	if id == claim.id then
		entries = entries + 1
		if fails then
			redis.call('ZADD', started, until_recorded, member)
		else
			redis.call('ZREM', started, member)
			redis.call('DEL', 'rq:execution:' .. member)
		end
	end
end
if fails then
	redis.call('HDEL', key_of(claim), '{TRIES}')
	if claim.state == 'started' then
		claim.owner, claim.since = me, redis.call('HGET', key_of(claim), 'started_at') or ''
		claim.failed = tonumber(redis.call('TIME')[1])
		redis.call('HSET', KEYS[3], claim.id, cjson.encode(claim))
	end
	local entry = ARGV[6] == '1' and claim.id .. ':fmx' or claim.id
	if entries == 0 then redis.call('ZADD', started, until_recorded, entry) end
	return {{'failed', held}}
end
redis.call('DEL', 'rq:executions:' .. claim.id)
redis.call('HSET', key_of(claim), 'status', 'queued')
redis.call('HDEL', key_of(claim), 'started_at', 'worker_name', 'last_heartbeat')
put_back(claim)
return {{claim.state == 'started' and 'requeued' or 'returned', held}}
"""
)

#: KEYS: failures that nobody has recorded yet. ARGV: the job's id, its entry as it was read. Returns over (somebody has recorded it, or
#: the job went on), later (somebody may be at it), or failed: the caller has to record it now; and the name of the owner.
RECORD = f"""
if redis.call('HGET', KEYS[1], ARGV[1]) ~= ARGV[2] then return {{'later', ''}} end
local claim, now = cjson.decode(ARGV[2]), tonumber(redis.call('TIME')[1])
local job = redis.call('HMGET', '{Job.redis_job_namespace_prefix}' .. claim.id, 'status', 'worker_name', 'started_at')
if job[1] ~= 'started' or job[2] ~= claim.owner or (job[3] or '') ~= claim.since then
	redis.call('HDEL', KEYS[1], ARGV[1])
	return {{'over', ''}}
end
if now < claim.failed + {RECORDED_AGAIN} then return {{'later', ''}} end
claim.failed = now
redis.call('HSET', KEYS[1], ARGV[1], cjson.encode(claim))
return {{'failed', claim.owner}}
"""
