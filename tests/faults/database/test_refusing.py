"""A database that answers and takes nothing: writes are told so, reads go on, and no command is done by half."""

import asyncio
import secrets
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, ExitStack, asynccontextmanager, closing

import pymysql
import pytest

from tests.faults.database.disk import BoundedMariaDb
from tests.faults.database.experiment import IN_TIME, WAIT_SECONDS, Experiment, experiment, until
from tests.faults.database.stage import connection_ids, kill_connection, operator
from tests.faults.returning import ReturningMariaDb, ReturningValkey
from tests.servers import HOST

ANSWERS = 100
TOO_MANY_CONNECTIONS = 1040
FEWEST_CONNECTIONS = 10
"""MariaDB lets nobody say less."""
USUAL_CONNECTIONS = 300
OTHER = "other"

Fault = Callable[[Experiment], AbstractAsyncContextManager[None]]


@asynccontextmanager
async def read_only(running: Experiment) -> AsyncIterator[None]:
    # Beside the event loop, which serves the proxies: it waits for the transactions that are under way.
    await asyncio.to_thread(running.stage.database.execute, "SET GLOBAL read_only = 1")
    try:
        yield
    finally:
        running.stage.database.execute("SET GLOBAL read_only = 0")


@asynccontextmanager
async def full(running: Experiment) -> AsyncIterator[None]:
    """From the first command on that finds no room: what tables have already may do for a few."""
    database, now = running.stage.database, asyncio.get_running_loop().time
    assert isinstance(database, BoundedMariaDb)
    begun = now()
    await asyncio.to_thread(database.fill)
    try:
        await until(lambda: any(each.status == 503 for each in running.figures.writes(begun, now())))
        yield
    finally:
        database.free()


@asynccontextmanager
async def crowded_out(running: Experiment) -> AsyncIterator[None]:
    """Others have all connections that the database allows."""
    database = running.stage.database
    password = secrets.token_hex(16)
    database.execute(f"CREATE OR REPLACE USER '{OTHER}'@'%' IDENTIFIED BY '{password}'")
    with operator(database) as connection, connection.cursor() as cursor, ExitStack() as others:
        cursor.execute("SET GLOBAL max_connections = %s", [FEWEST_CONNECTIONS])
        try:
            async with asyncio.timeout(WAIT_SECONDS):
                while _takes_one(database, password, others) or connection_ids(cursor):
                    for number in connection_ids(cursor):
                        kill_connection(cursor, number)
                    await asyncio.sleep(0)
            yield
        finally:
            cursor.execute("SET GLOBAL max_connections = %s", [USUAL_CONNECTIONS])


def _takes_one(database: ReturningMariaDb, password: str, others: ExitStack) -> bool:
    """Whether there was one left."""
    try:
        connection = pymysql.connect(host=HOST, port=database.port, user=OTHER, password=password)
    except pymysql.OperationalError as error:
        if error.args[0] != TOO_MANY_CONNECTIONS:
            raise
        return False
    others.enter_context(closing(connection))
    return True


@pytest.fixture(scope="module")
def bounded_mariadb() -> Iterator[BoundedMariaDb]:
    with BoundedMariaDb() as server:
        yield server


async def test_a_read_only_database_is_read_on(own_mariadb: ReturningMariaDb, own_valkey: ReturningValkey) -> None:
    await _refused("database read-only", read_only, own_mariadb, own_valkey)


async def test_a_full_disk_is_read_on(bounded_mariadb: BoundedMariaDb, own_valkey: ReturningValkey) -> None:
    await _refused("disk full", full, bounded_mariadb, own_valkey, some_done=True)


async def test_where_others_have_all_connections_what_is_cached_is_read_on(
    own_mariadb: ReturningMariaDb, own_valkey: ReturningValkey
) -> None:
    await _refused("max_connections", crowded_out, own_mariadb, own_valkey, read_on="/v1/products/")


async def _refused(
    name: str,
    fault: Fault,
    database: ReturningMariaDb,
    valkey: ReturningValkey,
    *,
    read_on: str = "/",
    some_done: bool = False,
) -> None:
    """Of what is asked and answered while the fault lasts no write is done, or not every one, and every read of these
    paths is."""
    now = asyncio.get_running_loop().time
    async with experiment(name, database, valkey, settings=IN_TIME) as running:
        figures = running.figures
        async with running.load.running(running.clients):
            await running.answers(ANSWERS)
            async with fault(running):
                figures.faults += 1
                begun = now()
                await running.answers(ANSWERS)
                ended = now()
            figures.recovery = await running.usable()
        statuses = {each.status for each in figures.writes(begun, ended)}
        reads = figures.reads(begun, ended, read_on)
        assert 503 in statuses
        assert some_done or statuses == {503}
        assert reads
        assert {each.status for each in reads} == {200}
