
-- Budgets: amounts per account that are reserved, and settled in the slot of the reservation.
--
-- An account is a string in the format of src/ledger/packed.rs: its latest moment, until when it is
-- kept, when it began, and its lifetime total; then for each sliding period how many slots it has, and those, oldest
-- first. Moments are microseconds since EPOCH.

local PERIODS = 4
local SLOT_MICROS = { 600000, 36000000, 864000000, 86400000000 }
local SLOT_REACH = { 100, 100, 100, 30 }

-- The most that an amount can become by settlements: far above every limit, and a number that 64 bits hold.
local LARGEST = 4611686018427387904

-- Reads the account in `value` as it is at `now`. A clock behind the account's latest moment counts
-- as standing at it.
local function open_account(value, now)
  local account = { latest = now, keep = 0, since = now, lifetime = 0 }
  for period = 1, PERIODS do account[period] = { total = 0 } end
  if not value then return account end
  local latest, count, slot, amount, at
  latest, account.keep, account.since, account.lifetime, at = unpack_pair('<I8I8I8I8', value)
  account.latest = math.max(latest, now)
  for period = 1, PERIODS do
    local slots, current = account[period], floor(account.latest / SLOT_MICROS[period])
    count, at = unpack_pair('<I2', value, at)
    for _ = 1, count do
      slot, amount, at = unpack_pair('<I4I8', value, at)
      -- What no longer counts is never part of the total: next to a very large amount, a small one
      -- would be rounded away, and missing once the large one is subtracted.
      if current - slot <= SLOT_REACH[period] then
        slots[#slots + 1] = { slot, amount }
        slots.total = slots.total + amount
      end
    end
  end
  return account
end

local function packed_account(account)
  local pieces = { pack('<I8I8I8I8', account.latest, account.keep, account.since, account.lifetime) }
  for period = 1, PERIODS do
    local slots = account[period]
    pieces[#pieces + 1] = pack('<I2', #slots)
    for _, slot in ipairs(slots) do pieces[#pieces + 1] = pack('<I4I8', slot[1], slot[2]) end
  end
  return table.concat(pieces)
end

-- Returns for how many milliseconds an account has to be kept: a little longer than anything in it
-- counts.
local function life(account)
  local last = account.keep
  for period = 1, PERIODS do
    local slots = account[period]
    local newest = slots[#slots]
    if newest then
      last = math.max(last, (newest[1] + SLOT_REACH[period] + 1) * SLOT_MICROS[period])
    end
  end
  return math.ceil(math.max(last - account.latest, 0) / 1000) + 60000
end

-- What an account has used in a period; the fifth is its lifetime.
local function used_of(account, period)
  return period > PERIODS and account.lifetime or account[period].total
end

-- Adds an amount now, in a period.
local function add_amount(account, period, amount)
  if period > PERIODS then
    account.lifetime = account.lifetime + amount
    return
  end
  local slots, slot = account[period], floor(account.latest / SLOT_MICROS[period])
  local newest = slots[#slots]
  if newest and newest[1] == slot then
    newest[2] = newest[2] + amount
  else
    slots[#slots + 1] = { slot, amount }
  end
  slots.total = slots.total + amount
end

local function replaced(sum, from, to)
  return math.min(math.max(sum - from, 0) + to, LARGEST)
end

-- Replaces an amount that was added at a moment, in the slot of a period that holds it.
local function replace_amount(account, period, at, from, to)
  if period > PERIODS then
    -- What was reserved before belongs to an account of this name that is gone.
    if at >= account.since then account.lifetime = replaced(account.lifetime, from, to) end
    return
  end
  local slots, slot = account[period], floor(at / SLOT_MICROS[period])
  for index = #slots, 1, -1 do
    if slots[index][1] == slot then slots[index][2] = replaced(slots[index][2], from, to) end
    if slots[index][1] <= slot then return end
  end
end

local function micros_now(set)
  local seconds, micros = time(set)
  return seconds * 1000000 + micros, seconds, micros
end

-- Reserves every amount, or none.
--
-- args[1] has for each reservation the index of its account in `keys`, its amount, what it and
-- earlier ones need of that account, for how many microseconds the account is kept, and the limits
-- per minute, hour, day, month and lifetime. The largest number stands for no limit.
-- args[2] is a time to decide at instead of this server's.
--
-- If admitted, replies with the time and the moment of each reservation by its account; otherwise
-- with the time and the accounts as they are.
local function reserve(keys, args)
  bind()
  local now, seconds, micros = micros_now(args[2])
  local values = redis.call('MGET', unpack(keys))
  local accounts = {}
  for index = 1, #keys do accounts[index] = open_account(values[index], now) end
  local reservations, added = args[1], {}
  for at = 1, #reservations, 66 do
    local one = { struct.unpack('<I2I8I8I8I8I8I8I8I8', reservations, at) }
    local index, amount, needed, keep = one[1], one[2], one[3], one[4]
    local account = accounts[index]
    for period = 1, PERIODS + 1 do
      local limit = one[4 + period]
      if limit <= 9007199254740992 then
        -- Not as a sum, which may be past what a number holds exactly.
        if needed > limit - used_of(account, period) then
          local reply = { pack('<I1I4I4', 0, seconds, micros) }
          for place = 1, #keys do reply[place + 1] = values[place] or '' end
          return reply
        end
        added[#added + 1] = { account, period, amount }
      end
    end
    if keep > 0 then account.keep = math.max(account.keep, now + keep) end
  end
  for _, one in ipairs(added) do add_amount(one[1], one[2], one[3]) end
  local pieces = { pack('<I1I4I4', 1, seconds, micros) }
  for index, account in ipairs(accounts) do
    redis.call('SET', keys[index], packed_account(account), 'PX', life(account))
  end
  for at = 1, #reservations, 66 do
    local index = struct.unpack('<I2', reservations, at)
    pieces[#pieces + 1] = pack('<I8', accounts[index].latest)
  end
  return { table.concat(pieces) }
end

-- Replaces what was reserved by what was used. args[1] has for each reservation the index of its
-- account in `keys`, its moment, what was reserved, what was used, and a bit for each period that it
-- counts in. args[2] is a time instead of this server's.
local function settle(keys, args)
  bind()
  local now = micros_now(args[2])
  local settled, accounts = args[1], {}
  for index = 1, #keys do
    local value = redis.call('GET', keys[index])
    accounts[index] = value and open_account(value, now)
  end
  for start = 1, #settled, 27 do
    local index, at, from, to, bits = struct.unpack('<I2I8I8I8I1', settled, start)
    local account = accounts[index]
    for period = 1, PERIODS + 1 do
      if account and bits % 2 == 1 then replace_amount(account, period, at, from, to) end
      bits = floor(bits / 2)
    end
  end
  for index, key in ipairs(keys) do
    if accounts[index] then
      redis.call('SET', key, packed_account(accounts[index]), 'KEEPTTL')
    end
  end
  return 'OK'
end

redis.register_function('@NAME@_reserve', reserve)
redis.register_function('@NAME@_settle', settle)
