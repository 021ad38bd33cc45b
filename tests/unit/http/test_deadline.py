import asyncio
from collections.abc import AsyncIterator, Iterator

import pytest
from fastapi import FastAPI, Request
from pydantic import BaseModel
from starlette.types import Message, Receive, Scope, Send

from tests.unit.http.asgi import application, client, http_scope
from warehouse.http.deadline import BodyLimitMiddleware, DeadlineMiddleware

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
