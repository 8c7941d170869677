-- KEYS: rq:workers, rq:queues, rq:suspended
-- ARGV: prefix of a worker's key, prefix of this bench's queue keys, prefix of this bench's queue names,
--       prefix of started registries, prefix of a job's key, "1" where started members end in an execution id,
--       prefix of a pool's key, key of the scheduler's record, names of pools that were seen before
-- A worker or pool is told as one string, its fields joined by NUL: a client without hiredis parses each reply for itself.
-- Keys of another type than RQ's are passed over, and told at the end: kind, name, what is odd.
local fields = {'hostname', 'pid', 'queues', 'state', 'current_job', 'birth', 'last_heartbeat', 'shutdown_requested_date',
	'fmx_worker', 'fmx_space', 'fmx_born', 'fmx_pool', 'fmx_reloads', 'fmx_reload_answered', 'fmx_reload_refused'}
local of_pool = {'hostname', 'pid', 'queues', 'workers', 'fmx_space', 'fmx_born', 'fmx_reloads', 'fmx_reload_answered',
	'fmx_reload_refused', 'fmx_reload_trying'}
local workers, others, names, odd, pools = {}, {}, {}, {}, {}
local of_scheduler = {'hostname', 'pid', 'fmx_looks_every', 'fmx_space', 'fmx_born', 'fmx_reloads', 'fmx_reload_answered',
	'fmx_reload_refused', 'fmx_reload_trying', 'fmx_ticks'}
for i = 9, #ARGV do pools[ARGV[i]] = true end
local function told(name, values)
	for i = 1, #values do values[i] = (string.gsub(values[i] or '', '%z', '?')) end
	table.insert(values, 1, name)
	return values
end
local function ask(kind, name, otherwise, ...)
	local answer = redis.pcall(...)
	if type(answer) ~= 'table' or not answer.err then return answer end
	if not string.find(answer.err, 'WRONGTYPE', 1, true) then return redis.call(...) end
	table.insert(odd, {kind, name, 'its key is not of the type that RQ uses'})
	return otherwise
end
for _, key in ipairs(redis.call('SMEMBERS', KEYS[1])) do
	local short = string.sub(key, #ARGV[1] + 1)
	local worker = ask('worker', short, {}, 'HMGET', key, unpack(fields))
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
			if worker[12] and worker[12] ~= '' then pools[worker[12]] = true end
			told((string.gsub(short, '%z', '?')), worker)
			table.insert(worker, redis.call('PTTL', key))
			table.insert(workers, table.concat(worker, '\0'))
		else
			for bench, _ in pairs(benches) do others[bench] = (others[bench] or 0) + 1 end
		end
	else
		for i = 1, #fields do
			if worker[i] then
				table.insert(odd, {'worker', short, 'it does not say which queues it serves'})
				break
			end
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
	table.insert(depths, {short, ask('queue', short, 0, 'LLEN', ARGV[2] .. short)})
	local members = ask('registry of started jobs', short, {}, 'ZRANGE', ARGV[4] .. name, 0, -1, 'WITHSCORES')
	for i = 1, #members, 2 do
		local id = members[i]
		if ARGV[6] == '1' then id = string.gsub(id, ':[^:]*$', '') end
		table.insert(started, {id, members[i + 1], ask('job', id, false, 'HGET', ARGV[5] .. id, 'worker_name')})
	end
end
local parents = {}
for name, _ in pairs(pools) do
	local pool = ask('pool', name, {}, 'HMGET', ARGV[7] .. name, unpack(of_pool))
	if pool[2] then table.insert(parents, table.concat(told((string.gsub(name, '%z', '?')), pool), '\0')) end
end
local scheduler = ask('scheduler', 'its record', {}, 'HMGET', ARGV[8], unpack(of_scheduler))
if scheduler[2] then scheduler = table.concat(told('', scheduler), '\0') else scheduler = false end
local neighbours = {}
for bench, count in pairs(others) do table.insert(neighbours, {bench, count}) end
local suspension = ask('suspension', KEYS[3], 'something that is no text', 'GET', KEYS[3])
return {redis.call('TIME'), suspension, neighbours, workers, depths, started, odd, parents, scheduler}
