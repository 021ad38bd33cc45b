import asyncio
import gzip
import os
import tracemalloc
import zlib
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import suppress
from typing import Annotated

import pytest
import zstandard
from fastapi import FastAPI, File, Request
from httpx import Response
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel
from starlette.types import Message, Receive, Scope, Send

from tests.unit.http.asgi import application, client, http_scope
from tests.unit.http.codings import call, sending, start
from warehouse.errors import MalformedRequest, TooLarge
from warehouse.http.deadline import BodyLimitMiddleware
from warehouse.http.decoding import CHUNK, GZIP_FEED, RequestDecodingMiddleware

MIB = 1024 * 1024
LIMIT = MIB
Codec = Callable[[bytes], bytes]
CODINGS: dict[str, Codec] = {"gzip": gzip.compress, "zstd": zstandard.compress}
DOCUMENT = b'{"name":"Crushed ice"}'
SKIPPABLE = (0x184D2A53).to_bytes(4, "little") + (5).to_bytes(4, "little") + b"about"


class Reading:
    """An application that reads its body to the end, and does nothing else."""

    def __init__(self) -> None:
        self.scope: Scope = {}
        self.pieces: list[bytes] = []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.scope = scope
        more = True
        while more:
            message = await receive()
            assert message["type"] == "http.request"
            self.pieces.append(message["body"])
            more = message["more_body"]

    @property
    def body(self) -> bytes:
        return b"".join(self.pieces)


def requests(pieces: Iterable[bytes]) -> list[Message]:
    messages: list[Message] = [{"type": "http.request", "body": piece, "more_body": True} for piece in pieces]
    return [*messages, {"type": "http.request", "body": b"", "more_body": False}]


async def read(coding: str, *pieces: bytes, limit: int = LIMIT) -> Reading:
    app = Reading()
    scope = http_scope("/", "POST", {"Content-Encoding": coding})
    await call(RequestDecodingMiddleware(app, limit), scope, requests(pieces))
    return app


def cut(data: bytes, size: int) -> list[bytes]:
    return [data[start : start + size] for start in range(0, len(data), size)]


def frame(content: bytes, *, declared: int, descriptor: int = 0xC0, window: bytes = b"\x18") -> bytes:
    """A zstd frame of one raw block, which may say of its content's size what it likes (RFC 8878, 3.1.1)."""
    block = (len(content) << 3 | 1).to_bytes(3, "little") + content
    return zstandard.FRAME_HEADER + bytes([descriptor]) + window + declared.to_bytes(8, "little") + block


def with_window(content: bytes, log: int) -> bytes:
    parameters = zstandard.ZstdCompressionParameters(window_log=log)
    stream = zstandard.ZstdCompressor(compression_params=parameters).compressobj()
    return stream.compress(content) + stream.flush()


class TestReading:
    @pytest.mark.parametrize("coding", ["gzip", "x-gzip", "zstd", "ZSTD", " gzip "])
    async def test_a_body_is_read_as_if_it_had_come_without_a_coding(self, coding: str) -> None:
        compress = CODINGS[coding.strip().lower().removeprefix("x-")]
        assert (await read(coding, compress(DOCUMENT))).body == DOCUMENT

    @given(
        content=st.binary(max_size=2000).map(lambda content: content * 5),
        coding=st.sampled_from(sorted(CODINGS)),
        size=st.integers(1, 400),
    )
    def test_however_it_is_cut(self, content: bytes, coding: str, size: int) -> None:
        assert asyncio.run(read(coding, *cut(CODINGS[coding](content), size))).body == content

    @pytest.mark.parametrize("coding", CODINGS)
    async def test_large_bodies_come_in_even_pieces(self, coding: str) -> None:
        content = os.urandom(LIMIT // 2)
        app = await read(coding, CODINGS[coding](content))
        assert app.body == content
        assert min(map(len, app.pieces[:-2])) >= CHUNK
        assert len(app.pieces) <= LIMIT // 2 // CHUNK + 2

    @pytest.mark.parametrize("coding", CODINGS)
    async def test_members_and_frames_put_together_are_read_to_the_end(self, coding: str) -> None:
        parts = [os.urandom(GZIP_FEED), b"", b"the last"]
        packed = b"".join(map(CODINGS[coding], parts))
        assert (await read(coding, packed)).body == b"".join(parts)
        assert (await read(coding, *cut(packed, 7))).body == b"".join(parts)

    async def test_a_zstd_frame_to_be_skipped_is_skipped(self) -> None:
        assert (await read("zstd", SKIPPABLE + zstandard.compress(DOCUMENT) + SKIPPABLE)).body == DOCUMENT

    @pytest.mark.parametrize("coding", CODINGS)
    async def test_no_body_is_no_body(self, coding: str) -> None:
        assert (await read(coding)).body == b""
        assert (await read(coding, b"", b"")).body == b""

    async def test_a_frame_may_leave_its_size_open(self) -> None:
        assert (await read("zstd", with_window(DOCUMENT, 23))).body == DOCUMENT

    async def test_a_message_may_leave_out_what_has_a_default(self) -> None:
        app = Reading()
        scope = http_scope("/", "POST", {"Content-Encoding": "gzip"})
        await call(RequestDecodingMiddleware(app, LIMIT), scope, [{"type": "http.request"}])
        assert app.body == b""

    async def test_the_headers_are_those_of_the_plain_body(self) -> None:
        app = Reading()
        headers = {"Content-Encoding": "gzip", "Content-Length": "42", "Content-Type": "application/json"}
        scope = http_scope("/", "POST", headers)
        before = list(scope["headers"])
        await call(RequestDecodingMiddleware(app, LIMIT), scope, requests([gzip.compress(DOCUMENT)]))
        assert app.scope["headers"] == [(b"content-type", b"application/json")]
        assert scope["headers"] == before


class TestPassing:
    @pytest.mark.parametrize("headers", [{}, {"Content-Encoding": ""}, {"Content-Encoding": "Identity"}])
    async def test_a_body_without_a_coding_is_not_touched(self, headers: dict[str, str]) -> None:
        scope = http_scope("/", "POST", headers)
        seen = []

        async def app(inner: Scope, receive: Receive, send: Send) -> None:
            seen.append((inner, receive))

        async def receive() -> Message:
            raise AssertionError

        async def send(message: Message) -> None: ...

        await RequestDecodingMiddleware(app, 10)(scope, receive, send)
        assert seen == [(scope, receive)]

    async def test_a_client_that_goes_is_told_to_the_application_and_may_go_in_the_midst(self) -> None:
        seen = []

        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            seen.extend([(await receive()).get("body"), (await receive())["type"], (await receive())["type"]])

        begun: Message = {"type": "http.request", "body": gzip.compress(DOCUMENT), "more_body": True}
        scope = http_scope("/", "POST", {"Content-Encoding": "gzip"})
        await call(RequestDecodingMiddleware(app, LIMIT), scope, [begun])
        assert seen == [DOCUMENT, "http.disconnect", "http.disconnect"]

    async def test_a_look_for_the_client_that_is_broken_off_loses_nothing(self) -> None:
        body, come = gzip.compress(DOCUMENT), asyncio.Event()

        async def receive() -> Message:
            await come.wait()
            return {"type": "http.request", "body": body, "more_body": False}

        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            look = asyncio.ensure_future(receive())
            await asyncio.sleep(0)
            look.cancel()
            come.set()
            assert (await receive())["body"] == DOCUMENT

        async def send(message: Message) -> None: ...

        scope = http_scope("/", "POST", {"Content-Encoding": "gzip"})
        await RequestDecodingMiddleware(app, LIMIT)(scope, receive, send)

    async def test_what_is_not_http_is_passed_on(self) -> None:
        message = {"type": "websocket.close"}
        assert (await call(RequestDecodingMiddleware(sending(message), 1), {"type": "websocket"})).messages == [message]


@pytest.mark.parametrize(
    "coding", ["br", "deflate", "compress", "gzip, gzip", "zstd, gzip", "gzip;q=1", "*", "aws-chunked", "x" * 10_000]
)
async def test_any_other_coding_is_a_415_that_names_ours(coding: str) -> None:
    app = Reading()
    sent = await call(RequestDecodingMiddleware(app, LIMIT), http_scope("/", "POST", {"Content-Encoding": coding}))
    assert (sent.status, sent.headers["accept-encoding"]) == (415, "gzip, zstd")
    assert app.scope == {}


async def test_two_headers_are_two_codings() -> None:
    scope = http_scope("/", "POST", {"Content-Encoding": "gzip"})
    scope["headers"].append((b"content-encoding", b"gzip"))
    assert (await call(RequestDecodingMiddleware(sending(start()), LIMIT), scope)).status == 415


class TestDamage:
    @pytest.mark.parametrize("coding", CODINGS)
    async def test_a_body_that_breaks_off_is_refused_wherever_it_does(self, coding: str) -> None:
        packed = CODINGS[coding](os.urandom(300))
        for length in range(1, len(packed)):
            with pytest.raises(MalformedRequest) as refusal:
                await read(coding, packed[:length])
            assert [error.pointer for error in refusal.value.errors] == ["Content-Encoding"]

    @pytest.mark.parametrize("coding", CODINGS)
    @pytest.mark.parametrize("rest", [b"x", b"\0\0\0\0", DOCUMENT, b"\x1f", zstandard.FRAME_HEADER])
    async def test_so_is_one_that_something_else_follows(self, coding: str, rest: bytes) -> None:
        packed = CODINGS[coding](DOCUMENT)
        for pieces in ([packed + rest], [packed, rest], cut(packed + rest, 5)):
            with pytest.raises(MalformedRequest):
                await read(coding, *pieces)

    @pytest.mark.parametrize("coding", CODINGS)
    async def test_so_is_one_in_another_coding_or_none(self, coding: str) -> None:
        for body in (
            DOCUMENT,
            zlib.compress(DOCUMENT),
            *(CODINGS[name](DOCUMENT) for name in CODINGS if name != coding),
        ):
            with pytest.raises(MalformedRequest):
                await read(coding, body)

    async def test_so_is_a_wrong_checksum(self) -> None:
        checked = zstandard.ZstdCompressor(write_checksum=True).compress(DOCUMENT)
        for coding, packed in (("gzip", gzip.compress(DOCUMENT)[:-8] + bytes(8)), ("zstd", checked[:-4] + bytes(4))):
            with pytest.raises(MalformedRequest):
                await read(coding, packed)

    @given(st.sampled_from(sorted(CODINGS)), st.integers(0, 40), st.binary(min_size=1, max_size=300))
    def test_no_damage_gets_any_other_answer(self, coding: str, position: int, data: bytes) -> None:
        packed = CODINGS[coding](DOCUMENT)
        with suppress(MalformedRequest, TooLarge):
            asyncio.run(read(coding, packed[:position] + data + packed[position:], limit=10_000))


class TestLies:
    @pytest.mark.parametrize("declared", [0, 1, len(DOCUMENT) - 1, len(DOCUMENT) + 1, LIMIT, 1 << 40, (1 << 64) - 3])
    async def test_a_frame_that_is_not_as_large_as_it_says_is_refused(self, declared: int) -> None:
        with pytest.raises(MalformedRequest):
            await read("zstd", frame(DOCUMENT, declared=declared))
        assert (await read("zstd", frame(DOCUMENT, declared=len(DOCUMENT)))).body == DOCUMENT

    @pytest.mark.parametrize("declared", [9 * MIB, 1 << 30, 1 << 40])
    async def test_nothing_is_set_aside_for_a_size_that_is_only_said(self, declared: int) -> None:
        with pytest.raises(MalformedRequest):
            await read("zstd", frame(DOCUMENT, declared=declared, descriptor=0xE0, window=b""))

    @pytest.mark.parametrize("log", [24, 27])
    async def test_a_window_above_eight_mebibytes_is_refused(self, log: int) -> None:
        with pytest.raises(MalformedRequest):
            await read("zstd", with_window(DOCUMENT, log))

    async def test_a_gzip_trailer_that_lies_of_the_size_is_refused(self) -> None:
        with pytest.raises(MalformedRequest):
            await read("gzip", gzip.compress(DOCUMENT)[:-4] + (1 << 30).to_bytes(4, "little"))


def zeros(coding: str, size: int) -> bytes:
    """So many zeros, in a stream whose size is not told."""
    stream = zlib.compressobj(9, wbits=31) if coding == "gzip" else zstandard.ZstdCompressor(level=19).compressobj()
    return b"".join(stream.compress(bytes(MIB)) for _ in range(size // MIB)) + stream.flush()


BOMBS = {
    "gzip": zeros("gzip", 256 * MIB),
    "zstd": zeros("zstd", 256 * MIB),
    "zstd that tells its size": zstandard.compress(bytes(256 * MIB)),
    "zstd of repeated bytes": b"".join(
        [zstandard.FRAME_HEADER, b"\x00\x58", b"\x02\x00\x10x" * 10_000]  # each a block of 128 KiB
    ),
    "gzip in many members": gzip.compress(bytes(MIB)) * 256,
    "zstd in many frames": zstandard.compress(bytes(MIB)) * 256,
}


class TestBombs:
    @pytest.mark.parametrize("limit", [0, 1, 10_000, LIMIT - 1])
    @pytest.mark.parametrize("coding", CODINGS)
    async def test_the_limit_is_of_what_comes_out(self, coding: str, limit: int) -> None:
        content = bytes(limit)
        assert (await read(coding, CODINGS[coding](content), limit=limit)).body == content
        with pytest.raises(TooLarge):
            await read(coding, CODINGS[coding](content + b"x"), limit=limit)

    @pytest.mark.parametrize("name", BOMBS)
    async def test_a_bomb_takes_no_more_room_than_a_body_may(self, name: str) -> None:
        coding, bomb = name.split()[0], BOMBS[name]
        assert len(bomb) < LIMIT
        tracemalloc.start()
        try:
            with pytest.raises(TooLarge):
                await read(coding, bomb)
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        assert peak < LIMIT + 16 * MIB

    async def test_a_bomb_that_nobody_reads_does_not_go_off(self) -> None:
        scope = http_scope("/", "POST", {"Content-Encoding": "zstd"})
        sent = await call(RequestDecodingMiddleware(sending(start()), LIMIT), scope, requests([BOMBS["zstd"]]))
        assert sent.status == 200

    @pytest.mark.parametrize("coding", CODINGS)
    async def test_a_crowd_of_empty_members_is_soon_through(self, coding: str) -> None:
        async with asyncio.timeout(5):
            assert (await read(coding, CODINGS[coding](b"") * 20_000)).body == b""


class Body(BaseModel):
    name: str


def limited() -> FastAPI:
    app = application()

    @app.post("/products")
    async def create_product(body: Body) -> int:
        return len(body.name)

    @app.post("/products/batch")
    async def upsert_products(request: Request) -> int:
        return len(await request.body())

    @app.post("/reservations")
    async def create_reservation(file: Annotated[bytes, File()]) -> int:
        return len(file)

    app.add_middleware(RequestDecodingMiddleware, max_bytes=LIMIT)
    app.add_middleware(BodyLimitMiddleware, max_bytes=LIMIT)
    return app


async def post(path: str, content: bytes | AsyncIterator[bytes], coding: str, **headers: str) -> Response:
    given = {"Content-Type": "application/json", "Content-Encoding": coding, **headers}
    async with client(limited()) as http:
        return await http.post(path, content=content, headers=given)


class TestEndpoints:
    @pytest.mark.parametrize("coding", CODINGS)
    @pytest.mark.parametrize("path", ["/products", "/products/batch"])
    async def test_an_endpoint_reads_what_was_packed(self, coding: str, path: str) -> None:
        response = await post(path, CODINGS[coding](DOCUMENT), coding)
        assert (response.status_code, response.json()) == (200, 11 if path == "/products" else len(DOCUMENT))

    @pytest.mark.parametrize("path", ["/products", "/products/batch"])
    @pytest.mark.parametrize("name", BOMBS)
    async def test_a_bomb_is_a_413(self, name: str, path: str) -> None:
        response = await post(path, BOMBS[name], name.split()[0])
        assert (response.status_code, response.json()["code"]) == (413, "payload_too_large")
        assert "decompressed" in response.json()["detail"]

    @pytest.mark.parametrize("path", ["/products", "/products/batch"])
    async def test_damage_is_a_400_that_names_the_header(self, path: str) -> None:
        response = await post(path, gzip.compress(DOCUMENT)[:-1], "gzip")
        assert (response.status_code, response.json()["code"]) == (400, "malformed_request")
        assert [(error["pointer"], error["code"]) for error in response.json()["errors"]] == [
            ("Content-Encoding", "damaged")
        ]

    async def test_what_is_compressed_is_limited_as_well(self) -> None:
        packed = zstandard.compress(os.urandom(LIMIT)) + SKIPPABLE

        async def chunks() -> AsyncIterator[bytes]:
            for piece in cut(packed, 100_000):
                yield piece

        for content in (packed, chunks()):
            response = await post("/products/batch", content, "zstd")
            assert (response.status_code, response.json()["code"]) == (413, "payload_too_large")

    async def test_a_form_is_read_as_well(self) -> None:
        form = b'--x\r\nContent-Disposition: form-data; name="file"; filename="a.csv"\r\n\r\nsku\n\r\n--x--\r\n'
        media_type = "multipart/form-data; boundary=x"
        packed = zstandard.compress(form)
        assert (await post("/reservations", packed, "zstd", **{"Content-Type": media_type})).json() == 4
        broken = await post("/reservations", packed[:-1], "zstd", **{"Content-Type": media_type})
        assert broken.json()["errors"][0]["pointer"] == "Content-Encoding"

    async def test_an_unknown_coding_is_a_415(self) -> None:
        response = await post("/products", DOCUMENT, "br")
        assert (response.status_code, response.json()["code"]) == (415, "unsupported_media_type")
        assert response.headers["accept-encoding"] == "gzip, zstd"
