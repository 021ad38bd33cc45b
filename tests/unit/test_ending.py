import asyncio
from typing import Never

import pytest

from tests.resilience.world import in_virtual_time
from warehouse.ending import ended


class Forgetful:
    """Goes on where it is cancelled for the first so many times."""

    def __init__(self, times: int) -> None:
        self._times = times

    async def run(self) -> Never:
        while True:
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                if not self._times:
                    raise
                self._times -= 1


async def _begun(*times: int) -> list[asyncio.Task[Never]]:
    tasks = [asyncio.create_task(Forgetful(each).run()) for each in times]
    await asyncio.sleep(0)
    return tasks


@in_virtual_time
async def test_tasks_are_cancelled() -> None:
    tasks = await _begun(0, 0)
    await ended(*tasks)
    assert all(each.cancelled() for each in tasks)


@in_virtual_time
async def test_a_task_that_forgets_its_cancellation_is_told_again() -> None:
    tasks = await _begun(2, 0, 1)
    await ended(*tasks)
    assert all(each.cancelled() for each in tasks)


@in_virtual_time
async def test_what_a_task_has_raised_is_raised_once_all_have_ended() -> None:
    async def fail() -> Never:
        raise OSError("broken")

    failing, tasks = asyncio.create_task(fail()), await _begun(1)
    with pytest.raises(OSError, match="broken"):
        await ended(failing, *tasks)
    assert all(each.cancelled() for each in tasks)
