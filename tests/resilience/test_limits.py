"""One timer for many attempts."""

import asyncio
from contextlib import closing

import pytest

from tests.cache_schedules.loop import Chances, SeededLoop, run
from tests.resilience.world import Dependency, Diary, a_policy, in_virtual_time, settle
from warehouse.resilience import Outcome, RetryExhaustedError
from warehouse.resilience.limits import Limit, Limits


def now() -> float:
    return asyncio.get_running_loop().time()


async def take(limits: Limits, seconds: float, at_most: float | None = None) -> float:
    """The time when it ended in vain; -1 where it did not."""
    limit = limits.within(at_most)
    try:
        with limit:
            await asyncio.sleep(seconds)
    except TimeoutError:
        assert limit.reached
        return now()
    return -1


@in_virtual_time
async def test_what_is_quick_enough_is_left_alone() -> None:
    assert await take(Limits(5.0), 4.9) == -1
    await asyncio.sleep(60)


@in_virtual_time
async def test_each_ends_at_its_own_time() -> None:
    limits, tasks = Limits(5.0), []
    for _ in range(4):
        tasks.append(asyncio.create_task(take(limits, 60)))
        await asyncio.sleep(1)
    assert await asyncio.gather(*tasks) == [5, 6, 7, 8]


@in_virtual_time
async def test_those_that_have_ended_are_passed_over() -> None:
    limits = Limits(5.0)
    tasks = [asyncio.create_task(take(limits, 1 if number % 3 else 60)) for number in range(30)]
    assert [done for done in await asyncio.gather(*tasks) if done > 0] == [5.0] * 10
    assert not limits._running


@in_virtual_time
async def test_one_with_less_time_does_not_wait_for_the_others() -> None:
    limits = Limits(5.0)
    assert tuple(await asyncio.gather(take(limits, 60), take(limits, 60, 2.0), take(limits, 60, 99.0))) == (5, 2, 5)


@in_virtual_time
async def test_one_with_less_time_that_has_ended_is_left_alone_for_good() -> None:
    assert await take(Limits(5.0), 1, 2.0) == -1
    await asyncio.sleep(60)


@in_virtual_time
async def test_one_timer_serves_a_thousand() -> None:
    limits, loop = Limits(5.0), asyncio.get_running_loop()
    assert isinstance(loop, SeededLoop)
    tasks = [asyncio.create_task(take(limits, 1e-3)) for _ in range(1_000)]
    await settle()
    assert len(loop._timers) == 1_000 + 1
    await asyncio.gather(*tasks)


def test_in_another_loop_it_works_as_well() -> None:
    limits = Limits(5.0)
    for _ in range(3):
        with closing(SeededLoop(Chances(1))) as loop:
            assert run(loop, take(limits, 60)) == 5
        with closing(SeededLoop(Chances(1))) as loop:
            assert run(loop, take(limits, 1)) == -1


@in_virtual_time
async def test_anothers_cancellation_goes_before_the_time_out() -> None:
    limits = Limits(5.0)
    task = asyncio.create_task(take(limits, 60))
    await settle()
    [limit] = limits._running
    limit.expire()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert not limit.reached


@pytest.mark.parametrize("order", [("outer", "inner"), ("inner", "outer")])
@in_virtual_time
async def test_of_two_that_are_over_at_once_the_outer_one_says_so(order: tuple[str, str]) -> None:
    limits = {"outer": Limits(5.0), "inner": Limits(5.0)}
    open_limits: dict[str, Limit] = {}

    async def work() -> None:
        with limits["outer"].within(None) as open_limits["outer"], limits["inner"].within(None) as open_limits["inner"]:
            await asyncio.sleep(60)

    task = asyncio.create_task(work())
    await settle()
    for name in order:
        open_limits[name].expire()
    with pytest.raises(TimeoutError):
        await task
    assert (open_limits["outer"].reached, open_limits["inner"].reached, task.cancelling()) == (True, False, 0)


@in_virtual_time
async def test_what_answers_though_it_was_told_to_stop_has_answered() -> None:
    async def stubborn() -> str:
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            return "late"
        return "never"

    diary = Diary()
    policy = a_policy(diary)
    assert await policy.call(stubborn) == "late"
    assert diary.outcomes == [Outcome.SUCCESS]
    task = asyncio.current_task()
    assert task is not None
    assert task.cancelling() == 0


@in_virtual_time
async def test_after_a_time_out_the_task_can_go_on_waiting() -> None:
    policy = a_policy(attempts=1)
    with pytest.raises(TimeoutError):
        await policy.call(Dependency(60.0))
    await asyncio.sleep(1)
    assert now() == 6


@in_virtual_time
async def test_every_attempt_has_the_whole_time() -> None:
    policy, dependency = a_policy(timeout=2.0, backoff=0.0, attempts=3), Dependency(60.0)
    with pytest.raises(RetryExhaustedError) as given_up:
        await policy.call(dependency)
    assert dependency.times == [0, 2, 4]
    assert isinstance(given_up.value.__cause__, TimeoutError)
