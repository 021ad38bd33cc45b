"""Deadlines travel, and nothing is begun after them."""

import asyncio
import math
from typing import Any

import pytest

from tests.resilience.world import Clock, Dependency, Diary, a_policy, in_virtual_time
from warehouse.resilience import (
    CircuitBreakerState,
    DeadlineExceeded,
    GaveUp,
    Outcome,
    Policy,
    RetryExhaustedError,
    deadline,
    detached,
    remaining,
)
from warehouse.resilience.deadlines import Deadline, current


async def time_left() -> float | None:
    return remaining()


def now() -> float:
    return round(asyncio.get_running_loop().time(), 6)


def test_outside_there_is_none() -> None:
    assert remaining() is None


@in_virtual_time
async def test_whoever_has_set_a_deadline_may_put_it_off_also_for_tasks_that_have_begun() -> None:
    loop = asyncio.get_running_loop()
    moment = Deadline(loop.time() + 1, loop.time)
    current.set(moment)

    async def works() -> None:
        await asyncio.sleep(0.5)
        await a_policy(timeout=100.0).call(asyncio.sleep, 50)

    begun = asyncio.create_task(works())
    moment.at = math.inf
    await begun
    moment.at = loop.time() + 1
    with pytest.raises(DeadlineExceeded):
        await works()


def test_a_deadline_counts_down_and_ends_with_its_block() -> None:
    clock = Clock()
    with deadline(10, clock):
        clock.advance(4)
        assert remaining() == 6
        clock.advance(7)
        assert remaining() == -1
    assert remaining() is None


@pytest.mark.parametrize(("inner", "left"), [(3, 3), (10, 10), (30, 10)])
def test_within_another_the_sooner_one_holds(inner: float, left: float) -> None:
    clock = Clock()
    with deadline(10, clock):
        with deadline(inner, clock):
            assert remaining() == left
        assert remaining() == 10


def test_a_block_that_raises_ends_its_deadline_too() -> None:
    with pytest.raises(OSError, match="down"), deadline(10):
        raise OSError("down")
    assert remaining() is None


def test_each_goes_by_its_own_clock() -> None:
    ours, theirs = Clock(), Clock()
    theirs.now = 5.0
    with deadline(10, ours):
        ours.advance(4)
        with deadline(9, theirs):
            theirs.advance(1)
            assert remaining() == 6


@pytest.mark.parametrize(
    ("outer", "own", "left"),
    [(None, 8.0, 8.0), (20.0, 8.0, 8.0), (3.0, 8.0, 3.0), (3.0, None, 3.0), (None, None, None)],
)
@in_virtual_time
async def test_a_call_sees_the_sooner_of_its_own_and_its_callers(
    outer: float | None, own: float | None, left: float | None
) -> None:
    policy = a_policy(deadline=own)
    if outer is None:
        assert await policy.call(time_left) == left
        return
    with deadline(outer, asyncio.get_running_loop().time):
        assert await policy.call(time_left) == left
        assert remaining() == outer


@in_virtual_time
async def test_it_travels_through_policies_and_into_tasks() -> None:
    inner, outer = a_policy(deadline=20.0), a_policy(deadline=6.0)

    async def work() -> float | None:
        await asyncio.sleep(1)
        return await asyncio.create_task(inner.call(time_left))

    assert await outer.call(work) == 5
    assert remaining() is None


@in_virtual_time
async def test_calls_side_by_side_have_deadlines_of_their_own() -> None:
    async def look() -> float | None:
        await asyncio.sleep(1)
        return remaining()

    assert await asyncio.gather(*(a_policy(deadline=d).call(look) for d in (6.0, 9.0))) == [5, 8]
    assert remaining() is None


@in_virtual_time
async def test_after_it_nothing_is_begun() -> None:
    diary = Diary()
    policy, dependency = a_policy(diary), Dependency("done")
    with deadline(1, asyncio.get_running_loop().time):
        await asyncio.sleep(1)
        with pytest.raises(DeadlineExceeded) as exceeded:
            await policy.call(dependency)
    assert dependency.calls == 0
    assert isinstance(exceeded.value, TimeoutError)
    assert diary.rejections == [("dependency", exceeded.value)]


@in_virtual_time
async def test_an_expired_deadline_makes_no_circuit_half_open() -> None:
    policy = a_policy(fail_max=1, attempts=1, open_seconds=3.0)
    with pytest.raises(OSError, match="down"):
        await policy.call(Dependency(OSError("down")))
    with deadline(4, asyncio.get_running_loop().time):
        await asyncio.sleep(4)
        with pytest.raises(DeadlineExceeded):
            await policy.call(Dependency("done"))
    assert policy.circuit.state is CircuitBreakerState.OPEN


@in_virtual_time
async def test_it_cuts_an_attempt_short_and_that_is_a_failure() -> None:
    policy, dependency = a_policy(timeout=5.0), Dependency(60.0)
    with deadline(2, asyncio.get_running_loop().time), pytest.raises(DeadlineExceeded):
        await policy.call(dependency)
    assert (now(), dependency.calls, policy.snapshot().failures) == (2, 1, 1)


@pytest.mark.parametrize(("given", "failures"), [(0.9, 0), (1.0, 1), (4.0, 1)])
@in_virtual_time
async def test_one_who_gives_it_hardly_any_time_opens_no_circuit(given: float, failures: int) -> None:
    policy = a_policy(diary := Diary(), timeout=5.0, least_seconds=1.0)
    with deadline(given, asyncio.get_running_loop().time), pytest.raises(DeadlineExceeded):
        await policy.call(Dependency(60.0))
    assert (now(), policy.snapshot().failures) == (given, failures)
    assert diary.outcomes == [Outcome.TIMEOUT if failures else Outcome.CANCELLED]


@in_virtual_time
async def test_work_for_others_as_well_has_no_part_in_a_deadline() -> None:
    with deadline(1, asyncio.get_running_loop().time):
        assert await detached(time_left()) is None


@in_virtual_time
async def test_it_cuts_the_second_attempt_short() -> None:
    policy, dependency = a_policy(timeout=5.0, backoff=1.0, deadline=8.0), Dependency(60.0)
    with pytest.raises(DeadlineExceeded) as exceeded:
        await policy.call(dependency)
    assert (now(), dependency.times) == (8, [0, 6])
    assert isinstance(exceeded.value.__cause__, TimeoutError)


@in_virtual_time
async def test_a_wait_that_leaves_no_time_is_not_begun() -> None:
    async def fail() -> None:
        await asyncio.sleep(4)
        raise OSError

    with pytest.raises(RetryExhaustedError) as given_up:
        await a_policy(timeout=5.0, backoff=1.0, deadline=5.0).call(fail)
    assert (given_up.value.reason, given_up.value.attempts, now()) == (GaveUp.DEADLINE, 1, 4.0)


@in_virtual_time
async def test_a_wait_that_leaves_a_little_time_is_followed_by_an_attempt() -> None:
    policy, dependency = a_policy(timeout=5.0, backoff=1.0, deadline=5.5), Dependency(OSError(), "done")

    async def fail_late() -> None:
        await asyncio.sleep(4 if dependency.calls == 0 else 0)
        await dependency()

    await policy.call(fail_late)
    assert dependency.times == [4, 5]


@in_virtual_time
async def test_a_sleep_that_takes_longer_than_asked_is_followed_by_no_attempt() -> None:
    loop, dependency = asyncio.get_running_loop(), Dependency(OSError("down"))

    async def oversleep(seconds: float) -> None:
        await asyncio.sleep(seconds + 60)

    policy = Policy("dependency", monotonic=loop.time, sleep=oversleep, backoff=1.0, deadline=10.0)
    with pytest.raises(DeadlineExceeded) as exceeded:
        await policy.call(dependency)
    assert dependency.calls == 1
    assert str(exceeded.value.__cause__) == "down"
    assert policy.snapshot().failures == 1


@in_virtual_time
async def test_what_an_inner_policy_could_not_do_in_time_the_outer_does_not_repeat() -> None:
    inner, outer, dependency = a_policy(timeout=1.0, deadline=1.0), a_policy(), Dependency(60.0)

    async def work() -> Any:
        return await inner.call(dependency)

    with pytest.raises(DeadlineExceeded):
        await outer.call(work)
    assert dependency.calls == 1


@in_virtual_time
async def test_a_coroutine_that_is_thrown_away_ends_without_complaint() -> None:
    thrown_away = a_policy(deadline=9.0).call(asyncio.sleep, 5)
    await asyncio.create_task(_step(thrown_away))
    thrown_away.close()
    assert remaining() is None


async def _step(coroutine: Any) -> None:
    coroutine.send(None)
