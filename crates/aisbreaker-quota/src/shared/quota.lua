#!lua name=@NAME@
-- Counters with sliding windows of a minute, an hour and a day, charged together or not at all.
--
-- A counter is a string, packed as src/cell/packed.rs has it: a header, then pairs of slot and count, oldest first, those
-- of the day, of the hour and of the minute. Slots of a minute take 600 ms from EPOCH on; 60 of them are one of the hour,
-- 24 of those one of the day. A slot counts while it is at most REACH slots old.

local EPOCH = 1704067200 -- 2024-01-01, the beginning of a slot of each window
local REACH = 100
local LIFE = 88200 -- seconds after its last charge in which a counter may still count something
local HEADER = '<I4I4I4I4I2I2'

local pack, unpack_pair, sub, floor

-- To be called first by each function: while a library is loaded, Lua's own libraries are not there yet.
local function bind()
  pack, unpack_pair, sub, floor = struct.pack, struct.unpack, string.sub, math.floor
end

-- The time of this server, or the one in `set`: seconds since EPOCH and microseconds.
local function time(set)
  if set ~= '' then
    local seconds, micros = struct.unpack('<I4I4', set)
    return seconds, micros
  end
  local now = redis.call('TIME')
  return math.max(tonumber(now[1]) - EPOCH, 0), tonumber(now[2])
end

-- The first pairs of `part` that have left their window by slot `now`: where the rest begins, and what they count.
local function leaving(part, now)
  local at, amount, length = 1, 0, #part
  while at <= length do
    local slot, count = unpack_pair('<I4I4', part, at)
    if now - slot <= REACH then break end
    amount = amount + count
    at = at + 8
  end
  return at, amount
end

-- `older` with the first pairs of `part`, up to `rest`, as pairs of slots that are `ratio` times as long.
local function folded(older, part, rest, ratio)
  local pieces, slot, count = {}, nil, 0
  if #older > 0 then
    slot, count = unpack_pair('<I4I4', older, #older - 7)
    older = sub(older, 1, -9)
  end
  for at = 1, rest - 1, 8 do
    local fine, more = unpack_pair('<I4I4', part, at)
    local coarse = floor(fine / ratio)
    if coarse ~= slot then
      if slot then pieces[#pieces + 1] = pack('<I4I4', slot, count) end
      slot, count = coarse, 0
    end
    count = count + more
  end
  pieces[#pieces + 1] = pack('<I4I4', slot, count)
  return older .. table.concat(pieces)
end

-- Whether the pair that begins part of `body`, after `before` pairs, has left its window by slot `now`. A part that is empty
-- has none: `after` pairs in, the next one begins.
local function leaves(body, before, after, now)
  return before < after and now - unpack_pair('<I4', body, before * 8 + 1) > REACH
end

-- Moves a counter on to slot `now`, which is ahead of its latest one: a list that something leaves is taken apart.
local function settle(cell, now)
  local body, count = cell.body, #cell.body / 8
  local hour = floor(now / 60)
  local day = floor(hour / 24)
  if not (leaves(body, cell.hours, count, now) or leaves(body, cell.days, cell.hours, hour) or leaves(body, 0, cell.days, day)) then
    return
  end
  local days, hours = sub(body, 1, cell.days * 8), sub(body, cell.days * 8 + 1, cell.hours * 8)
  local minutes = sub(body, cell.hours * 8 + 1)
  local rest, gone = leaving(minutes, now)
  if rest > 1 then
    hours, minutes, cell.minute = folded(hours, minutes, rest, 60), sub(minutes, rest), cell.minute - gone
  end
  rest, gone = leaving(hours, hour)
  if rest > 1 then
    days, hours, cell.hour = folded(days, hours, rest, 24), sub(hours, rest), cell.hour - gone
  end
  rest, gone = leaving(days, day)
  if rest > 1 then
    days, cell.day = sub(days, rest), cell.day - gone
  end
  cell.days, cell.hours, cell.body = #days / 8, (#days + #hours) / 8, days .. hours .. minutes
end

-- The counter in `value`, moved on to slot `now`; a clock behind the counter's latest slot counts as standing at it. Of its
-- pairs, `body`, the first `days` are of the day, and those after them up to `hours` of the hour.
local function open(value, now)
  if not value then
    return { last = now, minute = 0, hour = 0, day = 0, days = 0, hours = 0, body = '' }
  end
  local last, minute, hour, day, days, hours = unpack_pair(HEADER, value)
  local cell = { last = last, minute = minute, hour = hour, day = day, days = days, hours = hours, body = sub(value, 21) }
  if now > last then
    cell.last = now
    settle(cell, now)
  end
  return cell
end

local function add(cell, amount)
  local body, slot, count = cell.body, nil, 0
  if #body > cell.hours * 8 then
    slot, count = unpack_pair('<I4I4', body, #body - 7)
  end
  if slot == cell.last then
    cell.body = sub(body, 1, -9) .. pack('<I4I4', slot, count + amount)
  else
    cell.body = body .. pack('<I4I4', cell.last, amount)
  end
  cell.minute, cell.hour, cell.day = cell.minute + amount, cell.hour + amount, cell.day + amount
end

local function packed(cell)
  return pack(HEADER, cell.last, cell.minute, cell.hour, cell.day, cell.days, cell.hours) .. cell.body
end

-- What a counter counts in each window, and the slot of the oldest charge of each, in the window's own grid.
local function standing(cell)
  local body, days, hours = cell.body, cell.days, cell.hours
  local day, hour, minute
  if #body > hours * 8 then
    minute = unpack_pair('<I4', body, hours * 8 + 1)
    hour = floor(minute / 60)
    day = floor(hour / 24)
  end
  if hours > days then
    hour = unpack_pair('<I4', body, days * 8 + 1)
    day = floor(hour / 24)
  end
  if days > 0 then
    day = unpack_pair('<I4', body)
  end
  return pack('<I4I4I4I4I4I4', cell.minute, cell.hour, cell.day, day or 0, hour or 0, minute or 0)
end

-- Takes back from what was charged in a slot of each counter, where that is still told apart; `what` has the slot and how
-- much.
local function take_back(keys, what)
  local slot, amount = unpack_pair('<I4I4', what)
  for index = 1, #keys do
    local value = redis.call('GET', keys[index])
    local cell = value and open(value, 0)
    local first = cell and cell.hours * 8 + 1 or 1
    for at = cell and #cell.body - 7 or 0, first, -8 do
      local found, count = unpack_pair('<I4I4', cell.body, at)
      if found <= slot then
        if found == slot and count >= amount then
          local changed = count > amount and pack('<I4I4', slot, count - amount) or ''
          cell.body = sub(cell.body, 1, at - 1) .. changed .. sub(cell.body, at + 8)
          cell.minute, cell.hour, cell.day = cell.minute - amount, cell.hour - amount, cell.day - amount
          redis.call('SET', keys[index], packed(cell), 'KEEPTTL')
        end
        break
      end
    end
  end
end

-- Charges every counter, or none. The first argument has five numbers for each charge: the counter's place among `keys`,
-- what this charge and those before it ask of the counter, and its limits per minute, hour and day. The second is what is
-- wanted besides, of which a quarter of what remains is given at most; the third a time to go by instead of this server's;
-- the fourth what is given back before, whatever comes of the charge. Answers with the time, what was given besides and the
-- standing of each counter, or with the time and the counters as they are.
local function charge(keys, args)
  bind()
  local seconds, micros = time(args[3])
  local now = floor((seconds * 1000000 + micros) / 600000)
  if args[4] ~= '' then take_back(keys, args[4]) end
  local values = redis.call('MGET', unpack(keys))
  local cells, asked = {}, {}
  for index = 1, #keys do
    cells[index] = open(values[index], now)
  end
  local asks, left = args[1], 4294967295
  for at = 1, #asks, 18 do
    local index, wanted, per_minute, per_hour, per_day = struct.unpack('<I2I4I4I4I4', asks, at)
    local cell = cells[index]
    local least = math.min(per_minute - cell.minute, per_hour - cell.hour, per_day - cell.day) - wanted
    if least < 0 then
      local answer = { pack('<I1I4I4', 0, seconds, micros) }
      for place = 1, #keys do answer[place + 1] = values[place] or '' end
      return answer
    end
    left = math.min(left, least)
    asked[index] = math.max(asked[index] or 0, wanted)
  end
  local extra = math.min(tonumber(args[2]), floor(left / 4))
  local pieces = { pack('<I1I4I4I4', 1, seconds, micros, extra) }
  for index = 1, #keys do
    local cell = cells[index]
    add(cell, asked[index] + extra)
    redis.call('SETEX', keys[index], LIFE, packed(cell))
    pieces[index + 1] = standing(cell)
  end
  return { table.concat(pieces) }
end

-- The time, and the counters as they are.
local function peek(keys, args)
  bind()
  local seconds, micros = time(args[1])
  local answer = { pack('<I1I4I4', 0, seconds, micros) }
  local values = redis.call('MGET', unpack(keys))
  for place = 1, #keys do answer[place + 1] = values[place] or '' end
  return answer
end

-- Gives back what the argument says.
local function give_back(keys, args)
  bind()
  take_back(keys, args[1])
  return 'OK'
end

redis.register_function('@NAME@_charge', charge)
redis.register_function{ function_name = '@NAME@_peek', callback = peek, flags = { 'no-writes' } }
redis.register_function('@NAME@_give_back', give_back)
