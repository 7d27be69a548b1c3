#!lua name=@NAME@
-- Sliding-window counters per minute, hour and day, charged all together or not at all.
--
-- A counter is a string in the format of src/cell/packed.rs: a header, then pairs of slot and
-- count, oldest first: day slots, then hour slots, then fine slots. Fine slots take 600 ms from
-- EPOCH on. An hour slot is 60 of them, a day slot 24 hour slots. A slot counts while it is at most
-- REACH slots old.

local EPOCH = 1704067200 -- 2024-01-01, where slots of all windows begin
local REACH = 100
local LIFE = 88200 -- seconds after its last charge in which a counter may still count something
local HEADER = '<I4I4I4I4I2I2'

local pack, unpack_pair, sub, floor

-- Each function calls this first: Lua's libraries are not available while this one is loaded.
local function bind()
  pack, unpack_pair, sub, floor = struct.pack, struct.unpack, string.sub, math.floor
end

-- Returns the time in seconds and microseconds since EPOCH: the one in `set`, or this server's.
local function time(set)
  if set ~= '' then
    local seconds, micros = struct.unpack('<I4I4', set)
    return seconds, micros
  end
  local now = redis.call('TIME')
  return math.max(tonumber(now[1]) - EPOCH, 0), tonumber(now[2])
end

-- Finds the pairs at the head of `part` that have left their window by slot `now`. Returns where
-- the other pairs begin, and what those that left count.
local function expired(part, now)
  local at, amount, length = 1, 0, #part
  while at <= length do
    local slot, count = unpack_pair('<I4I4', part, at)
    if now - slot <= REACH then break end
    amount = amount + count
    at = at + 8
  end
  return at, amount
end

-- Returns `older` with the pairs of `part` before `rest` appended, in slots `ratio` times as long.
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

-- Reports whether the first pair of a part of `body` has left its window by slot `now`. The part
-- has the pairs after the first `before` and up to `after`; an empty part has none that could.
local function has_expired(body, before, after, now)
  return before < after and now - unpack_pair('<I4', body, before * 8 + 1) > REACH
end

-- Advances a counter to slot `now`, which is later than its latest one. Its list is only taken
-- apart if a pair has left its window.
local function advance(cell, now)
  local body, count = cell.body, #cell.body / 8
  local hour = floor(now / 60)
  local day = floor(hour / 24)
  if not (has_expired(body, cell.hours, count, now)
      or has_expired(body, cell.days, cell.hours, hour)
      or has_expired(body, 0, cell.days, day)) then
    return
  end
  local days, hours = sub(body, 1, cell.days * 8), sub(body, cell.days * 8 + 1, cell.hours * 8)
  local minutes = sub(body, cell.hours * 8 + 1)
  local rest, gone = expired(minutes, now)
  if rest > 1 then
    hours, minutes = folded(hours, minutes, rest, 60), sub(minutes, rest)
    cell.minute = cell.minute - gone
  end
  rest, gone = expired(hours, hour)
  if rest > 1 then
    days, hours = folded(days, hours, rest, 24), sub(hours, rest)
    cell.hour = cell.hour - gone
  end
  rest, gone = expired(days, day)
  if rest > 1 then
    days, cell.day = sub(days, rest), cell.day - gone
  end
  cell.days, cell.hours = #days / 8, (#days + #hours) / 8
  cell.body = days .. hours .. minutes
end

-- Reads the counter in `value` and advances it to slot `now`. A clock behind the counter's latest
-- slot counts as standing at it. `body` has the pairs: the first `days` of them in day slots, those
-- after them up to `hours` in hour slots.
local function open(value, now)
  if not value then
    return { last = now, minute = 0, hour = 0, day = 0, days = 0, hours = 0, body = '' }
  end
  local last, minute, hour, day, days, hours = unpack_pair(HEADER, value)
  local cell = {
    last = last, minute = minute, hour = hour, day = day,
    days = days, hours = hours, body = sub(value, 21),
  }
  if now > last then
    cell.last = now
    advance(cell, now)
  end
  return cell
end

-- Adds `amount` in the counter's latest slot.
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
  local header = pack(
    HEADER, cell.last, cell.minute, cell.hour, cell.day, cell.days, cell.hours)
  return header .. cell.body
end

-- Returns what a counter counts in each window, and the slot of the oldest charge in each, in the
-- window's own grid.
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

-- Subtracts an amount that was charged in a fine slot from every counter that has not folded that
-- slot yet. The counters are the first `count` keys. `unused` has the slot and the amount.
local function release_unused(keys, count, unused)
  local slot, amount = unpack_pair('<I4I4', unused)
  for index = 1, count do
    local value = redis.call('GET', keys[index])
    local cell = value and open(value, 0)
    local first = cell and cell.hours * 8 + 1 or 1
    for at = cell and #cell.body - 7 or 0, first, -8 do
      local found, count = unpack_pair('<I4I4', cell.body, at)
      if found <= slot then
        if found == slot and count >= amount then
          local changed = count > amount and pack('<I4I4', slot, count - amount) or ''
          cell.body = sub(cell.body, 1, at - 1) .. changed .. sub(cell.body, at + 8)
          cell.minute = cell.minute - amount
          cell.hour = cell.hour - amount
          cell.day = cell.day - amount
          redis.call('SET', keys[index], packed(cell), 'KEEPTTL')
        end
        break
      end
    end
  end
end

-- Charges every counter, or none.
--
-- args[1] has five numbers for each charge: the index of its counter in `keys`, what it and earlier
-- charges need of that counter, and the limits per minute, hour and day.
-- args[2] is how much to charge in advance, of which at most a quarter of what remains is granted.
-- args[3] is a time to decide at instead of this server's.
-- args[4] is what to release first, whether the charge is admitted or not.
-- args[5] is how many keys at the end are no counters but names that may be denied.
--
-- If admitted, replies with the time, what was charged in advance and the standing of every
-- counter; if a name is denied, with the time; otherwise with the time and the counters as they are.
local function charge(keys, args)
  bind()
  local seconds, micros = time(args[3])
  local now = floor((seconds * 1000000 + micros) / 600000)
  local counters = #keys - tonumber(args[5])
  if args[4] ~= '' then release_unused(keys, counters, args[4]) end
  local values = redis.call('MGET', unpack(keys))
  for index = counters + 1, #keys do
    if values[index] then return { pack('<I1I4I4', 2, seconds, micros) } end
  end
  local cells, needed = {}, {}
  for index = 1, counters do
    cells[index] = open(values[index], now)
  end
  local charges, left = args[1], 4294967295
  for at = 1, #charges, 18 do
    local index, amount, per_minute, per_hour, per_day =
      struct.unpack('<I2I4I4I4I4', charges, at)
    local cell = cells[index]
    local least = math.min(
      per_minute - cell.minute, per_hour - cell.hour, per_day - cell.day) - amount
    if least < 0 then
      local reply = { pack('<I1I4I4', 0, seconds, micros) }
      for place = 1, counters do reply[place + 1] = values[place] or '' end
      return reply
    end
    left = math.min(left, least)
    needed[index] = math.max(needed[index] or 0, amount)
  end
  local extra = math.min(tonumber(args[2]), floor(left / 4))
  local pieces = { pack('<I1I4I4I4', 1, seconds, micros, extra) }
  for index = 1, counters do
    local cell = cells[index]
    add(cell, needed[index] + extra)
    redis.call('SETEX', keys[index], LIFE, packed(cell))
    pieces[index + 1] = standing(cell)
  end
  return { table.concat(pieces) }
end

-- Replies with the time and the counters as they are. args[1] is a time to use instead of this
-- server's.
local function peek(keys, args)
  bind()
  local seconds, micros = time(args[1])
  local reply = { pack('<I1I4I4', 0, seconds, micros) }
  local values = redis.call('MGET', unpack(keys))
  for place = 1, #keys do reply[place + 1] = values[place] or '' end
  return reply
end

-- Releases what args[1] has: the slot and the amount.
local function release(keys, args)
  bind()
  release_unused(keys, #keys, args[1])
  return 'OK'
end

-- Denies names until a time each, if not more than args[1] are then denied; all or none.
--
-- keys[1] lists the names, each as its end and itself, in the order in which they were denied. The
-- others are the names as keys, whose values are their ends in seconds since 1970. args[2] and what
-- follows have the end and the name of each.
--
-- Replies with this server's time, and whether there was room.
local function deny(keys, args)
  bind()
  local clock = redis.call('TIME')
  local wall, micros = tonumber(clock[1]), tonumber(clock[2])
  local known, new = redis.call('MGET', unpack(keys, 2)), 0
  for index = 1, #keys - 1 do
    if not known[index] then new = new + 1 end
  end
  local has_room = new == 0 or redis.call('ZCARD', keys[1]) + new <= tonumber(args[1])
  if has_room then
    local last = redis.call('ZREVRANGE', keys[1], 0, 0, 'WITHSCORES')
    local order = math.max(tonumber(last[2] or 0), wall * 1000000 + micros)
    for index = 1, #keys - 1 do
      local till, name = args[index * 2], args[index * 2 + 1]
      if tonumber(known[index] or 0) < tonumber(till) and tonumber(till) > wall then
        order = order + 1
        redis.call('SETEX', keys[index + 1], tonumber(till) - wall, till)
        redis.call('ZADD', keys[1], string.format('%.0f', order), till .. ' ' .. name)
      end
    end
  end
  return { pack('<I1I4I4', has_room and 1 or 0, math.max(wall - EPOCH, 0), micros) }
end

-- Replies with up to args[2] denied names after the place args[1] in their order, each followed by
-- its place.
local function denied(keys, args)
  return redis.call(
    'ZRANGEBYSCORE', keys[1], '(' .. args[1], '+inf', 'WITHSCORES', 'LIMIT', 0, args[2])
end

-- Removes names from the list, which no longer are denied.
local function forget(keys, args)
  redis.call('ZREM', keys[1], unpack(args))
  return 'OK'
end

redis.register_function('@NAME@_charge', charge)
redis.register_function('@NAME@_deny', deny)
redis.register_function{
  function_name = '@NAME@_denied', callback = denied, flags = { 'no-writes' },
}
redis.register_function('@NAME@_forget', forget)
redis.register_function{
  function_name = '@NAME@_peek', callback = peek, flags = { 'no-writes' },
}
redis.register_function('@NAME@_release', release)
