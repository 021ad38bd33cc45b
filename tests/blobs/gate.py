"""A server in front of the real one, which refuses what it is told to."""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from types import TracebackType
from typing import Self

from tests.servers import HOST

CHUNK = 1 << 16
METHODS = (b"GET ", b"PUT ", b"POST ", b"HEAD ", b"DELETE ")
REASONS = {403: "AccessDenied", 500: "InternalError", 503: "SlowDown"}

Refuses = Callable[[str], int | None]
"""Of a request's first line, as "PUT /bucket/key?partNumber=1 HTTP/1.1", the status to refuse it with."""


def refuse_nothing(_: str) -> int | None:
    return None


class Gate:
    """Stands on a port of its own, in the event loop of the test."""

    def __init__(self, target: int) -> None:
        self.refuses: Refuses = refuse_nothing
        self.seen: list[str] = []
        self._target = target
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def url(self) -> str:
        return f"http://{HOST}:{self._server.sockets[0].getsockname()[1]}"

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._accept, HOST, 0)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _accept(self, reader: asyncio.StreamReader, client: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task
        self._tasks.add(task)
        back_reader, server = await asyncio.open_connection(HOST, self._target)
        back = asyncio.create_task(self._carry_back(back_reader, client))
        try:
            with suppress(ConnectionError):
                await self._carry_there(reader, server, client)
        finally:
            back.cancel()
            server.close()
            client.close()
            self._tasks.discard(task)

    async def _carry_there(
        self, reader: asyncio.StreamReader, server: asyncio.StreamWriter, client: asyncio.StreamWriter
    ) -> None:
        while data := await reader.read(CHUNK):
            if data.startswith(METHODS):
                line = data.partition(b"\r\n")[0].decode()
                self.seen.append(line)
                if status := self.refuses(line):
                    client.write(_refusal(status, line))
                    await client.drain()
                    return
            server.write(data)
            await server.drain()

    async def _carry_back(self, reader: asyncio.StreamReader, client: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError):
            while data := await reader.read(CHUNK):
                client.write(data)
                await client.drain()


def _refusal(status: int, line: str) -> bytes:
    code = REASONS[status]
    body = "" if line.startswith("HEAD ") else f"<Error><Code>{code}</Code><Message>{code}</Message></Error>"
    head = [f"HTTP/1.1 {status} {code}", "Content-Type: application/xml", f"Content-Length: {len(body)}"]
    return "\r\n".join([*head, "Connection: close", "", body]).encode()
