-- Checks twelve limits as most gateways do: GCRA by the server's clock, one key per limit, all or none.
--
-- KEYS: the theoretical arrival time of each limit, in microseconds. ARGV: for each key the emission interval and the
-- window, in microseconds. Returns {1}, or {0, index of the limit that refused, wait in microseconds}.
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local arrivals = {}
for index, key in ipairs(KEYS) do
  local interval, window = tonumber(ARGV[2 * index - 1]), tonumber(ARGV[2 * index])
  local arrival = math.max(tonumber(redis.call('GET', key) or now), now) + interval
  if arrival - now > window then
    return { 0, index, arrival - now - window }
  end
  arrivals[index] = arrival
end
for index, key in ipairs(KEYS) do
  local arrival = arrivals[index]
  redis.call('SET', key, string.format('%.0f', arrival), 'PX', math.ceil((arrival - now) / 1000))
end
return { 1 }
