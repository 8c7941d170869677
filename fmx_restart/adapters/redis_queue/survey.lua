-- KEYS: a queue. ARGV: how many jobs to look at in all, the most bytes of one, prefix of a job's key, how many of them were
--       looked at already, how many to look at now
-- Jobs in even steps from the front to the back, never more than wanted: the length of the queue, a part of the sample. To
-- reach one in the middle of a long list takes Redis a while, so many are looked at in several calls.
-- Of a job that is larger than allowed its data are left out: a sample must not cost more than it tells.
local length = redis.call('LLEN', KEYS[1])
local wanted = math.min(length, tonumber(ARGV[1]))
local last = math.min(wanted, ARGV[4] + ARGV[5]) - 1
local sample = {}
for i = tonumber(ARGV[4]), last do
	local index = wanted > 1 and math.floor(i * (length - 1) / (wanted - 1)) or 0
	local id = redis.call('LINDEX', KEYS[1], index)
	local key = ARGV[3] .. id
	local data = ''
	local enqueued = ''
	if redis.call('TYPE', key).ok == 'hash' then
		if redis.call('HSTRLEN', key, 'data') <= tonumber(ARGV[2]) then data = redis.call('HGET', key, 'data') or '' end
		enqueued = redis.call('HGET', key, 'enqueued_at') or ''
	end
	table.insert(sample, {id, data, enqueued})
end
return {length, sample}
