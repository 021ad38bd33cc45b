"""Redis fails: each process counts by itself, and nobody hears of it."""

import asyncio
import gc
import signal

import pytest
import redis

from tests.limiting.world import AGES, MortalValkey, a_key, a_limiter, admitted, burst
from tests.resilience.world import Clock, Diary
from warehouse.limiting import Quota
from warehouse.resilience import Outcome

QUOTA = Quota(100, AGES)
OPEN_SECONDS = 30.0


async def test_it_counts_alone_while_redis_is_dead_and_together_when_it_is_back(
    mortal: MortalValkey, caplog: pytest.LogCaptureFixture
) -> None:
    clock, key = Clock(), a_key()
    async with (
        a_limiter(mortal, clock, open_seconds=OPEN_SECONDS) as one,
        a_limiter(mortal, clock, open_seconds=OPEN_SECONDS) as other,
    ):
        assert admitted(await burst(one, key, QUOTA, 300)) == 100
        under_way = asyncio.create_task(burst(other, a_key(), QUOTA, 300))
        mortal.kill()
        assert admitted(await under_way) == 100
        clock.advance(1.0)

        for limiter in (one, other):
            assert sum([admitted(await burst(limiter, key, QUOTA, 30)) for _ in range(10)]) == 100
            assert limiter.try_now(key, QUOTA) is not None

        mortal.revive()
        clock.advance(OPEN_SECONDS)
        assert one.try_now(key, QUOTA) is None
        bursts = [await burst(limiter, key, QUOTA, 60) for _ in range(2) for limiter in (one, other)]
        assert sum(map(admitted, bursts)) == 100
    gc.collect()
    assert not caplog.messages  # of a task whose error nobody has asked for


async def test_a_redis_that_stands_still_costs_time_outs_until_the_circuit_opens(mortal: MortalValkey) -> None:
    clock, diary = Clock(), Diary()
    async with a_limiter(mortal, clock, diary, timeout=0.2, fail_max=3, open_seconds=OPEN_SECONDS) as limiter:
        await limiter.take(a_key(), QUOTA)
        mortal.signal(signal.SIGSTOP)
        diary.attempts.clear()
        for _ in range(20):
            assert all(each.allowed for each in await asyncio.gather(*(limiter.take(a_key(), QUOTA) for _ in range(9))))
        assert limiter.try_now(a_key(), QUOTA) is not None
        assert diary.outcomes == [Outcome.TIMEOUT] * 3

        mortal.signal(signal.SIGCONT)
        clock.advance(OPEN_SECONDS)
        key = a_key()
        diary.attempts.clear()
        assert (await limiter.take(key, QUOTA)).remaining == 99
        assert diary.outcomes == [Outcome.SUCCESS]


async def test_who_comes_while_a_call_hangs_waits_no_longer_than_that_call(mortal: MortalValkey) -> None:
    diary = Diary()
    async with a_limiter(mortal, diary=diary, timeout=0.2) as limiter:
        mortal.signal(signal.SIGSTOP)
        first = asyncio.create_task(limiter.take(a_key(), QUOTA))
        await asyncio.sleep(0)
        await asyncio.sleep(0)  # the call is on its way now
        others = [asyncio.create_task(limiter.take(a_key(), QUOTA)) for _ in range(500)]
        assert (await first).allowed
        assert all([(await other).allowed for other in others])
        assert diary.outcomes == [Outcome.TIMEOUT]
        mortal.signal(signal.SIGCONT)


async def test_a_redis_that_is_emptied_begins_anew(mortal: MortalValkey) -> None:
    clock, key = Clock(), a_key()
    async with a_limiter(mortal, clock) as limiter:
        assert admitted(await burst(limiter, key, QUOTA, 99)) == 99
        await limiter.take(key, QUOTA)
        with redis.Redis.from_url(mortal.url()) as client:
            client.flushall()
        clock.advance(1.0)
        assert admitted(await burst(limiter, key, QUOTA, 300)) == 100


async def test_a_key_that_something_else_lies_under_is_counted_here(mortal: MortalValkey) -> None:
    async with a_limiter(mortal) as limiter:
        with redis.Redis.from_url(mortal.url()) as client:
            client.set(f"rl:{QUOTA.permits}/{QUOTA.seconds}:taken", "text")
        assert admitted(await burst(limiter, "taken", QUOTA, 300)) == 100
