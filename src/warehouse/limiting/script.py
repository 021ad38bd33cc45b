"""What runs in Redis."""

from struct import Struct

ARGUMENT = Struct("<6d")

SCRIPT = """
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local answers = {}
for i, key in ipairs(KEYS) do
  local permits, span, needed, wanted, returned, from = struct.unpack('<dddddd', ARGV[i])
  local bucket, left = math.floor(now / span), span - now % span
  local kept = redis.call('HMGET', key, 'bucket', 'current', 'previous')
  local current, previous = 0, 0
  if kept[1] then
    local age = bucket - tonumber(kept[1])
    if age == -1 then
      -- The clock was set back over the boundary: the bucket that has begun goes on.
      bucket, left, age = bucket + 1, span, 0
    end
    if age == 0 then
      current, previous = tonumber(kept[2]), tonumber(kept[3])
    elseif age == 1 then
      previous = tonumber(kept[2])
    end
  end
  if from == bucket then
    current = math.max(0, current - returned)
  elseif from == bucket - 1 then
    previous = math.max(0, previous - returned)
  end

  local free = math.max(0, permits - current - math.floor(previous * left / span))
  local granted = math.min(free, math.max(needed, math.min(wanted, math.floor(free / 64))))
  current, free = current + granted, free - granted
  if granted > 0 or returned > 0 then
    redis.call('HSET', key, 'bucket', bucket, 'current', current, 'previous', previous)
    redis.call('PEXPIRE', key, 2 * span)
  end

  local wait = 0
  if free < 1 then
    local open = permits - current
    if open < 1 then
      wait = left + 1
    else
      wait = math.floor(span * (previous - open) / previous) + 1 - (span - left)
    end
  end
  local answer = 5 * (i - 1)
  answers[answer + 1], answers[answer + 2], answers[answer + 3] = granted, free, left
  answers[answer + 4], answers[answer + 5] = wait, bucket
end
return answers
"""
"""The sliding window counter of `window.Window`, for each key by its quota, with the clock of Redis.

The argument for each key is six numbers, packed: permits of the quota, and the length of its window; permits that are
needed, and how many may be granted even if fewer are; permits that are returned, and the bucket that they are of. The
answer for each key is five numbers: permits granted, permits that remain, time until the bucket ends, time until a
permit is free (0 where one is), and the bucket. All times are in milliseconds.

More than needed is granted up to a 64th of what is free, so that near the limit nothing is. A key lives for as long as
it counts.
"""
