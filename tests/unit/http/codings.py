"""Decoding as a client does it, and applications that are nothing but what they are sent and send."""

import zlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import zstandard
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from warehouse.http.encodings import Encoding

WINDOW = 8 * 1024 * 1024


def reader(encoding: str) -> "zstandard.ZstdDecompressionObj | zlib._Decompress":
    if encoding == Encoding.ZSTD:
        return zstandard.ZstdDecompressor(max_window_size=WINDOW).decompressobj()
    return zlib.decompressobj(31)


def decompressed(body: bytes, encoding: str) -> bytes:
    """The whole of it; raises where it is not whole, or where anything follows."""
    if encoding == Encoding.IDENTITY:
        return body
    stream = reader(encoding)
    content = stream.decompress(body)
    assert stream.eof
    assert not stream.unused_data
    return content


def start(status: int = 200, headers: Mapping[str, str] | None = None) -> Message:
    raw = [(name.lower().encode(), value.encode()) for name, value in (headers or {}).items()]
    return {"type": "http.response.start", "status": status, "headers": raw}


def body(content: bytes = b"", more: bool = False) -> Message:
    return {"type": "http.response.body", "body": content, "more_body": more}


def sending(*messages: Message) -> ASGIApp:
    """An application that sends these."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        for message in messages:
            await send(message)

    return app


@dataclass(frozen=True, slots=True)
class Sent:
    """What an application sent."""

    messages: list[Message]

    @property
    def status(self) -> int:
        status: int = self.messages[0]["status"]
        return status

    @property
    def headers(self) -> Headers:
        return Headers(raw=self.messages[0]["headers"])

    @property
    def pieces(self) -> list[bytes]:
        return [message["body"] for message in self.messages[1:]]

    @property
    def body(self) -> bytes:
        return b"".join(self.pieces)

    @property
    def content(self) -> bytes:
        return decompressed(self.body, self.headers.get("content-encoding", "identity"))


async def call(app: ASGIApp, scope: Scope, received: Iterable[Message] = ()) -> Sent:
    """What the application sends where it receives these, and then that the client has gone."""
    coming = iter(received)
    sent: list[Message] = []

    async def receive() -> Message:
        return next(coming, {"type": "http.disconnect"})

    async def send(message: Message) -> None:
        sent.append(message)

    await app(scope, receive, send)
    return Sent(sent)
