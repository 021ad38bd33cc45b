"""What the request timeout is to a request that lasts. Time passes by itself."""

import asyncio
import math
from collections.abc import AsyncIterator

import pytest
from fastapi import FastAPI

from tests.resilience.world import in_virtual_time, settle
from tests.unit.http.asgi import application
from tests.unit.http.lasting import EVENTS, FILE, UPLOAD, Asked, Lastings
from warehouse.http.deadline import DeadlineMiddleware
from warehouse.http.events import Event
from warehouse.resilience import deadline, remaining

SECONDS = 15.0
CSV = {"content_type": "text/csv"}


class Stage:
    def __init__(self, upload_seconds: float = math.inf) -> None:
        self.lastings = Lastings()
        self.app: FastAPI = application()
        self.app.include_router(self.lastings.router())
        self._stack = DeadlineMiddleware(self.app, SECONDS, upload_seconds)

    def ask(self, path: str, method: str = "GET", **headers: str) -> Asked:
        return Asked(self._stack, self.app, path, method, **headers)


@in_virtual_time
async def test_an_upload_may_take_as_long_as_it_keeps_coming() -> None:
    stage = Stage()
    asked = stage.ask(UPLOAD, "POST", **CSV)
    for _ in range(20):
        await asyncio.sleep(SECONDS - 1)
        asked.send(b"a,b\n")
    asked.send(b"", more=False)
    assert await asked.done() == 200
    assert stage.lastings.shelf.kept[0][1] == 80


@in_virtual_time
async def test_what_is_done_with_an_upload_has_the_time_of_a_request() -> None:
    stage = Stage()
    asked = stage.ask(UPLOAD, "POST", **CSV)
    stage.lastings.thinking.clear()
    await asyncio.sleep(SECONDS - 1)
    asked.send(b"a,b\n", more=False)
    await asyncio.sleep(SECONDS - 0.2)
    assert not asked.task.done()
    assert await asked.done() == 503
    assert b'"code":"timeout"' in asked.body
    [left] = stage.lastings.left
    assert left is not None
    assert SECONDS - 1 < left < SECONDS


@in_virtual_time
async def test_an_upload_that_stalls_is_given_up_and_nothing_of_it_kept() -> None:
    stage = Stage()
    asked = stage.ask(UPLOAD, "POST", **CSV)
    asked.send(b"a,b\n")
    assert await asked.done() == 503
    assert (stage.lastings.shelf.kept, stage.lastings.shelf.discarded) == ([], 1)


@in_virtual_time
async def test_an_upload_as_a_whole_has_its_time_too() -> None:
    stage = Stage(upload_seconds=60.0)
    asked = stage.ask(UPLOAD, "POST", **CSV)
    begun = asyncio.get_running_loop().time()
    while not asked.task.done():
        asked.send(b"a,b\n")
        await asyncio.sleep(1)
    assert await asked.done() == 503
    assert 59 < asyncio.get_running_loop().time() - begun < 62
    assert stage.lastings.shelf.discarded == 1


@in_virtual_time
async def test_a_client_may_give_an_upload_less_time_after_its_last_piece() -> None:
    stage = Stage()
    stage.lastings.thinking.clear()
    asked = stage.ask(UPLOAD, "POST", request_timeout="2", **CSV)
    for _ in range(5):
        asked.send(b"a,b\n")
        await asyncio.sleep(1)
    asked.send(b"", more=False)
    begun = asyncio.get_running_loop().time()
    assert await asked.done() == 503
    assert 1.8 < asyncio.get_running_loop().time() - begun < 2


@in_virtual_time
async def test_an_upload_is_refused_for_a_time_that_is_none() -> None:
    assert await Stage().ask(UPLOAD, "POST", request_timeout="soon").done() == 400


@pytest.mark.parametrize("path", [EVENTS, FILE])
def test_events_and_downloads_are_to_begin_in_time(path: str) -> None:
    @in_virtual_time
    async def never_begins() -> None:
        stage = Stage()
        stage.lastings.thinking.clear()
        asked = stage.ask(path)
        begun = asyncio.get_running_loop().time()
        assert await asked.done() == 503
        assert SECONDS - 0.2 < asyncio.get_running_loop().time() - begun < SECONDS - 0.1
        [left] = stage.lastings.left
        assert left is not None
        assert SECONDS - 1 < left < SECONDS

    never_begins()


@in_virtual_time
async def test_events_go_on_for_as_long_as_somebody_listens_and_no_deadline_is_left() -> None:
    stage = Stage()
    news = stage.lastings.news
    found: list[float | None] = []

    async def telling() -> None:
        while True:
            await asyncio.sleep(100)
            news.to_come.put_nowait(Event("x"))

    async def watched() -> AsyncIterator[Event]:
        async for event in original():
            found.append(remaining())
            yield event

    original = news.listen
    news.listen = watched  # type: ignore[method-assign]
    teller = asyncio.create_task(telling())
    asked = stage.ask(EVENTS)
    await asyncio.sleep(550)
    assert asked.body.count(b"data: x") == 5
    assert set(found) == {math.inf}
    asked.leave()
    assert await asked.done() == 200
    teller.cancel()


@in_virtual_time
async def test_afterwards_the_deadline_is_that_of_whoever_asked() -> None:
    stage = Stage()
    with deadline(100.0):
        asked = stage.ask(UPLOAD, "POST", **CSV)
        asked.send(b"a", more=False)
        await asked.done()
        assert 90 < (remaining() or 0) <= 100


@in_virtual_time
async def test_a_failure_is_a_500_and_once_the_answer_has_begun_it_is_handed_on() -> None:
    stage = Stage()

    async def fails() -> AsyncIterator[Event]:
        raise OSError("x")
        yield Event("")

    stage.lastings.news.listen = fails  # type: ignore[method-assign]
    asked = stage.ask(EVENTS)
    await settle()
    with pytest.raises(OSError, match="x"):
        await asked.done()
    assert asked.status == 200
