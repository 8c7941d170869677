-- KEYS[1]: rq:suspended. KEYS[2]: the owners of it, a hash: owner → "<expiry, ms> <lapsed, 0 or 1> <note>".
-- Lapsed: the queue was not suspended at some moment since this owner renewed. Whoever notices sets it for all others.
local moment = redis.call('TIME')
local now = moment[1] * 1000 + math.floor(moment[2] / 1000)
local value = redis.pcall('GET', KEYS[1])
if type(value) == 'table' then value = '' end -- of another type: RQ looks only whether the key is there
local living, ended = {}, {}

local function begins(text, stem)
	return string.sub(text, 1, #stem) == stem
end

local function names(owner)
	return value and begins(value, owner .. ' ')
end

local function write(name, owner)
	local fields = string.format('%.0f %d %s', owner.expiry, owner.lapsed and 1 or 0, '')
	redis.call('HSET', KEYS[2], name, fields .. owner.note)
end

local fields = redis.call('HGETALL', KEYS[2])
for i = 1, #fields, 2 do
	local expiry, lapsed, note = string.match(fields[i + 1], '^(%d+) ([01]) (.*)$')
	local owner = {expiry = tonumber(expiry or 0), lapsed = lapsed == '1', note = note or ''}
	if owner.expiry > now then living[fields[i]] = owner else ended[fields[i]] = owner end
end

-- Whether the fence has stood for this owner since its last renewal. The value alone tells it where the hash was evicted.
local function has_stood(name)
	local owner = living[name] or ended[name]
	if not value or (owner and owner.lapsed) then return false end
	return living[name] ~= nil or names(name)
end

-- The one that the value names, of those.
local function named(owners)
	for name, _ in pairs(owners) do
		if names(name) then return name end
	end
end

-- The living owner that lasts longest; of two that last as long always the same.
local function latest()
	local found
	for name, owner in pairs(living) do
		local best = living[found]
		if not best or owner.expiry > best.expiry or (owner.expiry == best.expiry and name < found) then found = name end
	end
	return found
end

-- Nothing suspended the queue just now: each living owner is told so at its next renewal.
local function mark_lapsed()
	for name, owner in pairs(living) do
		owner.lapsed = true
		write(name, owner)
	end
end

local function suspend_for(name)
	local left = string.format('%.0f', living[latest()].expiry - now)
	redis.call('SET', KEYS[1], name .. ' ' .. living[name].note, 'PX', left)
end

local function expire_with_the_latest(key)
	redis.call('PEXPIREAT', key, string.format('%.0f', living[latest()].expiry))
end

local function forget_ended()
	for name, _ in pairs(ended) do redis.call('HDEL', KEYS[2], name) end
end

-- That owner leaves; the suspension goes on for those who are left. True where the owner had not ended.
local function leave(me)
	local was_ours = living[me] ~= nil or names(me) == true
	if not was_ours and not ended[me] then return false end
	local is_stranger = value and not (names(me) or named(living) or named(ended))
	living[me], ended[me] = nil, true
	forget_ended()
	local heir = latest()
	if not heir then
		if value and not is_stranger then redis.call('DEL', KEYS[1]) end
		return was_ours
	end
	if not value then mark_lapsed() end
	if is_stranger then
		-- theirs to lift
	elseif value and named(living) then
		expire_with_the_latest(KEYS[1])
	else
		suspend_for(heir)
	end
	expire_with_the_latest(KEYS[2])
	return was_ours
end
