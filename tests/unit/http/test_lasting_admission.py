"""Who has a place among those that are worked at, of those that last."""

import asyncio

import pytest
from fastapi import FastAPI

from tests.unit.http.asgi import application
from tests.unit.http.lasting import EVENTS, FILE, UPLOAD, Asked, Lastings
from tests.unit.http.wire import until
from warehouse.http.admission import AdmissionMiddleware


class Door:
    """Room for one of each, and none to wait."""

    def __init__(self, streams: int = 100) -> None:
        self.lastings = Lastings()
        self.app: FastAPI = application()
        self.app.include_router(self.lastings.router())
        self._stack = AdmissionMiddleware(self.app, in_flight=1, queued=0, streams=streams)

        @self.app.get("/v1/products")
        async def list_products() -> str:
            return "done"

        @self.app.post("/v1/products")
        async def create_product() -> str:
            return "done"

    def ask(self, path: str, method: str = "GET", **headers: str) -> Asked:
        asked = Asked(self._stack, self.app, path, method, **headers)
        if method == "GET":
            asked.send(b"", more=False)
        return asked


async def test_uploads_take_no_place_and_are_not_read_before_they_are_asked_for() -> None:
    door = Door()
    uploads = [door.ask(UPLOAD, "POST", content_type="text/csv") for _ in range(5)]
    for upload in uploads:
        upload.send(b"a,b\n")
    shelf = door.lastings.shelf
    await until(lambda: shelf.received == 20)
    write = door.ask("/v1/products", "POST")
    write.send(b"", more=False)
    assert await write.done() == 200
    for upload in uploads:
        upload.send(b"", more=False)
        assert await upload.done() == 200
    assert len(shelf.kept) == 5


@pytest.mark.parametrize("path", [EVENTS, FILE])
async def test_events_and_downloads_have_a_place_until_their_answer_begins(path: str) -> None:
    door = Door()
    door.lastings.thinking.clear()
    first = door.ask(path)
    await until(lambda: bool(door.lastings.left))
    assert await door.ask("/v1/products").done() == 503
    door.lastings.thinking.set()
    await until(lambda: bool(first.sent))
    assert await door.ask("/v1/products").done() == 200
    first.leave()
    assert await first.done() == 200


async def test_beyond_the_cap_a_stream_of_events_is_told_to_come_again() -> None:
    door = Door(streams=2)
    open_streams = []
    for _ in range(2):
        open_streams.append(door.ask(EVENTS))
        await until(lambda: bool(open_streams[-1].sent))
    refused = door.ask(EVENTS)
    assert await refused.done() == 503
    assert refused.headers["retry-after"] == "5"
    assert b'"code":"overloaded"' in refused.body
    assert await door.ask("/v1/products").done() == 200
    open_streams[0].leave()
    await open_streams[0].done()
    another = door.ask(EVENTS)
    await until(lambda: bool(another.sent))
    assert another.status == 200
    for each in (another, open_streams[1]):
        each.leave()
        await each.done()
    assert door.lastings.news.listening == 0


async def test_a_stream_that_is_cancelled_leaves_its_place() -> None:
    door = Door(streams=1)
    first = door.ask(EVENTS)
    await until(lambda: bool(first.sent))
    first.task.cancel()
    await asyncio.gather(first.task, return_exceptions=True)
    second = door.ask(EVENTS)
    await until(lambda: bool(second.sent))
    assert second.status == 200
    second.leave()
    await second.done()
