import asyncio
import logging

import pytest
from fastapi import FastAPI
from starlette.responses import StreamingResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from tests.unit.http.asgi import application, client, http_scope
from tests.unit.http.codings import body, call, sending, start
from warehouse.http.compression import CompressionMiddleware
from warehouse.http.encodings import MIN_SIZE
from warehouse.http.head import HeadMiddleware
from warehouse.http.problems import InternalErrorMiddleware
from warehouse.http.request_id import RequestIdMiddleware

PRODUCTS = ["Crushed ice"] * 1000


def shop() -> FastAPI:
    app = application()

    @app.get("/products")
    async def list_products() -> list[str]:
        return PRODUCTS

    @app.get("/products/snapshot")
    async def get_product_snapshot() -> StreamingResponse:
        return StreamingResponse((b"1", b"2", b"3"))

    @app.post("/products/batch")
    async def upsert_products() -> None: ...

    @app.get("/reservations")
    async def list_reservations() -> None:
        raise ZeroDivisionError

    app.add_middleware(CompressionMiddleware, min_size=MIN_SIZE)
    app.add_middleware(InternalErrorMiddleware)
    app.add_middleware(HeadMiddleware)
    app.add_middleware(RequestIdMiddleware)
    return app


@pytest.mark.parametrize("accept", ["zstd", "gzip", "identity"])
@pytest.mark.parametrize("path", ["/products", "/products/snapshot", "/nowhere", "/products/batch", "/reservations"])
async def test_head_is_get_without_the_body(path: str, accept: str) -> None:
    headers = {"Accept-Encoding": accept, "X-Request-Id": "r1"}
    # From this version on a stream does not ask whether the client, which `call` lets go at once, is there.
    asgi = {"spec_version": "2.4"}
    head = await call(shop(), {**http_scope(path, "HEAD", headers), "asgi": asgi})
    get = await call(shop(), {**http_scope(path, "GET", headers), "asgi": asgi})
    assert head.status == get.status
    assert head.headers == get.headers
    assert (head.pieces, get.body != b"") == ([b""], True)
    if accept == "zstd" and path == "/products":
        assert head.headers["content-encoding"] == "zstd"
        assert int(head.headers["content-length"]) == len(get.body)


async def test_head_where_there_is_no_get_is_a_405() -> None:
    async with client(shop()) as http:
        response = await http.head("/products/batch")
    assert (response.status_code, response.headers["allow"], response.content) == (405, "POST", b"")


async def test_the_log_tells_that_it_was_head_and_what_it_was_for(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "warehouse.http.request_id"):
        async with client(shop()) as http:
            await http.head("/products")
    assert "http.request method=HEAD route=/products status=200" in caplog.text


@pytest.mark.parametrize(
    "rest",
    [
        [body(b"x")],
        [body(b"x", more=True), body(b"y", more=True), body()],
        [{"type": "http.response.pathsend", "path": "/x"}],
        [{"type": "http.response.zerocopysend", "file": 0}],
        [body(b"x", more=True), {"type": "http.response.trailers", "headers": []}],
    ],
)
async def test_a_body_is_dropped_however_it_would_be_sent(rest: list[Message]) -> None:
    early = {"type": "http.response.early_hint", "links": []}
    sent = await call(HeadMiddleware(sending(early, start(), *rest)), http_scope(method="HEAD"))
    assert sent.messages == [early, start(), {"type": "http.response.body", "body": b""}]


async def test_the_answer_to_head_waits_for_no_more_than_the_first_piece() -> None:
    sent: list[Message] = []
    answered = asyncio.Event()

    async def endless(scope: Scope, receive: Receive, send: Send) -> None:
        await send(start())
        await send(body(b"event", more=True))
        answered.set()
        await asyncio.Event().wait()

    async def receive() -> Message:
        return {"type": "http.disconnect"}

    async def send(message: Message) -> None:
        sent.append(message)

    task = asyncio.ensure_future(HeadMiddleware(endless)(http_scope(method="HEAD"), receive, send))
    await answered.wait()
    task.cancel()
    assert sent == [start(), {"type": "http.response.body", "body": b""}]


@pytest.mark.parametrize("scope", [http_scope(), http_scope(method="POST"), {"type": "lifespan"}])
async def test_anything_else_is_passed_on(scope: Scope) -> None:
    seen = []

    def noting(app: ASGIApp) -> ASGIApp:
        async def noted(scope: Scope, receive: Receive, send: Send) -> None:
            seen.append(scope)
            await app(scope, receive, send)

        return noted

    messages = start(), body(b"x", more=True), body(b"y")
    assert (await call(HeadMiddleware(noting(sending(*messages))), scope)).messages == list(messages)
    assert seen[0] is scope


async def test_the_servers_scope_stays_as_it_is() -> None:
    scope = http_scope(method="HEAD")
    await call(HeadMiddleware(sending(start(), body())), scope)
    assert scope["method"] == "HEAD"
