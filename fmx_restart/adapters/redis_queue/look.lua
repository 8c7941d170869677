-- KEYS: rq:workers, rq:queues, rq:suspended
-- ARGV: prefix of a worker's key, prefix of this bench's queue keys, prefix of this bench's queue names,
--       prefix of started registries, prefix of a job's key, "1" where started members end in an execution id
-- A worker is told as one string, its fields joined by NUL: a client without hiredis parses each reply for itself.
local fields = {'hostname', 'pid', 'queues', 'state', 'current_job', 'birth', 'last_heartbeat', 'shutdown_requested_date'}
local workers, others, names = {}, {}, {}
for _, key in ipairs(redis.call('SMEMBERS', KEYS[1])) do
	local worker = redis.call('HMGET', key, unpack(fields))
	if worker[3] then
		local is_ours, benches = false, {}
		for name in string.gmatch(worker[3], '[^,]+') do
			if string.sub(name, 1, #ARGV[3]) == ARGV[3] then
				is_ours, names[name] = true, true
			else
				benches[string.match(name, '^(.*):') or name] = true
			end
		end
		if is_ours then
			for i = 1, #fields do worker[i] = worker[i] or '' end
			worker[#fields + 1] = redis.call('PTTL', key)
			table.insert(worker, 1, string.sub(key, #ARGV[1] + 1))
			table.insert(workers, table.concat(worker, '\0'))
		else
			for bench, _ in pairs(benches) do others[bench] = (others[bench] or 0) + 1 end
		end
	end
end
for _, key in ipairs(redis.call('SMEMBERS', KEYS[2])) do
	if string.sub(key, 1, #ARGV[2]) == ARGV[2] then
		names[ARGV[3] .. string.sub(key, #ARGV[2] + 1)] = true
	end
end
local depths, started = {}, {}
for name, _ in pairs(names) do
	local short = string.sub(name, #ARGV[3] + 1)
	table.insert(depths, {short, redis.call('LLEN', ARGV[2] .. short)})
	local members = redis.call('ZRANGE', ARGV[4] .. name, 0, -1, 'WITHSCORES')
	for i = 1, #members, 2 do
		local id = members[i]
		if ARGV[6] == '1' then id = string.gsub(id, ':[^:]*$', '') end
		table.insert(started, {id, members[i + 1], redis.call('HGET', ARGV[5] .. id, 'worker_name')})
	end
end
local neighbours = {}
for bench, count in pairs(others) do table.insert(neighbours, {bench, count}) end
return {redis.call('TIME'), redis.call('GET', KEYS[3]), neighbours, workers, depths, started}
