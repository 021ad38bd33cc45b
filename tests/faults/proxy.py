"""A network between a client and a server, which can fail."""

import asyncio
import random
import socket
import struct
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
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


class Verdict(StrEnum):
    """On a piece that a client has sent."""

    PASS = "pass"  # noqa: S105 (it is not a word to pass)
    LOSE = "lose"
    """The connection is reset, and the piece does not arrive."""
    LOSE_ANSWER = "lose answer"
    """It arrives, and the connection is reset when it is answered."""


Watch = Callable[[bytes], Verdict]
"""Sees every piece that a client sends, before it goes on."""


def let_pass(_: bytes) -> Verdict:
    return Verdict.PASS


class Proxy:
    """Stands on a port of its own in front of the server at `target`, in the event loop of the test. `chance` decides
    which connections are lost."""

    def __init__(self, target: int, chance: random.Random | None = None) -> None:
        self.port = 0
        self.watch: Watch = let_pass
        self._target = target
        self._chance = chance or random.Random()  # noqa: S311 (nothing here is secret)
        self._server: asyncio.Server | None = None
        self._delay = 0.0
        self._slice = CHUNK
        self._losses = 0.0
        self._to_server = _open_gate()
        self._to_client = _open_gate()
        self._links: set[_Link] = set()
        self._tasks: set[asyncio.Task[None]] = set()

    async def become(self, network: Network, delay: float = 0.0, *, slice_: int = CHUNK, losses: float = 0.0) -> None:
        """`delay` is what every piece that passes is held back for, in seconds; it arrives in slices of so many bytes.
        `losses` is the part of the pieces from the client on which the connection is reset."""
        self._delay, self._slice, self._losses = delay, slice_, losses
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

    def reset_all(self) -> None:
        """Every connection there is; others may be made."""
        for link in self._links:
            link.reset()

    def _close(self) -> None:
        if self._server is not None:
            self._server.close()
            self._server = None
        self.reset_all()

    async def _accept(self, client_reader: asyncio.StreamReader, client: asyncio.StreamWriter) -> None:
        """Both directions, each until its sender has closed it."""
        link = _Link(client)
        self._links.add(link)
        try:
            server_reader, link.server = await asyncio.open_connection(HOST, self._target)
            there = self._start(self._carry_there(client_reader, link.server, link))
            back = self._start(self._carry_back(server_reader, link))
            await asyncio.wait((there, back), return_when=asyncio.FIRST_COMPLETED)
            if back.done():  # a server that has closed reads no more; a client that has may still have sent something
                there.cancel()
            await asyncio.gather(there, back, return_exceptions=True)
        except OSError:
            link.reset()  # the server is away
        finally:
            self._links.discard(link)
            link.close()

    def _start(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def _carry_there(self, reader: asyncio.StreamReader, server: asyncio.StreamWriter, link: "_Link") -> None:
        try:
            while data := await reader.read(CHUNK):
                await self._hold(self._to_server)
                verdict = self._verdict(data)
                if verdict is Verdict.LOSE:
                    return link.reset()
                link.loses_answer = verdict is Verdict.LOSE_ANSWER
                await self._write(server, data)
        except OSError:
            return None
        finally:
            server.close()

    async def _carry_back(self, reader: asyncio.StreamReader, link: "_Link") -> None:
        try:
            while data := await reader.read(CHUNK):
                await self._hold(self._to_client)
                if link.loses_answer:
                    return link.reset()
                await self._write(link.client, data)
        except OSError:
            return None
        finally:
            link.client.close()

    def _verdict(self, data: bytes) -> Verdict:
        lost = self._losses and self._chance.random() < self._losses
        return Verdict.LOSE if lost else self.watch(data)

    async def _hold(self, gate: asyncio.Event) -> None:
        if self._delay:
            await asyncio.sleep(self._delay)
        await gate.wait()

    async def _write(self, writer: asyncio.StreamWriter, data: bytes) -> None:
        size = self._slice  # which may change meanwhile, and no byte may arrive twice or not at all
        for start in range(0, len(data), size):
            writer.write(data[start : start + size])
            await writer.drain()
            if start + size < len(data):
                await asyncio.sleep(0)  # or the system would join them again


@dataclass(eq=False)
class _Link:
    """A client's connection, and that to the server for it."""

    client: asyncio.StreamWriter
    server: asyncio.StreamWriter | None = None
    loses_answer: bool = False

    def reset(self) -> None:
        for writer in self._writers():
            _reset(writer)

    def close(self) -> None:
        for writer in self._writers():
            writer.close()

    def _writers(self) -> list[asyncio.StreamWriter]:
        return [self.client] if self.server is None else [self.client, self.server]


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
