"""Requests that offer an upgrade, over a real socket."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest

from tests.unit.http.wire import connected, serving

OFFER = (
    b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\n"
    b"HTTP2-Settings: AAEAAEAAAAIAAAABAAMAAABkAAQBAAAAAAUAAEAA\r\n"
)


async def echo(scope: Any, receive: Any, send: Any) -> None:
    """Answers with the request's path and body; or in two pieces of 100,000 bytes, the second not before it is asked
    for."""
    if scope["path"] == "/pieces":
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"200000")]})
        await send({"type": "http.response.body", "body": b"1" * 100_000, "more_body": True})
        await receive()
        await send({"type": "http.response.body", "body": b"2" * 100_000})
        return
    body, more = b"", True
    while more:
        message = await receive()
        body += message.get("body", b"")
        more = message.get("more_body", False)
    answer = json.dumps({"path": scope["path"], "body": body.decode()}).encode()
    await send(
        {"type": "http.response.start", "status": 200, "headers": [(b"content-length", str(len(answer)).encode())]}
    )
    await send({"type": "http.response.body", "body": answer})


@pytest.fixture
async def connection() -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    async with serving(echo) as server, connected(server) as wire:
        yield wire.reader, wire.writer


async def answer(reader: asyncio.StreamReader) -> dict[str, str]:
    head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 30)
    assert head.startswith(b"HTTP/1.1 200")
    length = int(head.lower().split(b"content-length:")[1].split(b"\r\n")[0])
    result: dict[str, str] = json.loads(await asyncio.wait_for(reader.readexactly(length), 30))
    return result


@pytest.mark.parametrize("cut", [None, 10, 60, 150, 200], ids=lambda cut: f"cut-at-{cut}")
async def test_a_body_sent_with_an_offer_of_h2c_is_not_lost(
    connection: tuple[asyncio.StreamReader, asyncio.StreamWriter], cut: int | None
) -> None:
    reader, writer = connection
    request = b"POST /first?a=1 HTTP/1.1\r\nHost: x\r\n" + OFFER + b"Content-Length: 5\r\n\r\nhello"
    writer.write(request[:cut])
    await writer.drain()
    writer.write(request[cut:] if cut else b"")
    assert await answer(reader) == {"path": "/first", "body": "hello"}


async def test_the_connection_goes_on_after_an_ignored_offer(
    connection: tuple[asyncio.StreamReader, asyncio.StreamWriter],
) -> None:
    reader, writer = connection
    chunked = b"Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n"
    writer.write(b"POST /first HTTP/1.1\r\nHost: x\r\n" + OFFER + chunked)
    assert await answer(reader) == {"path": "/first", "body": "abc"}
    writer.write(b"POST /second HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\nhi")
    assert await answer(reader) == {"path": "/second", "body": "hi"}
    writer.write(b"GET /third HTTP/1.1\r\nHost: x\r\n" + OFFER + b"\r\n")
    assert await answer(reader) == {"path": "/third", "body": ""}


async def test_an_answer_to_head_is_its_head(connection: tuple[asyncio.StreamReader, asyncio.StreamWriter]) -> None:
    reader, writer = connection
    writer.write(b"HEAD /first HTTP/1.1\r\nHost: x\r\n\r\nGET /second HTTP/1.1\r\nHost: x\r\n\r\n")
    head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 30)
    assert head.startswith(b"HTTP/1.1 200")
    assert await answer(reader) == {"path": "/second", "body": ""}


async def test_the_first_piece_of_an_answer_does_not_wait_for_the_next(
    connection: tuple[asyncio.StreamReader, asyncio.StreamWriter],
) -> None:
    reader, writer = connection
    writer.write(b"POST /pieces HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n")
    head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 30)
    assert head.startswith(b"HTTP/1.1 200")
    assert await asyncio.wait_for(reader.readexactly(100_000), 30) == b"1" * 100_000
    writer.write(b"go")
    assert await asyncio.wait_for(reader.readexactly(100_000), 30) == b"2" * 100_000


async def test_a_client_that_waits_is_told_to_go_on(
    connection: tuple[asyncio.StreamReader, asyncio.StreamWriter],
) -> None:
    reader, writer = connection
    writer.write(b"POST /first HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n")
    assert await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 30) == b"HTTP/1.1 100 Continue\r\n\r\n"
    writer.write(b"hi")
    assert await answer(reader) == {"path": "/first", "body": "hi"}


async def test_what_is_no_http_is_answered_with_400(
    connection: tuple[asyncio.StreamReader, asyncio.StreamWriter],
) -> None:
    reader, writer = connection
    writer.write(b"\x16\x03\x01 hello\r\n\r\n")
    assert (await asyncio.wait_for(reader.read(), 30)).startswith(b"HTTP/1.1 400")
