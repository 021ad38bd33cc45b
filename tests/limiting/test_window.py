"""Counting in one process, against a reference that keeps every moment."""

import math
from bisect import bisect_left
from collections import Counter
from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st

from tests.limiting.world import alone
from tests.resilience.world import Clock
from warehouse.limiting import Decision, Quota
from warehouse.limiting.window import MOST_WINDOWS, Window, Windows

quotas = st.builds(Quota, permits=st.integers(1, 12), seconds=st.integers(1, 3))
pauses = st.lists(st.one_of(st.just(0), st.integers(0, 300), st.integers(0, 8000)), max_size=80)


def free(quota: Quota, admitted: Sequence[int], now: int) -> int:
    span = quota.seconds * 1000
    begun = now - now % span
    current = sum(begun <= moment <= now for moment in admitted)
    previous = sum(begun - span <= moment < begun for moment in admitted)
    return quota.permits - current - math.floor(previous * (begun + span - now) / span)


def expected(quota: Quota, admitted: Sequence[int], now: int) -> Decision:
    span = quota.seconds * 1000
    reset = math.ceil((span - now % span) / 1000)
    left = free(quota, admitted, now)
    if left > 0:
        return Decision(True, quota, left - 1, reset, 0)
    wait = bisect_left(range(2 * span), True, key=lambda wait: free(quota, admitted, now + wait) > 0)
    return Decision(False, quota, 0, reset, math.ceil(wait / 1000))


@given(quotas, pauses)
def test_every_decision_is_that_of_the_weighted_buckets(quota: Quota, pauses: Sequence[int]) -> None:
    window, now, admitted = Window(quota), 0, list[int]()
    for pause in pauses:
        now += pause
        decision = window.take(now)
        assert decision == expected(quota, admitted, now)
        if decision.allowed:
            admitted.append(now)
    buckets = Counter(moment // (quota.seconds * 1000) for moment in admitted)
    assert all(count <= quota.permits for count in buckets.values())


@given(quotas, pauses)
def test_whoever_waits_as_long_as_told_is_admitted(quota: Quota, pauses: Sequence[int]) -> None:
    window, now = Window(quota), 0
    for pause in pauses:
        now += pause
        decision = window.take(now)
        if not decision.allowed:
            now += decision.retry_after * 1000
            assert window.take(now).allowed


def test_a_steady_caller_at_the_rate_of_the_quota_is_never_refused() -> None:
    window = Window(Quota(4, 1))
    assert all(window.take(100 + number * 250).allowed for number in range(1000))


def test_after_so_many_others_the_one_that_was_used_longest_ago_is_forgotten() -> None:
    windows, quota = Windows(), Quota(1, 60)
    windows.take(("first", quota), 0.0)
    windows.take(("second", quota), 0.0)
    assert not windows.take(("first", quota), 0.0).allowed
    for number in range(MOST_WINDOWS - 1):
        windows.take((f"other {number}", quota), 0.0)
    assert len(windows) == MOST_WINDOWS
    assert not windows.take(("first", quota), 0.0).allowed
    assert windows.take(("second", quota), 0.0).allowed


async def test_without_redis_a_limiter_decides_everything_at_once() -> None:
    clock, quota = Clock(), Quota(2, 10)
    limiter = alone(clock)
    decisions = [limiter.try_now("key", quota), limiter.try_now("key", quota), await limiter.take("key", quota)]
    assert decisions == [
        Decision(True, quota, 1, 10, 0),
        Decision(True, quota, 0, 10, 0),
        Decision(False, quota, 0, 10, 11),
    ]
    assert (await limiter.take("key", Quota(1, 10))).allowed
    clock.advance(decisions[2].retry_after)  # type: ignore[union-attr]
    assert (await limiter.take("key", quota)).allowed
    await limiter.close()
