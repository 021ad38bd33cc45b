import asyncio
from collections.abc import AsyncIterator, Iterator

import pytest
from fastapi import FastAPI, Request
from httpx import Response
from pydantic import BaseModel
from starlette.types import Message, Receive, Scope, Send

from tests.resilience.world import in_virtual_time
from tests.unit.http.asgi import application, client, http_scope
from warehouse.http.deadline import BodyLimitMiddleware, DeadlineMiddleware
from warehouse.resilience import deadline, remaining

LIMIT = 100


class Body(BaseModel):
    name: str


async def test_a_request_that_takes_too_long_is_cancelled_and_answered_with_503() -> None:
    app = application()
    cancelled = asyncio.Event()

    @app.get("/products")
    async def list_products() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.set()

    app.add_middleware(DeadlineMiddleware, seconds=0.01)
    async with client(app) as http:
        response = await http.get("/products")

    assert (response.status_code, response.json()["code"]) == (503, "timeout")
    assert response.headers["retry-after"] == "1"
    assert cancelled.is_set()


@pytest.mark.parametrize(("asked", "seconds"), [(None, 15.0), ("2", 2.0), ("0.1", 0.1), ("60", 15.0)])
def test_its_answer_is_there_by_the_deadline_though_it_first_leaves_things_in_order(
    asked: str | None, seconds: float
) -> None:
    app = application()
    ended: list[float] = []

    @app.get("/products")
    async def list_products() -> None:
        began = asyncio.get_running_loop().time()
        await asyncio.sleep(remaining() or 0)
        ended.append(asyncio.get_running_loop().time() - began)
        await asyncio.sleep(3600)

    app.add_middleware(DeadlineMiddleware, seconds=15.0)

    @in_virtual_time
    async def ask() -> None:
        async with client(app) as http:
            began = asyncio.get_running_loop().time()
            response = await http.get("/products", headers={} if asked is None else {"Request-Timeout": asked})
            took = asyncio.get_running_loop().time() - began
        assert (response.status_code, response.json()["code"]) == (503, "timeout")
        assert 0.85 * seconds < ended[0] < took < seconds

    ask()


async def test_a_request_that_is_done_in_time_is_left_alone() -> None:
    app = application()

    @app.get("/products")
    async def list_products() -> str:
        return "done"

    app.add_middleware(DeadlineMiddleware, seconds=5)
    async with client(app) as http:
        assert (await http.get("/products")).json() == "done"


async def test_requests_that_begin_together_are_all_ended() -> None:
    app = application()

    @app.get("/products")
    async def list_products() -> None:
        await asyncio.Event().wait()

    app.add_middleware(DeadlineMiddleware, seconds=0.05)
    async with client(app) as http:
        answers = await asyncio.gather(*(http.get("/products") for _ in range(20)))
    assert {each.status_code for each in answers} == {503}


async def test_a_timeout_that_is_not_ours_is_a_failure_like_any_other() -> None:
    app = application()

    @app.get("/products")
    async def list_products() -> None:
        raise TimeoutError

    app.add_middleware(DeadlineMiddleware, seconds=5)
    async with client(DeadlineMiddleware(app, 5)) as http:
        assert (await http.get("/products")).status_code == 500


async def test_an_answer_that_has_begun_is_cut_off() -> None:
    async def dripping(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await asyncio.Event().wait()

    sent: list[Message] = []

    async def receive() -> Message:
        return {"type": "http.disconnect"}

    async def send(message: Message) -> None:
        sent.append(message)

    with pytest.raises(TimeoutError):
        await DeadlineMiddleware(dripping, 0.01)(http_scope(), receive, send)
    assert [message["type"] for message in sent] == ["http.response.start"]


async def left(seconds: float, *fields: bytes) -> Response:
    """The answer of an application that tells how much time it has, by a server that gives `seconds`."""
    app = application()

    @app.get("/products")
    async def list_products() -> float | None:
        return remaining()

    app.add_middleware(DeadlineMiddleware, seconds=seconds)
    async with client(app) as http:
        return await http.get("/products", headers=[(b"Request-Timeout", each) for each in fields])


@pytest.mark.parametrize(
    ("asked", "seconds"),
    [(b"2.5", 2.26), (b" 2 ", 1.805), (b"007", 6.75), (b"3600", 9.75), (b"999999999", 9.75)],
)
async def test_a_client_may_give_a_request_less_time_and_not_more(asked: bytes, seconds: float) -> None:
    told = float((await left(10.0, asked)).text)
    assert seconds - 1 < told <= seconds


async def test_without_a_word_of_the_client_a_request_has_the_servers_time_but_for_that_of_its_answer() -> None:
    assert 8.75 < float((await left(10.0)).text) <= 9.75


GARBAGE = [
    b"",
    b" ",
    b"x",
    b"-1",
    b"+1",
    b"0",
    b"0.0",
    b"00",
    b"nan",
    b"inf",
    b"1e3",
    b"1_0",
    b".5",
    b"1.",
    b"1,5",
    b"2s",
    b"1 2",
]
GARBAGE += ["٣".encode(), b"\xb2", b"9" * 10, b"0." + b"1" * 10, b"9" * 10_000, b"1\x002"]


@pytest.mark.parametrize("field", GARBAGE)
async def test_what_is_no_time_is_a_400_that_names_the_header(field: bytes) -> None:
    response = await left(10.0, field)
    assert (response.status_code, response.json()["code"]) == (400, "malformed_request")
    assert response.json()["errors"][0]["pointer"] == "Request-Timeout"


async def test_two_times_are_as_good_as_none() -> None:
    assert (await left(10.0, b"1", b"2")).status_code == 400


async def test_a_request_with_a_time_that_makes_no_sense_is_not_begun() -> None:
    async def never(scope: Scope, receive: Receive, send: Send) -> None:
        pytest.fail("begun")

    async with client(DeadlineMiddleware(never, 5)) as http:
        assert (await http.post("/products", headers={"Request-Timeout": "soon"})).status_code == 400


@pytest.mark.parametrize("asked", ["0.05", "0.000000001"])
async def test_a_request_is_ended_when_its_clients_time_is_over(asked: str) -> None:
    app = application()

    @app.get("/products")
    async def list_products() -> None:
        await asyncio.Event().wait()

    app.add_middleware(DeadlineMiddleware, seconds=3600)
    async with client(app) as http:
        response = await http.get("/products", headers={"Request-Timeout": asked})
    assert (response.status_code, response.json()["code"]) == (503, "timeout")


async def test_after_a_request_the_deadline_is_that_of_whoever_made_it() -> None:
    with deadline(100.0):
        await left(10.0)
        assert 90 < (remaining() or 0) <= 100


def limited() -> FastAPI:
    app = application()

    @app.post("/products")
    async def create_product(body: Body) -> int:
        return len(body.name)

    @app.post("/products/batch")
    async def upsert_products(request: Request) -> int:
        return len(await request.body())

    @app.get("/products")
    async def list_products() -> None: ...

    app.add_middleware(BodyLimitMiddleware, max_bytes=LIMIT)
    return app


def document(size: int) -> bytes:
    return b'{"name":"%s"}' % (b"x" * (size - 11))


async def chunks(content: bytes) -> AsyncIterator[bytes]:
    for start in range(0, len(content), 40):
        yield content[start : start + 40]


def bodies(size: int) -> Iterator[bytes | AsyncIterator[bytes]]:
    yield document(size)
    yield chunks(document(size))


@pytest.mark.parametrize("path", ["/products", "/products/batch"])
async def test_a_body_of_just_the_limit_is_taken(path: str) -> None:
    for body in bodies(LIMIT):
        async with client(limited()) as http:
            response = await http.post(path, content=body, headers={"Content-Type": "application/json"})
        assert response.status_code == 200


@pytest.mark.parametrize("path", ["/products", "/products/batch"])
async def test_a_larger_body_is_a_413_whether_it_is_announced_or_not(path: str) -> None:
    for body in bodies(LIMIT + 1):
        async with client(limited()) as http:
            response = await http.post(path, content=body, headers={"Content-Type": "application/json"})
        assert (response.status_code, response.json()["code"]) == (413, "payload_too_large")
        assert response.headers["content-type"] == "application/problem+json"


async def test_an_announced_body_is_refused_before_it_is_read() -> None:
    async def never() -> AsyncIterator[bytes]:
        pytest.fail("read")
        yield b""

    async with client(limited()) as http:
        response = await http.post("/products", content=never(), headers={"Content-Length": "1000000"})

    assert response.status_code == 413


@pytest.mark.parametrize("length", ["-1", "x", "", "1e9", "٣", "9" * 30])
async def test_a_nonsensical_length_is_left_to_the_counting(length: str) -> None:
    async with client(BodyLimitMiddleware(limited(), LIMIT)) as http:
        response = await http.post(
            "/products/batch", content=chunks(document(LIMIT)), headers={b"Content-Length": length.encode()}
        )

    assert response.status_code == 200
