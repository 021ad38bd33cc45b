"""A client that costs little: it shares the processor with what it loads."""

import asyncio
from dataclasses import dataclass
from typing import NamedTuple

from tests.servers import HOST

HEAD_END = b"\r\n\r\n"
LENGTH = b"\r\ncontent-length: "
CACHE_STATUS = b"\r\ncache-status: "
CLOSE = b"\r\nconnection: close"
IDLE_SECONDS = 3.0
"""The server closes a connection that has been idle for 5, and that may cross with a request."""


class Answer(NamedTuple):
    """`cache` is the value of its Cache-Status."""

    status: int
    cache: str
    body: bytes


@dataclass(frozen=True, slots=True)
class Caller:
    """Whose requests they are."""

    key: str

    def request(self, path: str, method: str = "GET", body: bytes = b"", /, **headers: str) -> bytes:
        """`headers` by their names, with `_` in place of `-`."""
        lines = [f"{method} {path} HTTP/1.1", f"host: {HOST}", f"authorization: Bearer {self.key}"]
        lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
        if body:
            lines += ["content-type: application/json", f"content-length: {len(body)}"]
        return "\r\n".join(lines).encode() + HEAD_END + body


class Connection(asyncio.Protocol):
    """One request at a time. It connects when it has to, again and again."""

    def __init__(self, port: int, name: str = "") -> None:
        self.name = name
        self._port = port
        self._transport: asyncio.Transport | None = None
        self._lost = asyncio.Event()
        self._used = 0.0
        self._buffer = bytearray()
        self._answer: asyncio.Future[Answer] | None = None

    async def ask(self, request: bytes, seconds: float) -> Answer:
        """Raises `TimeoutError`, and `OSError` where the connection fails."""
        loop = asyncio.get_running_loop()
        if self._transport is not None and loop.time() - self._used > IDLE_SECONDS:
            await self.close()
        if self._transport is None or self._transport.is_closing():
            self._transport = None  # where nobody listens there is nothing to close
            self._lost.clear()
            self._transport, _ = await loop.create_connection(lambda: self, HOST, self._port)
        self._buffer.clear()
        answer: asyncio.Future[Answer] = loop.create_future()
        self._answer = answer
        self._transport.write(request)
        timer = loop.call_later(seconds, self._give_up, answer)
        try:
            return await answer
        finally:
            timer.cancel()
            self._used = loop.time()

    async def close(self) -> None:
        if self._transport is not None:
            self._transport.close()
            await self._lost.wait()

    def connection_lost(self, error: Exception | None) -> None:
        self._lost.set()
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(ConnectionResetError("the server has closed the connection"))

    def data_received(self, data: bytes) -> None:
        buffer = self._buffer
        buffer += data
        end = buffer.find(HEAD_END)
        if end < 0 or self._answer is None or self._answer.done():
            return
        start = end + len(HEAD_END)
        head = bytes(buffer[:start])
        length = int(_field(head, LENGTH) or 0)
        if len(buffer) < start + length:
            return
        if CLOSE in head and self._transport is not None:
            self._transport.close()
        self._answer.set_result(Answer(int(head[9:12]), _field(head, CACHE_STATUS), bytes(buffer[start:])))

    def _give_up(self, answer: "asyncio.Future[Answer]") -> None:
        if not answer.done():
            answer.set_exception(TimeoutError("no answer in time"))
            if self._transport is not None:
                self._transport.abort()


def _field(head: bytes, name: bytes) -> str:
    start = head.find(name)
    if start < 0:
        return ""
    start += len(name)
    return head[start : head.index(b"\r\n", start)].decode()
