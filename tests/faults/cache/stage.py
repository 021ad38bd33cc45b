"""Two servers of one process each, on one MariaDB and one Valkey, which the first of them reaches through a proxy."""

import asyncio
import re
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Any

import orjson
import redis.asyncio as redis

from tests.faults.cache.wire import Answer, Caller, Connection
from tests.faults.proxy import Proxy
from tests.faults.returning import Returning, ReturningValkey
from tests.servers import HOST
from tests.serving import WarehouseServer, check
from warehouse.auth.model import Role
from warehouse.storage.migrations import migrate

SETTINGS = {"RATE_LIMIT_ENABLED": "false"}
ANSWER_SECONDS = 30.0
RECORD = re.compile(r"^(?=\d{4}-\d\d-\d\dT)", re.MULTILINE)
TRACEBACK = " ERROR "
SHOWN_CHARACTERS = 5_000


class StagedServer(Returning, WarehouseServer):
    def initialise(self) -> None:
        """The database has its tables."""


@dataclass(frozen=True)
class Stage:
    """`proxy` stands between the first of the servers and Valkey."""

    servers: Sequence[StagedServer]
    valkey: ReturningValkey
    proxy: Proxy
    caller: Caller

    @property
    def ports(self) -> list[int]:
        return [server.port for server in self.servers]

    def tracebacks(self) -> str:
        """The ends of what the servers have logged of errors that they did not expect."""
        records = [each for server in self.servers for each in RECORD.split((server.folder / "server.log").read_text())]
        return "\n".join(each[-SHOWN_CHARACTERS:] for each in records if TRACEBACK in each)

    @asynccontextmanager
    async def valkey_client(self) -> AsyncIterator["redis.Redis"]:
        client: redis.Redis = redis.Redis(host=HOST, port=self.valkey.port)
        try:
            yield client
        finally:
            await client.aclose()

    async def ask(self, server: int, request: bytes) -> Answer:
        """On a connection of its own."""
        connection = Connection(self.ports[server])
        try:
            return await connection.ask(request, ANSWER_SECONDS)
        finally:
            await connection.close()

    async def make(self, path: str, body: Any) -> Any:
        answer = await self.ask(1, self.caller.request(path, "POST", orjson.dumps(body)))
        assert answer.status in (200, 201), answer.body
        return orjson.loads(answer.body)

    async def metric(self, server: int, name: str) -> float:
        """The sum of its series."""
        text = (await self.ask(server, self.caller.request("/metrics"))).body.decode()
        return sum(float(value) for value in re.findall(rf"^{name}(?:{{.*}})? (\S+)$", text, re.MULTILINE))

    async def metrics(self, name: str) -> float:
        """The sum over the servers."""
        return sum([await self.metric(server, name) for server in range(len(self.ports))])


@asynccontextmanager
async def staged(
    database_url: str, kind: type[StagedServer] = StagedServer, options: Sequence[str] = ()
) -> AsyncIterator[Stage]:
    """On an empty database, checked for drift in the end. `kind` is that of the servers, `options` are Valkey's."""
    await asyncio.to_thread(migrate, database_url)
    async with AsyncExitStack() as stack:
        valkey = stack.enter_context(ReturningValkey(*options))
        proxy = await stack.enter_async_context(Proxy(valkey.port))
        urls = [f"redis://{HOST}:{port}/0" for port in (proxy.port, valkey.port)]
        servers = [kind(database_url, workers=1, settings={**SETTINGS, "REDIS_URL": url}) for url in urls]
        for server in servers:
            stack.push_async_callback(asyncio.to_thread, _stop, server)
        # Beside the event loop, which serves the proxy. Linux ends a server together with the thread that started it:
        # that lives as long as the loop.
        await asyncio.gather(*(asyncio.to_thread(server.start) for server in servers))
        yield Stage(servers, valkey, proxy, Caller(servers[0].key(Role.ADMIN)))
    await asyncio.to_thread(check, database_url)


def _stop(server: WarehouseServer) -> None:
    if server.pid is not None:
        server.stop()
