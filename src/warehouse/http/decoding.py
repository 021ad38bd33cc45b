"""Request bodies that come compressed."""

import zlib
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping
from typing import Protocol

import zstandard
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from warehouse.errors import FieldError, MalformedRequest, TooLarge, UnsupportedCoding
from warehouse.http.headers import fields_of
from warehouse.http.lasting import Lasting, lasting_of
from warehouse.http.problems import problem_for
from warehouse.http.routes import changed

CHUNK = 64 * 1024
LARGEST_WINDOW = 8 * 1024 * 1024
"""As RFC 9659 has it for zstd."""
GZIP_FEED = 16 * 1024
"""Compressed bytes at a time: at the end of each member what is left of them is copied."""
ZSTD_FEED = 128
"""Compressed bytes at a time: zstd turns 4 bytes into up to 128 KiB, so these become at most 4 MiB."""


class RequestDecodingMiddleware:
    """Hands on bodies in gzip or zstd as if they had come without, if that makes at most `max_bytes`, or `upload_bytes`
    of an upload; any other coding is a 415. What is compressed is limited outside of it."""

    def __init__(self, app: ASGIApp, max_bytes: int, upload_bytes: int | None = None) -> None:
        self._app = app
        self._max = max_bytes
        self._upload_max = max_bytes if upload_bytes is None else upload_bytes

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        if scope["type"] != "http":
            return self._app(scope, receive, send)
        coding = fields_of(scope).get(b"content-encoding", b"").decode("latin-1").strip(" \t").lower()
        # No coroutine of its own where there is nothing to do.
        if coding in ("", "identity"):
            return self._app(scope, receive, send)
        return self._decoded(coding, scope, receive, send)

    async def _decoded(self, coding: str, scope: Scope, receive: Receive, send: Send) -> None:
        if coding not in _DECODERS:
            unknown = UnsupportedCoding("Send the body in one coding, gzip or zstd, or without Content-Encoding.")
            return await problem_for(unknown, scope)(scope, receive, send)
        largest = self._upload_max if lasting_of(scope) is Lasting.UPLOAD else self._max
        body = _Body(_DECODERS[coding](), largest, receive)
        with changed(scope, headers=_of_plain_body(scope["headers"])) as inner:
            return await self._app(inner, body.receive, send)


class _Decoder(Protocol):
    def pieces(self, data: bytes) -> Iterator[bytes]:
        """What comes of further data, in pieces of bounded size. Raises its library's error for what is damaged."""
        ...

    @property
    def is_amid(self) -> bool:
        """Whether more data must come."""
        ...


class _Gzip:
    """Any number of members."""

    def __init__(self) -> None:
        self._member: zlib._Decompress | None = None

    @property
    def is_amid(self) -> bool:
        return self._member is not None

    def pieces(self, data: bytes) -> Iterator[bytes]:
        for start in range(0, len(data), GZIP_FEED):
            rest = data[start : start + GZIP_FEED]
            while rest:
                member = self._member = self._member or zlib.decompressobj(31)
                yield member.decompress(rest, CHUNK)
                rest = member.unused_data if member.eof else member.unconsumed_tail
                self._member = None if member.eof else member


class _Zstd:
    """Any number of frames."""

    def __init__(self) -> None:
        self._decompressor = zstandard.ZstdDecompressor(max_window_size=LARGEST_WINDOW)
        self._frame: zstandard.ZstdDecompressionObj | None = None

    @property
    def is_amid(self) -> bool:
        return self._frame is not None

    def pieces(self, data: bytes) -> Iterator[bytes]:
        for start in range(0, len(data), ZSTD_FEED):
            rest = data[start : start + ZSTD_FEED]
            while rest:
                frame = self._frame = self._frame or self._decompressor.decompressobj()
                yield frame.decompress(rest)
                rest = frame.unused_data if frame.eof else b""
                self._frame = None if frame.eof else frame


_DECODERS: Mapping[str, Callable[[], _Decoder]] = {"gzip": _Gzip, "x-gzip": _Gzip, "zstd": _Zstd}


class _Body:
    """Decoded only as far as it is asked for: whoever stops asking has stopped the bomb."""

    def __init__(self, decoder: _Decoder, largest: int, receive: Receive) -> None:
        self._decoder = decoder
        self._largest = largest
        self._decoded = 0
        self._receive = receive
        self._pending: Iterator[Message] = iter(())

    async def receive(self) -> Message:
        while True:
            for pending in self._pending:
                return pending
            message = await self._receive()
            if message["type"] != "http.request":
                return message
            self._pending = self._messages(message.get("body", b""), message.get("more_body", False))

    def _messages(self, data: bytes, more: bool) -> Iterator[Message]:
        for chunk in _gathered(self._bounded(data)):
            yield {"type": "http.request", "body": chunk, "more_body": True}
        if not more:
            if self._decoder.is_amid:
                raise _damaged("The compressed body breaks off.")
            yield {"type": "http.request", "body": b"", "more_body": False}

    def _bounded(self, data: bytes) -> Iterator[bytes]:
        try:
            for piece in self._decoder.pieces(data):
                self._decoded += len(piece)
                if self._decoded > self._largest:
                    raise TooLarge(f"The body is larger than {self._largest} bytes when it is decompressed.")
                yield piece
        except (zlib.error, zstandard.ZstdError) as error:
            raise _damaged("The body is damaged, or not in the coding that Content-Encoding names.") from error


def _gathered(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """The same bytes in pieces of `CHUNK` at least, but for the last."""
    gathered = bytearray()
    for piece in pieces:
        gathered += piece
        if len(gathered) >= CHUNK:
            yield bytes(gathered)
            gathered.clear()
    if gathered:
        yield bytes(gathered)


def _damaged(detail: str) -> MalformedRequest:
    return MalformedRequest(detail, errors=(FieldError("Content-Encoding", "damaged", detail),))


def _of_plain_body(headers: Iterable[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
    return [(name, value) for name, value in headers if name not in (b"content-encoding", b"content-length")]
