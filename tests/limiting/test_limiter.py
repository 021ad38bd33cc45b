"""Limiters that share a real server."""

import asyncio
import gc
import time

import pytest
import redis

from tests.limiting.world import AGES, a_key, a_limiter, admitted, alone, burst
from tests.resilience.world import Clock, Diary
from tests.servers import Valkey
from warehouse.limiting import Decision, Limiter, Quota
from warehouse.limiting.leases import MOST_LEASES, Lease
from warehouse.limiting.window import MOST_WINDOWS, Window
from warehouse.resilience import Policy, deadline

QUOTAS = [Quota(permits, AGES) for permits in (1, 7, 100, 1000)]


@pytest.mark.parametrize("quota", QUOTAS, ids=lambda quota: quota.permits)
async def test_bursts_in_two_processes_get_exactly_the_quota(valkey: Valkey, quota: Quota) -> None:
    key, total = a_key(), 0
    async with a_limiter(valkey) as one, a_limiter(valkey) as other:
        for _ in range(3):
            bursts = await asyncio.gather(burst(one, key, quota, 300), burst(other, key, quota, 300))
            total += sum(map(admitted, bursts))
    assert total == quota.permits


@pytest.mark.parametrize("quota", QUOTAS, ids=lambda quota: quota.permits)
async def test_callers_one_after_the_other_in_two_processes_get_exactly_the_quota(valkey: Valkey, quota: Quota) -> None:
    key = a_key()
    async with a_limiter(valkey) as one, a_limiter(valkey) as other:
        decisions = [await limiter.take(key, quota) for _ in range(quota.permits) for limiter in (one, other)]
    assert admitted(decisions) == quota.permits


async def test_what_remains_and_when_to_come_back_is_told(valkey: Valkey) -> None:
    quota, key = Quota(3, AGES), a_key()
    async with a_limiter(valkey) as limiter:
        decisions = [await limiter.take(key, quota) for _ in range(5)]
    assert [(each.allowed, each.remaining) for each in decisions] == [
        (True, 2), (True, 1), (True, 0), (False, 0), (False, 0),
    ]  # fmt: skip
    assert [each.retry_after > 0 for each in decisions] == [False, False, False, True, True]
    assert all(0 < each.reset_seconds <= AGES and each.quota == quota for each in decisions)


async def test_a_key_has_a_count_for_each_quota(valkey: Valkey) -> None:
    key = a_key()
    async with a_limiter(valkey) as limiter:
        decisions = [await limiter.take(key, Quota(1, seconds)) for seconds in (AGES, AGES - 1, AGES)]
    assert [each.allowed for each in decisions] == [True, True, False]


async def test_keys_of_any_length_and_any_letters_are_counted(valkey: Valkey) -> None:
    keys = [a_key() * 3000, a_key() + "\udc80 \n Ω", ""]
    quota = Quota(1, AGES)
    async with a_limiter(valkey) as limiter:
        assert [(await limiter.take(key, quota)).allowed for key in keys for _ in range(2)] == [True, False] * 3
    with redis.Redis.from_url(valkey.url()) as client:
        assert max(map(len, client.scan_iter("rl:*"))) < 200


async def test_a_busy_key_seldom_costs_a_call(valkey: Valkey) -> None:
    diary, key, quota = Diary(), a_key(), Quota(1_000_000, 86_400)
    async with a_limiter(valkey, diary=diary) as limiter:
        assert admitted([await limiter.take(key, quota) for _ in range(1000)]) == 1000
    assert len(diary.attempts) <= 10


async def test_a_crowd_that_comes_all_the_time_costs_few_calls_too(valkey: Valkey) -> None:
    """Some of it always come while a call is on its way."""
    diary, key, quota = Diary(), a_key(), Quota(100_000_000, 86_400)

    async def come_again_and_again(limiter: Limiter) -> None:
        for number in range(200):
            if limiter.try_now(key, quota) is None:
                await limiter.take(key, quota)
            await asyncio.sleep(0 if number % 3 else 0.0001)

    async with a_limiter(valkey, diary=diary) as limiter:
        await asyncio.gather(*(come_again_and_again(limiter) for _ in range(32)))
    assert len(diary.attempts) <= 20


async def test_a_refused_caller_costs_a_call_a_second(valkey: Valkey) -> None:
    clock, diary, key, quota = Clock(), Diary(), a_key(), Quota(1, AGES)
    async with a_limiter(valkey, clock, diary) as limiter:
        assert admitted([await limiter.take(key, quota) for _ in range(100)]) == 1
        assert len(diary.attempts) == 1
        clock.advance(1.0)
        assert admitted([await limiter.take(key, quota) for _ in range(100)]) == 0
    assert len(diary.attempts) == 2


async def test_nothing_is_taken_where_redis_is_to_be_asked(valkey: Valkey) -> None:
    key, quota = a_key(), Quota(2, AGES)
    async with a_limiter(valkey) as limiter:
        assert [limiter.try_now(key, quota) for _ in range(5)] == [None] * 5
        assert admitted(await burst(limiter, key, quota, 5)) == 2
        refusal = limiter.try_now(key, quota)
    assert refusal is not None
    assert not refusal.allowed


async def test_keys_that_come_together_travel_together(valkey: Valkey) -> None:
    diary, quota = Diary(), Quota(3, AGES)
    keys = [a_key() for _ in range(100)]
    async with a_limiter(valkey, diary=diary) as limiter:
        takes = [limiter.take(key, quota) for key in keys for _ in range(5)]
        decisions = await asyncio.gather(*takes)
    assert [each.allowed for each in decisions] == [True, True, True, False, False] * 100
    assert len(diary.attempts) == 1


async def test_an_idle_process_keeps_little_from_the_others(valkey: Valkey) -> None:
    key, quota = a_key(), Quota(1000, AGES)
    async with a_limiter(valkey) as idle, a_limiter(valkey) as busy:
        used = [await idle.take(key, quota) for _ in range(20)]
        decisions = [await busy.take(key, quota) for _ in range(1000)]
    assert quota.permits * 63 / 64 <= admitted(used) + admitted(decisions) <= quota.permits


async def test_a_process_that_goes_on_with_other_keys_keeps_nothing(valkey: Valkey) -> None:
    clock, key, quota = Clock(), a_key(), Quota(1000, AGES)
    async with a_limiter(valkey, clock) as one, a_limiter(valkey) as other:
        used = [await one.take(key, quota) for _ in range(20)]
        clock.advance(1.0)
        await one.take(a_key(), quota)
        decisions = [await other.take(key, quota) for _ in range(1000)]
    assert admitted(used) + admitted(decisions) == quota.permits


async def test_the_script_is_loaded_again_when_redis_has_forgotten_it(valkey: Valkey) -> None:
    diary, quota = Diary(), Quota(5, AGES)
    async with a_limiter(valkey, diary=diary) as limiter:
        for _ in range(3):
            with redis.Redis.from_url(valkey.url()) as client:
                client.script_flush()
            assert (await limiter.take(a_key(), quota)).remaining == 4
    assert {str(outcome) for outcome in diary.outcomes} == {"success"}


async def test_the_deadline_of_a_caller_is_not_that_of_the_call(valkey: Valkey) -> None:
    key, quota = a_key(), Quota(5, AGES)
    async with a_limiter(valkey) as one, a_limiter(valkey) as other:
        with deadline(0.0):
            await one.take(key, quota)
        assert (await other.take(key, quota)).remaining == 3


async def test_a_cancelled_caller_breaks_nobody_and_its_permit_goes_to_another(valkey: Valkey) -> None:
    key, quota = a_key(), Quota(100, AGES)
    async with a_limiter(valkey) as limiter:
        takes = [asyncio.create_task(limiter.take(key, quota)) for _ in range(50)]
        await asyncio.sleep(0)  # they are waiting now
        for take in takes[::5]:
            take.cancel()
        results = await asyncio.gather(*takes, return_exceptions=True)
        assert [isinstance(result, asyncio.CancelledError) for result in results] == [True, *[False] * 4] * 10
        assert all(result.allowed for result in results if isinstance(result, Decision))
        assert admitted(await burst(limiter, key, quota, 100)) == 60


async def test_the_wall_clock_does_not_matter(valkey: Valkey, monkeypatch: pytest.MonkeyPatch) -> None:
    key, quota = a_key(), Quota(10, AGES)
    async with a_limiter(valkey) as limiter:
        for moment in (0.0, 1e10, 5.0):
            with monkeypatch.context() as patch:
                patch.setattr(time, "time", lambda moment=moment: moment)
                assert admitted(await burst(limiter, key, quota, 3)) == 3
        assert admitted(await burst(limiter, key, quota, 3)) == 1


async def test_whoever_waits_when_it_is_closed_is_decided_all_the_same(valkey: Valkey) -> None:
    for begun in (False, True):
        async with a_limiter(valkey) as limiter:
            take = asyncio.create_task(limiter.take(a_key(), Quota(1, AGES)))
            await asyncio.sleep(0)
            if begun:
                await asyncio.sleep(0)
            await limiter.close()
            assert (await take).allowed


async def test_a_policy_that_retries_is_refused(valkey: Valkey) -> None:
    with pytest.raises(ValueError, match="attempts=1"):
        async with a_limiter(valkey, attempts=2):
            pass


async def test_very_many_keys_do_not_grow_the_process(valkey: Valkey) -> None:
    quota, before = Quota(1000, AGES), count_of(Lease)
    async with a_limiter(valkey) as limiter:
        for start in range(0, 100_000, 1000):
            takes = (limiter.take(f"number {number}", quota) for number in range(start, start + 1000))
            assert admitted(await asyncio.gather(*takes)) == 1000
        assert count_of(Lease) - before <= MOST_LEASES


def test_very_many_keys_do_not_grow_a_process_alone() -> None:
    limiter, quota, before = alone(Clock()), Quota(1, 60), count_of(Window)
    decisions = [limiter.try_now(f"number {number}", quota) for number in range(100_000)]
    assert all(decision is not None and decision.allowed for decision in decisions)
    assert count_of(Window) - before <= MOST_WINDOWS


def test_a_limiter_without_redis_does_not_mind_the_policy() -> None:
    limiter = Limiter(None, Policy("limits", attempts=3))
    decision = limiter.try_now("key", Quota(1, 60))
    assert decision is not None
    assert decision.allowed


def count_of(kind: type) -> int:
    """How many there are in the process; other tests' that have ended do not count."""
    gc.collect()
    return sum(isinstance(each, kind) for each in gc.get_objects())
