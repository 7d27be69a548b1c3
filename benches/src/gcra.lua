-- Twelve limits as most gateways check them: GCRA, by this server's time, a key for each limit, all or none.
--
-- KEYS: a theoretical arrival time in microseconds each. ARGV: for each key the interval of its limit and its window, in
-- microseconds. Answers with 1, or with 0, which limit refused and how long to wait.
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
