import asyncio
from typing import Never

import pytest

from tests.resilience.world import in_virtual_time
from warehouse.overlapping import overlapped


class Server:
    """Answers after a second."""

    def __init__(self, failure: Exception | None = None) -> None:
        self.told: list[str] = []
        self._failure = failure

    async def call(self) -> str:
        self.told.append("sent")
        try:
            await asyncio.sleep(1)
        finally:
            self.told.append("ended")
        if self._failure:
            raise self._failure
        return "answer"


@in_virtual_time
async def test_the_work_is_done_once_the_call_is_sent_and_before_it_is_answered() -> None:
    server = Server()
    assert await overlapped(server.call(), lambda: list(server.told)) == ("answer", ["sent"])


@in_virtual_time
async def test_what_the_call_raises_is_raised() -> None:
    with pytest.raises(OSError, match="broken"):
        await overlapped(Server(OSError("broken")).call(), list)


@in_virtual_time
async def test_what_the_work_raises_is_raised_once_the_call_has_ended() -> None:
    server = Server()

    def fail() -> Never:
        raise ValueError("no work")

    with pytest.raises(ValueError, match="no work"):
        await overlapped(server.call(), fail)
    assert server.told == ["sent", "ended"]


@in_virtual_time
async def test_who_is_cancelled_leaves_no_call_behind() -> None:
    server = Server()
    task = asyncio.create_task(overlapped(server.call(), lambda: None))
    await asyncio.sleep(0.5)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert server.told == ["sent", "ended"]
