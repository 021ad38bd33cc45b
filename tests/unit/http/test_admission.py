import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Sequence

import pytest
from fastapi import FastAPI, Request
from pydantic import BaseModel
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from tests.resilience.world import in_virtual_time
from tests.unit.http.asgi import application, client, http_scope
from warehouse.http.access import PUBLIC
from warehouse.http.admission import AdmissionMiddleware
from warehouse.http.deadline import BodyLimitMiddleware
from warehouse.http.decoding import RequestDecodingMiddleware
from warehouse.resilience import deadline

READS_AND_WRITES = ["GET", "POST"]
DONE = {"type": "http.request", "body": b"", "more_body": False}
WAIT_SECONDS = 10.0


class Kitchen:
    """Begins what it is asked, by the path, and ends it when it is told to."""

    def __init__(self) -> None:
        self.begun: list[str] = []
        self.ends: defaultdict[str, asyncio.Event] = defaultdict(asyncio.Event)
        self._news = asyncio.Condition()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async with self._news:
            self.begun.append(scope["path"])
            self._news.notify_all()
        await self.ends[scope["path"]].wait()
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    async def has_begun(self, *paths: str) -> None:
        """Waits for it."""
        async with asyncio.timeout(WAIT_SECONDS), self._news:
            await self._news.wait_for(lambda: self.begun == list(paths))

    def end(self, *paths: str) -> None:
        for path in paths:
            self.ends[path].set()


class Asked:
    """A request on its way."""

    def __init__(self, app: ASGIApp, path: str, method: str = "GET", receive: Receive | None = None) -> None:
        self.sent: list[Message] = []
        self.task = asyncio.create_task(self._ask(app, http_scope(path, method), receive or nothing_more))

    async def _ask(self, app: ASGIApp, scope: Scope, receive: Receive) -> None:
        async def send(message: Message) -> None:
            self.sent.append(message)

        await app(scope, receive, send)

    async def status(self) -> int:
        await self.task
        status: int = self.sent[0]["status"]
        return status


async def nothing_more() -> Message:
    return DONE


async def asked(app: ASGIApp, kitchen: Kitchen, method: str, *paths: str) -> Sequence[Asked]:
    """One after the other, each as far as it gets by itself."""
    requests = []
    for path in paths:
        requests.append(Asked(app, path, method))
        for _ in range(5):
            await asyncio.sleep(0)
    return requests


@pytest.fixture
def kitchen() -> Kitchen:
    return Kitchen()


@pytest.fixture
def door(kitchen: Kitchen) -> AdmissionMiddleware:
    return AdmissionMiddleware(kitchen, in_flight=2, queued=2)


@pytest.mark.parametrize("method", READS_AND_WRITES)
async def test_no_more_are_worked_at_than_may_be_and_the_others_follow_in_order(
    kitchen: Kitchen, door: AdmissionMiddleware, method: str
) -> None:
    requests = await asked(door, kitchen, method, "/1", "/2", "/3", "/4")
    assert kitchen.begun == ["/1", "/2"]
    kitchen.end("/2")
    await kitchen.has_begun("/1", "/2", "/3")
    kitchen.end("/1")
    await kitchen.has_begun("/1", "/2", "/3", "/4")
    kitchen.end("/3", "/4")
    assert [await each.status() for each in requests] == [200] * 4


@pytest.mark.parametrize("method", READS_AND_WRITES)
async def test_who_comes_when_the_queue_is_full_is_told_so_at_once_and_nothing_of_it_is_begun(
    kitchen: Kitchen, door: AdmissionMiddleware, method: str
) -> None:
    requests = await asked(door, kitchen, method, "/1", "/2", "/3", "/4", "/5")
    refused = requests[4]
    assert await refused.status() == 503
    assert (b"retry-after", b"1") in refused.sent[0]["headers"]
    assert b'"code":"overloaded"' in refused.sent[1]["body"]
    kitchen.end("/1", "/2", "/3", "/4")
    assert [await each.status() for each in requests[:4]] == [200] * 4
    assert "/5" not in kitchen.begun


async def test_reads_and_writes_do_not_wait_for_each_other(kitchen: Kitchen, door: AdmissionMiddleware) -> None:
    writes = await asked(door, kitchen, "POST", "/1", "/2", "/3", "/4")
    reads = await asked(door, kitchen, "GET", "/5", "/6", "/7")
    assert kitchen.begun == ["/1", "/2", "/5", "/6"]
    kitchen.end(*(f"/{number}" for number in range(1, 8)))
    assert [await each.status() for each in (*writes, *reads)] == [200] * 7


async def test_without_a_queue_nobody_waits(kitchen: Kitchen) -> None:
    first, second = await asked(AdmissionMiddleware(kitchen, in_flight=1, queued=0), kitchen, "GET", "/1", "/2")
    assert await second.status() == 503
    kitchen.end("/1")
    assert await first.status() == 200


@pytest.mark.parametrize("path", sorted(PUBLIC.exact))
async def test_public_paths_are_always_let_in(kitchen: Kitchen, path: str) -> None:
    door = AdmissionMiddleware(kitchen, in_flight=1, queued=0)
    waiting, public = await asked(door, kitchen, "GET", "/1", path)
    kitchen.end(path)
    assert await public.status() == 200
    kitchen.end("/1")
    assert await waiting.status() == 200


async def test_who_gives_up_waiting_leaves_the_place_to_the_next(kitchen: Kitchen, door: AdmissionMiddleware) -> None:
    requests = await asked(door, kitchen, "GET", "/1", "/2", "/3", "/4")
    requests[2].task.cancel()
    await asyncio.gather(requests[2].task, return_exceptions=True)
    [late] = await asked(door, kitchen, "GET", "/5")
    kitchen.end("/1", "/2", "/4", "/5")
    assert [await each.status() for each in (requests[3], late)] == [200, 200]
    assert kitchen.begun == ["/1", "/2", "/4", "/5"]


async def test_who_gives_up_at_work_leaves_the_place_to_the_next(kitchen: Kitchen, door: AdmissionMiddleware) -> None:
    requests = await asked(door, kitchen, "GET", "/1", "/2", "/3")
    requests[0].task.cancel()
    await kitchen.has_begun("/1", "/2", "/3")
    kitchen.end("/2", "/3")
    assert [await each.status() for each in requests[1:]] == [200, 200]


async def test_a_place_comes_back_from_a_request_that_fails() -> None:
    async def failing(scope: Scope, receive: Receive, send: Send) -> None:
        raise ZeroDivisionError

    door = AdmissionMiddleware(failing, in_flight=1, queued=0)
    for _ in range(3):
        with pytest.raises(ZeroDivisionError):
            await Asked(door, "/1").task


@in_virtual_time
async def test_who_cannot_be_let_in_before_his_deadline_is_told_so_in_time() -> None:
    kitchen, loop = Kitchen(), asyncio.get_running_loop()
    door = AdmissionMiddleware(kitchen, in_flight=1, queued=1)
    working = Asked(door, "/1")
    await asyncio.sleep(0)
    begun = loop.time()
    with deadline(3.0, loop.time):
        waiting = Asked(door, "/2")
    assert await waiting.status() == 503
    assert loop.time() - begun == pytest.approx(3.0)
    assert b'"code":"timeout"' in waiting.sent[1]["body"]
    assert (b"retry-after", b"1") in waiting.sent[0]["headers"]
    kitchen.end("/1", "/3")
    assert await Asked(door, "/3").status() == await working.status() == 200
    assert kitchen.begun == ["/1", "/3"]


class Sender:
    """A client that sends its body piece by piece."""

    def __init__(self) -> None:
        self._messages: asyncio.Queue[Message] = asyncio.Queue()

    async def receive(self) -> Message:
        return await self._messages.get()

    def send(self, piece: bytes, *, more: bool) -> None:
        self._messages.put_nowait({"type": "http.request", "body": piece, "more_body": more})

    def leave(self) -> None:
        self._messages.put_nowait({"type": "http.disconnect"})


class Reader:
    """Reads the body message by message, and then whether its client is still there."""

    def __init__(self) -> None:
        self.messages: list[Message] = []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        more = True
        while more:
            self.messages.append(await receive())
            more = self.messages[-1].get("more_body", False)
        self.messages.append(await receive())
        await send({"type": "http.response.start", "status": 200, "headers": []})


async def test_a_body_arrives_piece_by_piece_and_in_order() -> None:
    reader, sender = Reader(), Sender()
    request = Asked(AdmissionMiddleware(reader, in_flight=1, queued=0), "/1", "POST", sender.receive)
    for piece in (b"1", b"", b"2"):
        sender.send(piece, more=True)
    sender.send(b"3", more=False)
    sender.leave()
    assert await request.status() == 200
    assert [each.get("body") for each in reader.messages] == [b"1", b"", b"2", b"3", None]
    assert [each["type"] for each in reader.messages] == ["http.request"] * 4 + ["http.disconnect"]


async def test_a_body_that_comes_slowly_takes_no_place(kitchen: Kitchen) -> None:
    door, sender = AdmissionMiddleware(kitchen, in_flight=1, queued=0), Sender()
    slow = Asked(door, "/slow", "POST", sender.receive)
    sender.send(b"{", more=True)
    kitchen.end("/quick")
    assert await Asked(door, "/quick", "POST").status() == 200
    sender.send(b"}", more=False)
    kitchen.end("/slow")
    assert await slow.status() == 200
    assert kitchen.begun == ["/quick", "/slow"]


async def test_a_client_that_leaves_while_it_sends_is_seen_to_have_left() -> None:
    left = asyncio.Event()

    async def reading(scope: Scope, receive: Receive, send: Send) -> None:
        with pytest.raises(ClientDisconnect):
            await Request(scope, receive).body()
        left.set()

    sender = Sender()
    request = Asked(AdmissionMiddleware(reading, in_flight=1, queued=0), "/1", "POST", sender.receive)
    sender.send(b"{", more=True)
    sender.leave()
    await request.task
    assert left.is_set()


class Body(BaseModel):
    name: str


def shop(*, admitting: bool) -> ASGIApp:
    app: FastAPI = application()

    @app.post("/products")
    async def create_product(body: Body) -> int:
        return len(body.name)

    @app.post("/products/batch")
    async def upsert_products(request: Request) -> int:
        return len(await request.body())

    stack: ASGIApp = AdmissionMiddleware(app, in_flight=1, queued=0) if admitting else app
    return BodyLimitMiddleware(RequestDecodingMiddleware(stack, max_bytes=100), max_bytes=200)


@pytest.mark.parametrize("path", ["/products", "/products/batch"])
@pytest.mark.parametrize(
    ("content", "coding", "status"),
    [
        (b'{"name":"Ice"}', "", 200),
        (b"x" * 1000, "", 413),
        (b"x" * 100, "gzip", 400),
        (b"\x28\xb5\x2f\xfd", "zstd", 400),
    ],
)
async def test_a_body_that_cannot_be_taken_is_answered_as_without_admission(
    path: str, content: bytes, coding: str, status: int
) -> None:
    async def chunked() -> AsyncIterator[bytes]:
        yield content

    headers = {"Content-Type": "application/json", **({"Content-Encoding": coding} if coding else {})}
    answers = []
    for admitting in (False, True):
        async with client(shop(admitting=admitting)) as http:
            # A place that was lost would be missing the second time.
            answers += [await http.post(path, content=chunked(), headers=headers) for _ in range(2)]
    assert {each.status_code for each in answers} == {status}
    assert len({each.content for each in answers}) == 1


async def used_to(seconds: float) -> AdmissionMiddleware:
    """With one place, and requests that take so long, as it has seen."""
    loop = asyncio.get_running_loop()

    async def taking_its_time(scope: Scope, receive: Receive, send: Send) -> None:
        await asyncio.sleep(seconds)
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    app = AdmissionMiddleware(taking_its_time, in_flight=1, queued=100, monotonic=loop.time)
    for _ in range(30):
        await Asked(app, "/v1/products").task
    return app


async def statuses_of_a_crowd(app: AdmissionMiddleware, count: int) -> list[int]:
    crowd = [Asked(app, "/v1/products") for _ in range(count)]
    await asyncio.gather(*(each.task for each in crowd))
    return sorted(each.sent[0]["status"] for each in crowd)


@in_virtual_time
async def test_nobody_waits_who_would_have_to_wait_for_long() -> None:
    """The sixth of those that wait may just expect its turn within five seconds."""
    app = await used_to(1.0)
    assert await statuses_of_a_crowd(app, 10) == [*[200] * 7, *[503] * 3]
    assert await statuses_of_a_crowd(app, 1) == [200]


@in_virtual_time
async def test_a_queue_of_quick_requests_may_be_long() -> None:
    assert await statuses_of_a_crowd(await used_to(0.001), 110) == [*[200] * 101, *[503] * 9]


@in_virtual_time
async def test_where_a_queue_stands_nobody_joins_it_who_would_have_to_wait_for_half_a_second() -> None:
    """Requests of 0.2 s at one place: the third of those that wait may just expect its turn within half of one."""
    app = await used_to(0.2)
    crowd = [Asked(app, "/v1/products") for _ in range(12)]
    await asyncio.sleep(2.1)  # in virtual time; of the crowd one is left, who waits for one
    late = await statuses_of_a_crowd(app, 10)
    assert [await each.status() for each in crowd] == [200] * 12
    assert late == [200, 200, *[503] * 8]
    assert await statuses_of_a_crowd(app, 20) == [200] * 20


@in_virtual_time
async def test_nobody_waits_who_has_not_so_much_time() -> None:
    app, now = await used_to(1.0), asyncio.get_running_loop().time
    patient = [Asked(app, "/v1/products") for _ in range(3)]
    await asyncio.sleep(0.1)
    begun = now()
    with deadline(1.5, now):
        hasty = Asked(app, "/v1/products")
    await hasty.task
    assert (hasty.sent[0]["status"], now()) == (503, begun)
    await asyncio.gather(*(each.task for each in patient))
