"""A network between a client and a server, which can fail."""

import asyncio
import socket
import struct
from collections.abc import Coroutine
from enum import StrEnum
from types import TracebackType
from typing import Any, Self

from tests.servers import HOST

CHUNK = 1 << 16
RESET = struct.pack("ii", 1, 0)
"""SO_LINGER: what is closed is reset."""


class Network(StrEnum):
    PASS = "pass"  # noqa: S105 (it is not a word to pass)
    REFUSE = "refuse"
    """Nobody listens, and the connections that there were are reset."""
    BLACKHOLE = "blackhole"
    """Connections are accepted, and nothing arrives on either side before the network passes again: then all of it
    does, as TCP would send it again, though its sender may have given up long ago."""
    MUTE = "mute"
    """What the client sends arrives, and the answers do not."""


class Proxy:
    """Stands on a port of its own in front of the server at `target`, in the event loop of the test."""

    def __init__(self, target: int) -> None:
        self.port = 0
        self._target = target
        self._server: asyncio.Server | None = None
        self._delay = 0.0
        self._to_server = _open_gate()
        self._to_client = _open_gate()
        self._writers: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()

    async def become(self, network: Network, delay: float = 0.0) -> None:
        """`delay` is what every piece that passes is held back for, in seconds."""
        self._delay = delay
        _set(self._to_server, network is not Network.BLACKHOLE)
        _set(self._to_client, network not in (Network.BLACKHOLE, Network.MUTE))
        if network is Network.REFUSE:
            self._close()
        elif self._server is None:
            self._server = await asyncio.start_server(self._accept, HOST, self.port, backlog=1000)
            self.port = self._server.sockets[0].getsockname()[1]

    async def __aenter__(self) -> Self:
        await self.become(Network.PASS)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _close(self) -> None:
        if self._server is not None:
            self._server.close()
            self._server = None
        for writer in self._writers:
            _reset(writer)

    async def _accept(self, client_reader: asyncio.StreamReader, client: asyncio.StreamWriter) -> None:
        """Both directions, each until its sender has closed it."""
        self._writers.add(client)
        server: asyncio.StreamWriter | None = None
        try:
            server_reader, server = await asyncio.open_connection(HOST, self._target)
            self._writers.add(server)
            there = self._start(self._carry(client_reader, server, self._to_server))
            back = self._start(self._carry(server_reader, client, self._to_client))
            await asyncio.wait((there, back), return_when=asyncio.FIRST_COMPLETED)
            if back.done():  # a server that has closed reads no more; a client that has may still have sent something
                there.cancel()
            await asyncio.gather(there, back, return_exceptions=True)
        except OSError:
            _reset(client)  # the server is away
        finally:
            for writer in (client, server):
                if writer is not None:
                    self._writers.discard(writer)
                    writer.close()

    def _start(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, gate: asyncio.Event) -> None:
        try:
            while data := await reader.read(CHUNK):
                await self._hold(gate)
                writer.write(data)
                await writer.drain()
        except OSError:
            return
        finally:
            writer.close()

    async def _hold(self, gate: asyncio.Event) -> None:
        if self._delay:
            await asyncio.sleep(self._delay)
        await gate.wait()


def _open_gate() -> asyncio.Event:
    gate = asyncio.Event()
    gate.set()
    return gate


def _set(gate: asyncio.Event, opened: bool) -> None:
    if opened:
        gate.set()
    else:
        gate.clear()


def _reset(writer: asyncio.StreamWriter) -> None:
    connection = writer.get_extra_info("socket")
    if connection is not None and connection.fileno() >= 0:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
    writer.transport.abort()
