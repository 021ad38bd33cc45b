"""Two servers of one process each; each has proxies of its own before MariaDB and before Valkey."""

import asyncio
import random
import secrets
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, closing, suppress
from dataclasses import dataclass
from typing import Any

import pymysql
from httpx import AsyncClient
from pymysql.cursors import Cursor
from sqlalchemy.engine import make_url

from tests.api.crowd import new_client
from tests.faults.cache.stage import SETTINGS, Stage, StagedServer
from tests.faults.cache.wire import Caller
from tests.faults.proxy import Proxy
from tests.faults.returning import ReturningMariaDb, ReturningValkey
from tests.servers import HOST
from tests.serving import check
from warehouse.auth.model import Role
from warehouse.storage.migrations import migrate

ACCOUNT = "service"
"""What the servers are for MariaDB: it has its database's privileges and none of an operator's."""
PASSWORD = secrets.token_hex(16)


@dataclass(frozen=True)
class DatabaseStage(Stage):
    """`ways` are the servers' proxies before MariaDB, `cache_ways` those before Valkey."""

    database: ReturningMariaDb
    ways: Sequence[Proxy]
    cache_ways: Sequence[Proxy]
    database_url: str
    """Past the proxies."""

    @asynccontextmanager
    async def clients(self, count: int) -> AsyncIterator[Sequence[AsyncClient]]:
        """Of the one server and the other in turn."""
        async with AsyncExitStack() as stack:
            servers = (self.servers[number % len(self.servers)] for number in range(count))
            yield [await stack.enter_async_context(new_client(server, self.caller.key)) for server in servers]

    def connections(self) -> int:
        """How many the servers have to MariaDB."""
        with operator(self.database) as connection, connection.cursor() as cursor:
            return len(connection_ids(cursor))


def operator(database: ReturningMariaDb) -> closing["pymysql.Connection[Any]"]:
    """A connection with every privilege, which also gets in where all others have been taken."""
    address = database.address
    return closing(
        pymysql.connect(
            host=HOST,
            port=database.port,
            user=address.username,
            password=address.password or "",
            autocommit=True,
            connect_timeout=5,
            read_timeout=30,
        )
    )


def connection_ids(cursor: Cursor) -> list[int]:
    """Those of the servers' connections, as MariaDB counts them."""
    cursor.execute("SELECT id FROM information_schema.processlist WHERE user = %s", [ACCOUNT])
    return [number for (number,) in cursor.fetchall()]


def kill_connection(cursor: Cursor, number: int) -> None:
    with suppress(pymysql.OperationalError):  # it is gone already
        cursor.execute("KILL CONNECTION %s", [number])


@asynccontextmanager
async def staged_database(
    database: ReturningMariaDb,
    valkey: ReturningValkey,
    chance: random.Random,
    settings: Mapping[str, str] | None = None,
) -> AsyncIterator[DatabaseStage]:
    """On a new database, checked for drift in the end. `settings` are more of the servers'."""
    url = _new_database(database)
    await asyncio.to_thread(migrate, url)
    async with AsyncExitStack() as stack:
        ways = [await stack.enter_async_context(Proxy(database.port, chance)) for _ in range(2)]
        cache_ways = [await stack.enter_async_context(Proxy(valkey.port, chance)) for _ in range(2)]
        servers = [
            StagedServer(_through(url, way), workers=1, settings={**SETTINGS, **_redis(cache_way), **(settings or {})})
            for way, cache_way in zip(ways, cache_ways, strict=True)
        ]
        for server in servers:
            stack.push_async_callback(asyncio.to_thread, _stop, server)
        await asyncio.gather(*(asyncio.to_thread(server.start) for server in servers))
        caller = Caller(await asyncio.to_thread(servers[0].key, Role.ADMIN))
        yield DatabaseStage(servers, valkey, cache_ways[0], caller, database, ways, cache_ways, url)
    await asyncio.to_thread(check, url)


def _new_database(database: ReturningMariaDb) -> str:
    name = f"warehouse_{secrets.token_hex(6)}"
    database.create_database(name)
    database.execute(f"CREATE USER IF NOT EXISTS '{ACCOUNT}'@'%' IDENTIFIED BY '{PASSWORD}'")
    database.execute(f"GRANT ALL ON `{name}`.* TO '{ACCOUNT}'@'%'")
    url = make_url(database.url(name)).set(username=ACCOUNT, password=PASSWORD)
    return url.render_as_string(hide_password=False)


def _through(url: str, way: Proxy) -> str:
    return make_url(url).set(port=way.port).render_as_string(hide_password=False)


def _redis(way: Proxy) -> Mapping[str, str]:
    return {"REDIS_URL": f"redis://{HOST}:{way.port}/0"}


def _stop(server: StagedServer) -> None:
    if server.pid is not None:
        server.stop()
