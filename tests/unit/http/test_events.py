import asyncio
from collections.abc import AsyncIterator, Sequence

import pytest
from fastapi import FastAPI

from tests.resilience.world import in_virtual_time
from tests.unit.http.asgi import application, client
from tests.unit.http.lasting import EVENTS, Asked, Lastings
from tests.unit.http.wire import until
from warehouse.errors import Unavailable
from warehouse.http.compression import CompressionMiddleware
from warehouse.http.draining import CLOSING
from warehouse.http.events import Event, LastEventId, event_stream, last_event_id

RETRY = b"retry: 3000\n\n"


@pytest.mark.parametrize(
    ("event", "encoded"),
    [
        (Event("x"), "data: x\n\n"),
        (Event(""), "data: \n\n"),
        (Event('{"done":1}', "7", "progress"), 'id: 7\nevent: progress\ndata: {"done":1}\n\n'),
        (Event("a\nb\r\nc\rd"), "data: a\ndata: b\ndata: c\ndata: d\n\n"),
        (Event("a\u2028b\x85c\x0bd"), "data: a\u2028b\x85c\x0bd\n\n"),
        (Event(" x\n"), "data:  x\ndata: \n\n"),
        (Event("x", id=""), "id: \ndata: x\n\n"),
        (Event("ü", "ü"), "id: ü\ndata: ü\n\n"),
    ],
)
def test_an_event_is_written_as_the_standard_has_it(event: Event, encoded: str) -> None:
    assert event.encoded() == encoded.encode()


@pytest.mark.parametrize("text", ["a\nb", "a\rb", "a\0"])
def test_an_id_or_a_name_of_several_lines_is_none(text: str) -> None:
    with pytest.raises(ValueError, match="single lines"):
        Event("x", id=text)
    with pytest.raises(ValueError, match="single lines"):
        Event("x", name=text)


class Channel:
    """A stream of events that somebody listens to."""

    def __init__(self) -> None:
        self.lastings = Lastings()
        self.news = self.lastings.news
        self.app: FastAPI = application()
        self.app.include_router(self.lastings.router())
        self.closing = asyncio.Event()
        self.tasks_before = asyncio.all_tasks()

    async def listen(self) -> Asked:
        """Once it has begun."""
        asked = Asked(self.app, self.app, EVENTS)
        asked.scope["state"] = {CLOSING: self.closing}
        asked.send(b"", more=False)
        await until(lambda: self.news.listening == 1)
        return asked

    def tell(self, *events: Event | None) -> None:
        for each in events:
            self.news.to_come.put_nowait(each)

    async def assert_all_over(self) -> None:
        """Nobody listens, and nothing goes on but what did before. What other tests have left may be ending."""
        assert self.news.listening == 0
        await until(lambda: asyncio.all_tasks() <= self.tasks_before)


async def test_the_stream_begins_at_once_and_is_not_to_be_kept_or_held_back() -> None:
    channel = Channel()
    asked = await channel.listen()
    assert asked.status == 200
    assert asked.headers["content-type"].startswith("text/event-stream")
    assert asked.headers["cache-control"] == "no-store"
    assert asked.headers["x-accel-buffering"] == "no"
    assert "content-length" not in asked.headers
    assert asked.body == RETRY
    asked.leave()
    await asked.done()


async def test_events_are_sent_one_by_one_until_there_are_no_more() -> None:
    channel = Channel()
    asked = await channel.listen()
    channel.tell(Event("1", "1"))
    await until(lambda: asked.body == RETRY + b"id: 1\ndata: 1\n\n")
    channel.tell(Event("2", "2", "end"), None)
    await asked.done()
    assert asked.body == RETRY + b"id: 1\ndata: 1\n\nid: 2\nevent: end\ndata: 2\n\n"
    assert not asked.sent[-1]["more_body"]
    await channel.assert_all_over()


@in_virtual_time
async def test_a_silence_is_broken_every_fifteen_seconds_by_what_is_no_event() -> None:
    channel = Channel()
    asked = await channel.listen()
    await asyncio.sleep(46)
    assert asked.body == RETRY + b":\n\n" * 3
    channel.tell(Event("x"))
    await asyncio.sleep(14)
    assert asked.body == RETRY + b":\n\n" * 3 + b"data: x\n\n"
    await asyncio.sleep(2)
    assert asked.body.endswith(b"data: x\n\n:\n\n")
    asked.leave()
    await asked.done()
    await channel.assert_all_over()


async def test_when_the_client_leaves_its_events_are_closed() -> None:
    channel = Channel()
    asked = await channel.listen()
    asked.leave()
    await asked.done()
    await channel.assert_all_over()


async def test_when_the_server_closes_the_stream_comes_to_an_orderly_end() -> None:
    channel = Channel()
    asked = await channel.listen()
    channel.closing.set()
    assert await asked.done() == 200
    assert not asked.sent[-1]["more_body"]
    await channel.assert_all_over()


async def test_a_stream_that_is_opened_while_the_server_closes_ends_at_once() -> None:
    channel = Channel()
    channel.closing.set()
    asked = Asked(channel.app, channel.app, EVENTS)
    asked.scope["state"] = {CLOSING: channel.closing}
    assert await asked.done() == 200
    assert not asked.sent[-1]["more_body"]
    await channel.assert_all_over()


async def test_a_stream_that_is_cancelled_leaves_nothing_behind() -> None:
    channel = Channel()
    asked = await channel.listen()
    asked.task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asked.task
    await channel.assert_all_over()


async def test_a_client_that_takes_nothing_does_not_keep_its_events_when_it_leaves() -> None:
    channel = Channel()
    never = asyncio.Event()

    async def stuck(message: object) -> None:
        sent.append(message)
        if len(sent) > 2:
            await never.wait()

    sent: list[object] = []
    gone = asyncio.Event()

    async def receive() -> dict[str, str]:
        await gone.wait()
        return {"type": "http.disconnect"}

    stream = event_stream(channel.news.listen())
    channel.tell(Event("x"))
    task = asyncio.create_task(stream({"type": "http"}, receive, stuck))
    await until(lambda: len(sent) == 3)
    gone.set()
    await until(lambda: channel.news.listening == 0)
    never.set()
    await task
    await channel.assert_all_over()


async def failing(error: Exception) -> AsyncIterator[Event]:
    yield Event("x")
    raise error


async def test_events_that_are_not_available_any_more_end_in_order(caplog: pytest.LogCaptureFixture) -> None:
    channel = Channel()
    channel.news.listen = lambda: failing(Unavailable("gone"))  # type: ignore[method-assign]
    asked = Asked(channel.app, channel.app, EVENTS)
    assert await asked.done() == 200
    assert not asked.sent[-1]["more_body"]
    assert "events.unavailable error=Unavailable" in caplog.text


async def test_any_other_failure_cuts_the_stream_off() -> None:
    channel = Channel()
    channel.news.listen = lambda: failing(KeyError("x"))  # type: ignore[method-assign]
    asked = Asked(channel.app, channel.app, EVENTS)
    with pytest.raises(KeyError):
        await asked.done()
    assert asked.sent[-1]["more_body"]


async def test_events_are_never_encoded() -> None:
    channel = Channel()
    channel.app.add_middleware(CompressionMiddleware, min_size=1)
    channel.tell(Event("x" * 10_000), None)
    async with client(channel.app) as http:
        response = await http.get(EVENTS, headers={"Accept-Encoding": "gzip, zstd"})
    assert "content-encoding" not in response.headers
    assert len(response.content) > 10_000


@pytest.mark.parametrize(
    ("given", "found"),
    [
        (b"", None),
        (b"42", "42"),
        ("ü".encode(), "ü"),
        (b"\xff", None),
        (b"a\0b", None),
        (b"a\nb", None),
        (b"x" * 255, "x" * 255),
        (b"x" * 256, None),
    ],
)
def test_the_last_event_id_is_what_we_could_have_sent_or_nothing(given: bytes, found: str | None) -> None:
    assert last_event_id(given) == found


@pytest.mark.parametrize(("fields", "found"), [([], None), ([b"7"], "7"), (["ü".encode()], "ü"), ([b"\xe4"], None)])
async def test_an_endpoint_learns_the_last_event_id(fields: Sequence[bytes], found: str | None) -> None:
    app = application()

    @app.get("/v1/products")
    async def list_products(last: LastEventId) -> str | None:
        return last

    async with client(app) as http:
        response = await http.get("/v1/products", headers=[(b"Last-Event-ID", each) for each in fields])
    assert response.json() == found
