"""The event loop of the schedules."""

import asyncio
from collections.abc import Coroutine
from contextlib import closing
from typing import Any

import pytest

from tests.cache_schedules.loop import Chances, SeededLoop, Stuck, context_of, run


def run_by(seed: int, main: Coroutine[Any, Any, Any]) -> Any:
    with closing(SeededLoop(Chances(seed))) as loop:
        return run(loop, main)


def test_whatever_is_ready_may_be_next() -> None:
    async def order() -> tuple[str, ...]:
        done: list[str] = []

        async def append(name: str) -> None:
            done.append(name)

        await asyncio.gather(*(append(name) for name in "abc"))
        return tuple(done)

    assert len({run_by(seed, order()) for seed in range(200)}) == 6


def test_time_passes_only_when_nothing_is_ready() -> None:
    async def main() -> None:
        now = asyncio.get_running_loop().time
        nap = asyncio.create_task(asyncio.sleep(60))
        for _ in range(100):
            await asyncio.sleep(0)
        assert (now(), nap.done()) == (0, False)
        await nap
        assert now() == 60

    run_by(0, main())


def test_an_end_that_does_not_come_is_an_error() -> None:
    with pytest.raises(Stuck, match="no end"):
        run_by(0, asyncio.sleep(3600))


def test_a_paused_process_rests_while_time_passes() -> None:
    with closing(SeededLoop(Chances(0))) as loop:

        async def woken() -> float:
            await asyncio.sleep(1)
            return loop.time()

        async def main() -> list[float]:
            tasks = [loop.create_task(woken(), context=context_of(number)) for number in (1, 2)]
            loop.pause(1, 5)
            return await asyncio.gather(*tasks)

        assert run(loop, main()) == [6, 1]


@pytest.mark.parametrize("seed", range(20))
def test_what_is_shielded_goes_on_when_its_caller_is_cancelled(seed: int) -> None:
    async def main() -> None:
        ended = asyncio.Event()

        async def work() -> None:
            await asyncio.sleep(1)
            ended.set()

        inner = asyncio.create_task(work())
        caller = asyncio.create_task(asyncio.wait_for(asyncio.shield(inner), 10))
        await asyncio.sleep(0.5)
        caller.cancel()
        await ended.wait()
        assert caller.cancelled()

    run_by(seed, main())


def test_waiting_for_what_will_never_come_is_an_error() -> None:
    with pytest.raises(Stuck, match="nothing will ever happen"):
        run_by(0, asyncio.Event().wait())
