"""Cancelled at whatever stage: it passes, everything is given back, and nothing is counted."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from tests.resilience.world import Dependency, Diary, a_policy, in_virtual_time, settle
from warehouse.resilience import Outcome, Policy, PolicyOptions, Snapshot, deadline, remaining

QUIET: PolicyOptions = {"fail_max": 3, "timeout": 5.0, "backoff": 2.0, "max_in_flight": 1, "max_queued": 1}


async def in_the_queue(policy: Policy) -> asyncio.Task[Any]:
    policy._bulkhead.enter()
    call = asyncio.create_task(policy.call(Dependency("done")))
    await settle()
    assert policy.snapshot().queued == 1
    policy._bulkhead.in_flight -= 1
    return call


async def before_it_began(policy: Policy) -> asyncio.Task[Any]:
    return asyncio.create_task(policy.call(Dependency("done")))


async def in_the_first_attempt(policy: Policy) -> asyncio.Task[Any]:
    call = asyncio.create_task(policy.call(Dependency(60.0)))
    await settle()
    return call


async def in_the_wait_for_a_retry(policy: Policy) -> asyncio.Task[Any]:
    call = asyncio.create_task(policy.call(Dependency(OSError())))
    await asyncio.sleep(1)
    return call


async def in_the_second_attempt(policy: Policy) -> asyncio.Task[Any]:
    dependency = Dependency(OSError(), 60.0)
    call = asyncio.create_task(policy.call(dependency))
    await asyncio.sleep(3)
    assert dependency.calls == 2
    return call


async def with_a_sooner_deadline(policy: Policy) -> asyncio.Task[Any]:
    with deadline(3, asyncio.get_running_loop().time):
        call = asyncio.create_task(policy.call(Dependency(60.0)))
    await settle()
    return call


Stage = Callable[[Policy], Awaitable[asyncio.Task[Any]]]
STAGES: list[Stage] = [
    before_it_began,
    in_the_queue,
    in_the_first_attempt,
    in_the_wait_for_a_retry,
    in_the_second_attempt,
    with_a_sooner_deadline,
]


def counts(snapshot: Snapshot) -> tuple[Any, ...]:
    return snapshot.state, snapshot.calls, snapshot.failures, snapshot.consecutive_failures


async def cancelled(call: asyncio.Task[Any]) -> None:
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call


@pytest.mark.parametrize("stage", STAGES, ids=lambda stage: stage.__name__)
@in_virtual_time
async def test_it_passes_and_gives_everything_back(stage: Stage) -> None:
    policy = a_policy(**QUIET)
    before = counts(policy.snapshot())
    await cancelled(await stage(policy))
    after = policy.snapshot()
    assert (after.in_flight, after.queued, policy._limits._running) == (0, 0, {})
    assert counts(after) == before
    assert remaining() is None
    assert await policy.call(Dependency("done")) == "done"


@pytest.mark.parametrize("stage", STAGES, ids=lambda stage: stage.__name__)
@in_virtual_time
async def test_it_neither_adds_to_failures_in_a_row_nor_ends_them(stage: Stage) -> None:
    policy = a_policy(**QUIET)
    for _ in range(2):
        policy.circuit.failed(policy.circuit.admit(), 0.0, OSError())
    await cancelled(await stage(policy))
    assert counts(policy.snapshot()) == ("closed", 2, 2, 2)


@in_virtual_time
async def test_a_probe_gives_its_permit_back() -> None:
    policy = a_policy(half_open_permits=1, fail_max=1, attempts=1)
    policy.circuit.failed(policy.circuit.admit(), 0.0, OSError())
    await asyncio.sleep(30)
    for _ in range(3):
        await cancelled(await in_the_first_attempt(policy))
        assert policy.snapshot().state == "half_open"
    await policy.call(Dependency("done"))
    assert policy.snapshot().state == "closed"


@in_virtual_time
async def test_a_cancelled_attempt_is_told_as_such() -> None:
    diary = Diary()
    await cancelled(await in_the_first_attempt(a_policy(diary)))
    assert diary.outcomes == [Outcome.CANCELLED]
    assert diary.calls == [("before", (), {})]


@in_virtual_time
async def test_cancelled_in_the_fallback_it_passes_too() -> None:
    async def slow(error: Exception) -> None:
        await asyncio.sleep(60)

    policy = Policy("dependency", fallback=slow, attempts=1)
    call = asyncio.create_task(policy.call(Dependency(OSError())))
    await settle()
    await cancelled(call)


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit, GeneratorExit])
def test_what_ends_the_program_is_no_failure(error: type[BaseException]) -> None:
    policy = Policy("dependency", fail_max=1)

    async def work() -> None:
        raise error

    coroutine = policy.call(work)

    @in_virtual_time
    async def step() -> None:
        coroutine.send(None)

    with pytest.raises(error):
        step()
    assert (policy.snapshot().failures, policy.snapshot().in_flight) == (0, 0)


@in_virtual_time
async def test_an_awaiting_group_that_fails_cancels_its_calls_and_nothing_is_left() -> None:
    policy = a_policy(timeout=60.0)

    async def give_up() -> None:
        await asyncio.sleep(1)
        raise OSError("enough")

    async def call_in_a_group() -> None:
        async with asyncio.TaskGroup() as group:
            for _ in range(20):
                group.create_task(policy.call(Dependency(50.0)))
            group.create_task(give_up())

    with pytest.raises(ExceptionGroup):
        await call_in_a_group()
    assert (policy.snapshot().in_flight, policy.snapshot().calls) == (0, 0)
