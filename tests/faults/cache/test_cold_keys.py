"""A crowd that finds a key cold costs the database one read of each server process."""

import asyncio
from collections.abc import Iterator, Sequence
from contextlib import AsyncExitStack, contextmanager
from uuid import uuid4

import orjson
import uvloop

from tests.faults.cache.mariadb import administrator
from tests.faults.cache.schedule import usable_everywhere
from tests.faults.cache.stage import staged
from tests.faults.cache.wire import Answer, Connection
from tests.servers import DatabaseServer, Servers

CROWD = 1000
KEYS = 5
ANSWER_SECONDS = 60.0


def test_a_thousand_readers_of_a_cold_key_cost_two_reads_of_the_database(servers: Servers) -> None:
    url = servers.fresh_database("mariadb")
    assert max(uvloop.run(_reads(url, servers.database_server("mariadb")))) <= 2


async def _reads(database_url: str, database: DatabaseServer) -> Sequence[int]:
    """How often the database was asked for each product that everybody asked for at once."""
    async with staged(database_url) as stage, AsyncExitStack() as stack:
        await usable_everywhere(stage)
        crowd = [Connection(port) for port in stage.ports for _ in range(CROWD // len(stage.ports))]
        for connection in crowd:
            stack.push_async_callback(connection.close)
        skus = [f"COLD-{uuid4().hex}".upper() for _ in range(KEYS)]
        reads = []
        for sku in skus:
            await stage.make("/v1/products", {"sku": sku, "name": "Rye bread"})
            await _all(crowd, stage.caller.request("/livez"))  # they are connected, and the key is known
            with _logged(database) as log:
                answers = await _all(crowd, stage.caller.request(f"/v1/products/by-sku/{sku}"))
            assert {(each.status, orjson.loads(each.body)["sku"]) for each in answers} == {(200, sku)}
            reads.append(sum(sku in statement.upper() for statement in log))
        return reads


async def _all(crowd: Sequence[Connection], request: bytes) -> Sequence[Answer]:
    return await asyncio.gather(*(connection.ask(request, ANSWER_SECONDS) for connection in crowd))


@contextmanager
def _logged(database: DatabaseServer) -> Iterator[Sequence[str]]:
    """The statements that the server is sent, known at the end."""
    log: list[str] = []
    with administrator(database) as cursor:
        cursor.execute("SET GLOBAL log_output = 'TABLE', GLOBAL general_log = ON")
        try:
            yield log
        finally:
            cursor.execute("SET GLOBAL general_log = OFF")
            cursor.execute("SELECT argument FROM mysql.general_log WHERE command_type IN ('Query', 'Execute')")
            log += [statement for (statement,) in cursor.fetchall()]
            cursor.execute("TRUNCATE mysql.general_log")
