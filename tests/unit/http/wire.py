"""A server of the protocol for an application of the test's own, and a client's end of a connection to it."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

import uvicorn

from warehouse.http.protocol import SteadyHttpProtocol
from warehouse.http.wire_limits import DEFAULT_LIMITS, WireLimits

SECONDS = 5


@dataclass(frozen=True)
class Wire:
    server: uvicorn.Server
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    @property
    def protocol(self) -> SteadyHttpProtocol:
        """The server's end, where this is the only connection."""
        [found] = self.server.server_state.connections
        assert isinstance(found, SteadyHttpProtocol)
        return found

    async def send(self, data: bytes) -> None:
        """Returns once the server has it."""
        protocol = self.protocol
        expected = protocol.received + len(data)
        self.writer.write(data)
        await until(lambda: protocol.received >= expected)

    async def rest(self) -> bytes:
        """All that is sent until the server closes the connection."""
        return await asyncio.wait_for(self.reader.read(), SECONDS)


@asynccontextmanager
async def serving(application: Any, limits: WireLimits = DEFAULT_LIMITS) -> AsyncIterator[uvicorn.Server]:
    http: Any = partial(SteadyHttpProtocol, limits=limits)
    config = uvicorn.Config(application, port=0, http=http, lifespan="off", log_config=None, ws="none")
    server = uvicorn.Server(config)
    config.load()
    server.lifespan = config.lifespan_class(config)
    await server.startup()
    yield server
    await server.shutdown()


@asynccontextmanager
async def connected(server: uvicorn.Server) -> AsyncIterator[Wire]:
    reader, writer = await asyncio.open_connection(*server.servers[0].sockets[0].getsockname())
    await until(lambda: bool(server.server_state.connections))
    yield Wire(server, reader, writer)
    writer.transport.abort()
    await until(lambda: not server.server_state.connections)


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(SECONDS):
        while not condition():  # noqa: ASYNC110 (the server tells nobody)
            await asyncio.sleep(0)
