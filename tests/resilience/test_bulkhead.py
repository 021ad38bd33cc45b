"""As many calls at once as there may be, and as many waiting."""

import asyncio

import pytest

from tests.resilience.world import Dependency, Diary, a_policy, in_virtual_time, settle
from warehouse.resilience import BulkheadFullError, DeadlineExceeded, Policy


async def begun(policy: Policy, dependency: Dependency, number: int) -> list[asyncio.Task[object]]:
    """Calls, in this order."""
    tasks = []
    for _ in range(number):
        tasks.append(asyncio.create_task(policy.call(dependency)))
        await settle()
    return tasks


@pytest.mark.parametrize(("most", "queued"), [(1, 0), (2, 3), (10, 100)])
@in_virtual_time
async def test_no_more_are_in_flight_than_may_be_and_the_rest_is_refused_at_once(most: int, queued: int) -> None:
    policy, dependency = a_policy(max_in_flight=most, max_queued=queued), Dependency(1.0)
    calls = await begun(policy, dependency, most + queued)
    assert (policy.snapshot().in_flight, policy.snapshot().queued) == (most, queued)
    before = asyncio.get_running_loop().time()
    with pytest.raises(BulkheadFullError):
        await policy.call(dependency)
    assert asyncio.get_running_loop().time() == before
    await asyncio.gather(*calls)
    assert (dependency.calls, dependency.most_running) == (most + queued, most)
    assert (policy.snapshot().in_flight, policy.snapshot().queued) == (0, 0)


@in_virtual_time
async def test_without_it_there_is_no_limit() -> None:
    policy, dependency = a_policy(), Dependency(1.0)
    await asyncio.gather(*(policy.call(dependency) for _ in range(500)))
    assert dependency.most_running == 500


@in_virtual_time
async def test_who_came_first_is_served_first() -> None:
    policy, order = a_policy(max_in_flight=1, max_queued=9), []

    async def work(name: int) -> None:
        await asyncio.sleep(1)
        order.append(name)

    tasks = []
    for name in range(6):
        tasks.append(asyncio.create_task(policy.call(work, name)))
        await settle()
    await asyncio.gather(*tasks)
    assert order == list(range(6))


@in_virtual_time
async def test_who_comes_later_does_not_overtake_one_who_has_been_given_a_place() -> None:
    policy, dependency = a_policy(max_in_flight=1, max_queued=1), Dependency(1.0)
    first, second = await begun(policy, dependency, 2)
    await first
    with pytest.raises(BulkheadFullError):
        await asyncio.gather(policy.call(dependency), policy.call(dependency))
    await second
    assert dependency.most_running == 1


@in_virtual_time
async def test_a_cancelled_call_leaves_its_place() -> None:
    policy, dependency = a_policy(max_in_flight=1, max_queued=1), Dependency(60.0, 1.0)
    first, second = await begun(policy, dependency, 2)
    first.cancel()
    await second
    assert policy.snapshot().in_flight == 0


@in_virtual_time
async def test_who_is_cancelled_in_the_queue_leaves_it() -> None:
    policy, dependency = a_policy(max_in_flight=1, max_queued=1), Dependency(1.0)
    first, second = await begun(policy, dependency, 2)
    second.cancel()
    await settle()
    assert policy.snapshot().queued == 0
    third = (await begun(policy, dependency, 1))[0]
    await asyncio.gather(first, third)
    assert (dependency.calls, second.cancelled()) == (2, True)


@in_virtual_time
async def test_a_place_given_to_one_who_is_cancelled_at_that_moment_goes_on_to_the_next() -> None:
    policy, dependency = a_policy(max_in_flight=1, max_queued=2), Dependency(1.0)
    first, second, third = await begun(policy, dependency, 3)
    first.add_done_callback(lambda _: second.cancel())
    await asyncio.gather(first, third)
    assert (dependency.calls, policy.snapshot().in_flight) == (2, 0)


@in_virtual_time
async def test_a_place_given_to_the_last_one_and_not_taken_is_free() -> None:
    policy, dependency = a_policy(max_in_flight=1, max_queued=1), Dependency(1.0)
    policy._bulkhead.enter()
    waiting = (await begun(policy, dependency, 1))[0]
    policy._bulkhead.leave()
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert (policy.snapshot().in_flight, dependency.calls) == (0, 0)


@in_virtual_time
async def test_a_deadline_that_passes_in_the_queue_ends_the_waiting() -> None:
    diary = Diary()
    policy = a_policy(diary, max_in_flight=1, max_queued=1, deadline=5.0, timeout=5.0, attempts=1)
    dependency = Dependency(4.9)
    now = asyncio.get_running_loop().time
    policy._bulkhead.enter()
    with pytest.raises(DeadlineExceeded):
        await policy.call(dependency)
    assert (now(), dependency.calls, policy.snapshot().queued) == (5.0, 0, 0)
    assert [type(error) for _, error in diary.rejections] == [DeadlineExceeded]
    policy._bulkhead.leave()
    await policy.call(dependency)


@in_virtual_time
async def test_cancelled_after_its_deadline_it_had_no_place_to_leave() -> None:
    policy, dependency = a_policy(max_in_flight=1, max_queued=1, deadline=5.0), Dependency("done")
    policy._bulkhead.enter()
    waiting = asyncio.create_task(policy.call(dependency))
    asyncio.get_running_loop().call_later(5.0, waiting.cancel)
    with pytest.raises((asyncio.CancelledError, DeadlineExceeded)):
        await waiting
    assert policy.snapshot().in_flight == 1


@in_virtual_time
async def test_the_time_in_the_queue_is_taken_from_the_call() -> None:
    policy, dependency = a_policy(max_in_flight=1, max_queued=1, timeout=5.0, deadline=6.0), Dependency(4.0)
    first, second = await begun(policy, dependency, 2)
    await first
    with pytest.raises(DeadlineExceeded):
        await second
    assert round(asyncio.get_running_loop().time(), 3) == 6.0
