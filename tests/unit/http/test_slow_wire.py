"""What becomes of a client that is slow or asks for too much, over a real socket; the time is the test's own."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
import uvicorn

from tests.unit.http.wire import Wire, connected, serving, until
from warehouse.http.draining import DRAINING
from warehouse.http.wire_limits import DEFAULT_LIMITS, WireLimits

GET = b"GET /small HTTP/1.1\r\nHost: x\r\n\r\n"
POST = b"POST /small HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\n"
CHUNKED = b"POST /small HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
LARGE = 64 * 1024 * 1024
"""Bytes: more than the system's buffers hold."""


async def application(scope: Any, receive: Any, send: Any) -> None:
    """Reads the body, but for that of /early, and answers with two bytes; or with LARGE."""
    more = scope["path"] != "/early"
    while more:
        message = await receive()
        more = message.get("more_body", False)
    body = bytes(LARGE) if scope["path"] == "/large" else b"ok"
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"%d" % len(body))]})
    await send({"type": "http.response.body", "body": body[:1], "more_body": True})
    if scope["path"] == "/early":
        await receive()
    await send({"type": "http.response.body", "body": body[1:]})


@pytest.fixture
def limits() -> WireLimits:
    return DEFAULT_LIMITS


@pytest.fixture
async def server(limits: WireLimits) -> AsyncIterator[uvicorn.Server]:
    async with serving(application, limits) as server:
        yield server


@pytest.fixture
async def wire(server: uvicorn.Server) -> AsyncIterator[Wire]:
    async with connected(server) as wire:
        yield wire


async def answer(wire: Wire) -> bytes:
    head = await asyncio.wait_for(wire.reader.readuntil(b"\r\n\r\n"), 30)
    assert head.startswith(b"HTTP/1.1 200")
    assert await wire.reader.readexactly(2) == b"ok"
    return head


def sweep(wire: Wire, *times: float) -> None:
    for now in times:
        assert not wire.protocol.transport.is_closing(), f"it was closed before {now}"
        wire.protocol.sweep(now)


class TestHead:
    async def test_a_silent_client_is_left_without_a_word(self, wire: Wire) -> None:
        sweep(wire, 0, 9.9, 10)
        assert await wire.rest() == b""

    async def test_half_a_head_is_answered_with_408(self, wire: Wire) -> None:
        await wire.send(GET[:-2])
        sweep(wire, 0, 9.9, 10)
        rest = await wire.rest()
        assert rest.startswith(b"HTTP/1.1 408 Request Timeout\r\n")
        assert b"connection: close\r\n" in rest

    async def test_no_drip_makes_the_deadline_later(self, wire: Wire) -> None:
        for now in range(10):
            await wire.send(GET[now : now + 1])
            sweep(wire, now)
        sweep(wire, 10)
        assert (await wire.rest()).startswith(b"HTTP/1.1 408")

    async def test_the_next_head_has_a_deadline_of_its_own(self, wire: Wire) -> None:
        sweep(wire, 0, 9)
        await wire.send(GET)
        await answer(wire)
        sweep(wire, 12)  # idle, which has a time-out of its own
        await wire.send(GET[:-2])
        sweep(wire, 13, 22.9, 23)
        assert (await wire.rest()).startswith(b"HTTP/1.1 408")

    @pytest.mark.parametrize("pieces", [1, 7])
    async def test_one_that_is_too_large_is_refused(self, wire: Wire, pieces: int) -> None:
        head = GET[:-2] + b"A: " + b"a" * 65536 + b"\r\n\r\n"
        size = -(-len(head) // pieces)
        wire.writer.writelines(head[at : at + size] for at in range(0, len(head), size))
        assert (await wire.rest()).startswith(b"HTTP/1.1 431 ")

    async def test_one_without_an_end_is_refused(self, wire: Wire) -> None:
        wire.writer.write(GET[:-2] + b"A: " + b"a" * 65536)
        assert (await wire.rest()).startswith(b"HTTP/1.1 431 ")

    async def test_one_that_is_just_not_too_large_is_read(self, wire: Wire) -> None:
        await wire.send(GET[:-2] + b"A: " + b"a" * (65536 - len(GET)) + b"\r\n\r\n")
        await answer(wire)

    @pytest.mark.parametrize(("more", "status"), [(99, b"200"), (100, b"431")])
    async def test_it_has_a_hundred_fields_at_most(self, wire: Wire, more: int, status: bytes) -> None:
        wire.writer.write(GET[:-2] + b"A: a\r\n" * more + b"\r\n")
        assert (await wire.reader.readline()).startswith(b"HTTP/1.1 " + status)

    async def test_requests_in_one_go_are_not_taken_for_one_head(self, wire: Wire) -> None:
        await wire.send(GET * 3000)
        for _ in range(3000):
            await answer(wire)


class TestBody:
    async def test_one_that_stops_is_answered_with_408(self, wire: Wire) -> None:
        await wire.send(POST + b"b" * 6000)
        sweep(wire, 0, 4.9, 5)
        assert (await wire.rest()).startswith(b"HTTP/1.1 408")

    async def test_a_drip_is_answered_with_408(self, wire: Wire) -> None:
        await wire.send(POST)
        for now in range(5):
            await wire.send(b"b" * 1000)
            sweep(wire, now)
        sweep(wire, 5)
        assert (await wire.rest()).startswith(b"HTTP/1.1 408")

    async def test_one_that_keeps_the_pace_may_take_its_time(self, wire: Wire) -> None:
        await wire.send(POST)
        for now in range(0, 50, 5):
            sweep(wire, now)
            await wire.send(b"b" * 10_000)
        await answer(wire)

    async def test_one_in_the_middle_of_its_answer_is_cut_off(self, wire: Wire) -> None:
        await wire.send(POST.replace(b"/small", b"/early"))
        await wire.reader.readuntil(b"\r\n\r\no")
        sweep(wire, 0, 4.9, 5)
        assert b"HTTP" not in await wire.rest()

    async def test_what_is_left_after_the_answer_is_over_in_time(self, wire: Wire) -> None:
        await wire.send(POST.replace(b"/small", b"/early") + b"b")
        await answer(wire)
        for now in range(10):
            await wire.send(b"b" * 5000)
            sweep(wire, now)
        sweep(wire, 10)
        assert await wire.rest() == b""

    @pytest.mark.parametrize("waste", [b"A: a\r\n" * 12_000, b"A: " + b"a" * 70_000, b"A" * 70_000])
    async def test_trailers_are_no_way_round_the_limits(self, wire: Wire, waste: bytes) -> None:
        await wire.send(CHUNKED + b"1\r\nb\r\n0\r\n")
        wire.writer.write(waste)
        assert (await wire.rest()).startswith(b"HTTP/1.1 431")

    async def test_many_small_chunks_are_no_head(self, wire: Wire) -> None:
        await wire.send(CHUNKED + b"1\r\nb\r\n" * 50_000 + b"0\r\n\r\n")
        await answer(wire)


class TestRefusal:
    async def test_it_is_read_by_a_client_that_goes_on_to_send(self, wire: Wire) -> None:
        wire.writer.write(GET[:-2] + b"A: " + b"a" * 1_000_000)
        await asyncio.wait_for(wire.writer.drain(), 30)
        assert (await wire.rest()).startswith(b"HTTP/1.1 431 ")

    async def test_a_client_that_stays_after_it_is_cut_off(self, wire: Wire) -> None:
        protocol = wire.protocol
        await wire.send(b"nonsense\r\n\r\n")
        await wire.reader.readuntil(b"\r\n\r\n")
        sweep(wire, 0, 0.9, 1)
        await until(lambda: protocol not in wire.server.server_state.connections)

    async def test_it_does_not_get_into_the_middle_of_an_answer(self, wire: Wire) -> None:
        await wire.send(POST.replace(b"100000", b"1").replace(b"/small", b"/early"))
        await wire.reader.readuntil(b"\r\n\r\no")
        wire.writer.write(b"bnonsense\r\n\r\n")
        assert b"HTTP" not in await wire.rest()


class TestAnswer:
    @pytest.fixture
    async def waiting(self, wire: Wire) -> Wire:
        await wire.send(GET.replace(b"/small", b"/large"))
        await until(lambda: wire.protocol.transport.get_write_buffer_size() > 0)
        return wire

    async def test_who_takes_nothing_of_it_is_cut_off_at_once(self, waiting: Wire) -> None:
        protocol = waiting.protocol
        sweep(waiting, 0, 4.9, 5)
        await until(lambda: protocol not in waiting.server.server_state.connections)

    async def test_a_connection_that_closes_is_not_waited_for(self, waiting: Wire) -> None:
        protocol = waiting.protocol
        protocol.sweep(0)
        protocol.transport.close()
        protocol.sweep(5)
        await until(lambda: protocol not in waiting.server.server_state.connections)

    async def test_who_takes_it_slowly_gets_it(self, waiting: Wire) -> None:
        for now in range(0, 50, 5):
            sweep(waiting, now)
            await waiting.reader.readexactly(LARGE // 20)
        assert len(await waiting.reader.readexactly(LARGE // 2)) == LARGE // 2


@pytest.mark.parametrize("limits", [WireLimits(connections=1)])
async def test_beyond_the_cap_a_connection_is_answered_with_503_and_closed(server: uvicorn.Server) -> None:
    async with connected(server) as first:
        address = server.servers[0].sockets[0].getsockname()
        reader, writer = await asyncio.open_connection(*address)
        refusal = await asyncio.wait_for(reader.read(), 30)
        assert refusal.startswith(b"HTTP/1.1 503 Service Unavailable\r\n")
        assert b"\r\nretry-after: 1\r\n" in refusal
        writer.close()
        await first.send(GET)
        await answer(first)


async def test_the_answers_of_a_server_that_drains_are_the_last_of_their_connections(wire: Wire) -> None:
    wire.server.lifespan.state[DRAINING] = True
    await wire.send(GET)
    assert b"\r\nconnection: close\r\n" in await answer(wire)
    assert await wire.rest() == b""
