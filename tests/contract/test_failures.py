"""What a database's failures become, each provoked for real."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

import pytest
from sqlalchemy import make_url, text, update
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from tests.contract.ledger import Ledger, command, line, write
from tests.process import free_port
from tests.servers import Backend, DatabaseServer, MySqlServer, PostgreSqlServer, Servers, backends
from warehouse.clock import utc_now
from warehouse.errors import Code, Conflict, TransactionConflict, Unavailable
from warehouse.ids import new_id
from warehouse.settings import DatabaseSettings
from warehouse.stock.model import NO_LOT, BalanceChange, BalanceKey, CommandHeader
from warehouse.storage.connection import Connection
from warehouse.storage.database import SqlDatabase
from warehouse.storage.dialects import MYSQL_NAMES
from warehouse.storage.failures import translate
from warehouse.storage.sql import SqlUnitOfWorkFactory
from warehouse.storage.tables import products
from warehouse.unit_of_work import REPLAYS, UnitOfWork, replayed_on_conflict

on_servers = pytest.mark.parametrize("backend", [name for name in backends() if name != "sqlite"], indirect=True)
"""SQLite runs in this process, and one transaction at a time."""


@pytest.fixture
async def hasty(migrated_url: str) -> AsyncIterator[SqlDatabase]:
    """Waits a second for whatever it is, on one connection."""
    database = SqlDatabase(migrated_url, DatabaseSettings(pool_size=1, timeout=1))
    yield database
    await database.close()


@pytest.fixture
def server(servers: Servers, backend: Backend) -> DatabaseServer:
    return servers.database_server(backend)


async def take(ledger: Ledger, quantity: int = 100) -> BalanceChange:
    """A change that takes one of so many."""
    product, location = await ledger.stocked(quantity)
    return BalanceChange(BalanceKey(product.id, location.id, NO_LOT), location.warehouse_id, -1, 0, guarded=True)


@dataclass
class Meeting:
    """Lets nobody on who has come for the first time until all have."""

    expected: int
    arrived: set[str] = field(default_factory=set)
    complete: asyncio.Event = field(default_factory=asyncio.Event)

    async def join(self, name: str) -> None:
        self.arrived.add(name)
        if len(self.arrived) == self.expected:
            self.complete.set()
        await self.complete.wait()


class TestDeadlocks:
    async def cross(
        self, ledger: Ledger, wrap: Callable[[Callable[[str], Awaitable[None]]], Callable[[str], Awaitable[None]]]
    ) -> list[BaseException | None]:
        """Two units of work that each hold what the other wants."""
        changes = [await take(ledger), await take(ledger)]
        meeting = Meeting(2)

        async def cross(name: str) -> None:
            first, second = changes if name == "forth" else changes[::-1]
            async with ledger.uow() as uow:
                await write(uow, first)
                await meeting.join(name)
                await write(uow, second)
                await uow.commit()

        return await asyncio.gather(*[wrap(cross)(name) for name in ("forth", "back")], return_exceptions=True)

    @on_servers
    async def test_end_one_of_the_two_as_a_transaction_conflict(self, ledger: Ledger) -> None:
        results = await self.cross(ledger, lambda work: work)
        [conflict] = [result for result in results if result]
        assert isinstance(conflict, TransactionConflict)
        assert conflict.code is Code.CONTENTION

    @on_servers
    async def test_are_not_seen_by_whoever_is_replayed(self, ledger: Ledger) -> None:
        assert await self.cross(ledger, replayed_on_conflict) == [None, None]

    async def test_a_replay_ends_after_a_bounded_number_of_attempts(self) -> None:
        attempts = 0

        @replayed_on_conflict
        async def conflict() -> None:
            nonlocal attempts
            attempts += 1
            raise TransactionConflict("Again.")

        with pytest.raises(TransactionConflict):
            await conflict()
        assert attempts == REPLAYS

    async def test_what_is_no_conflict_is_not_replayed(self) -> None:
        attempts = 0

        @replayed_on_conflict
        async def fail() -> None:
            nonlocal attempts
            attempts += 1
            raise Unavailable("The database does not answer.")

        with pytest.raises(Unavailable):
            await fail()
        assert attempts == 1


class TestLockTimeouts:
    async def test_are_transaction_conflicts(self, ledger: Ledger, hasty: SqlDatabase) -> None:
        change = await take(ledger)
        async with ledger.uow() as holder:
            assert await write(holder, change)
            with pytest.raises(TransactionConflict):
                await self.apply(hasty, change)
            await holder.commit()
        await self.apply(hasty, change)

    @on_servers
    async def test_on_a_key_that_another_request_has_say_that_it_is_in_progress(
        self, ledger: Ledger, hasty: SqlDatabase
    ) -> None:
        key, (product, location) = str(new_id()), await ledger.stocked(5)
        impatient = Ledger.over(SqlUnitOfWorkFactory(hasty))
        refusals: list[Conflict] = []

        async def while_running(_: UnitOfWork) -> None:
            with pytest.raises(Conflict) as refusal:
                await impatient.moving.ship(command(key), CommandHeader(), [line(product, 1, location)])
            refusals.append(refusal.value)

        await ledger.commands.run(command(key), while_running)
        assert [refusal.code for refusal in refusals] == [Code.IDEMPOTENCY_IN_PROGRESS]
        assert await ledger.held(product) == {(location.id, None): (5, 0)}

    async def apply(self, database: SqlDatabase, change: BalanceChange) -> None:
        async with SqlUnitOfWorkFactory(database)() as uow:
            assert await write(uow, change)
            await uow.commit()


class TestNoAnswer:
    async def test_where_no_connection_is_free_in_time(self) -> None:
        failure = translate(PoolTimeout())
        assert isinstance(failure, Unavailable)
        assert failure.code is Code.UNAVAILABLE

    async def test_to_one_who_waits_no_longer_leaves_the_connection_to_the_next(self, hasty: SqlDatabase) -> None:
        units_of_work = SqlUnitOfWorkFactory(hasty)
        async with units_of_work():
            waiting = [asyncio.ensure_future(units_of_work().__aenter__()) for _ in range(3)]
            await asyncio.wait(waiting, timeout=0)
            for task in waiting:
                task.cancel()
            await asyncio.wait(waiting)
        async with units_of_work():
            pass

    @on_servers
    async def test_where_a_statement_takes_too_long(self, hasty: SqlDatabase) -> None:
        # MySQL bounds nothing but SELECT, and its SLEEP is no error when it is cut short.
        slow = {
            "postgresql": "SELECT pg_sleep(60)",
            "mariadb": "SELECT SLEEP(60)",
            "mysql": "SELECT COUNT(*) FROM information_schema.columns a, information_schema.columns b, "
            "information_schema.columns c",
        }
        async with hasty.connect(read_only=True) as connection:
            statement = slow[await product_of(connection)]
            with pytest.raises(DBAPIError) as failure:
                await connection.exec_driver_sql(statement)
        assert isinstance(translate(failure.value), Unavailable)

    @on_servers
    async def test_where_the_server_closed_the_connection(
        self, ledger: Ledger, hasty: SqlDatabase, server: DatabaseServer
    ) -> None:
        change, units_of_work = await take(ledger), SqlUnitOfWorkFactory(hasty)
        connection_id = await id_of_the_connection(hasty)

        async def apply_twice() -> None:
            async with units_of_work() as uow:
                assert await write(uow, change)
                end_connection(server, connection_id)
                await write(uow, change)

        with pytest.raises(Unavailable):
            await apply_twice()
        async with units_of_work() as uow:
            assert await write(uow, change)
            await uow.commit()
        async with ledger.uow(read_only=True) as reader:
            [balance] = await reader.stock.balances([change.key], utc_now())
        assert balance.on_hand == 99

    @on_servers
    async def test_where_the_server_closes_it_while_a_statement_waits(
        self, ledger: Ledger, migrated_url: str, server: DatabaseServer
    ) -> None:
        patient = SqlDatabase(migrated_url, DatabaseSettings(pool_size=1, timeout=60))
        change = await take(ledger)
        connection_id = await id_of_the_connection(patient)

        async def wait_for_the_row() -> None:
            async with SqlUnitOfWorkFactory(patient)() as uow:
                await write(uow, change)

        async with ledger.uow() as holder:
            await write(holder, change)
            waiting = asyncio.ensure_future(wait_for_the_row())
            await until(lambda: waits(patient, connection_id))
            end_connection(server, connection_id)
            with pytest.raises(Unavailable):
                await waiting
        await patient.close()

    @on_servers
    async def test_where_a_commit_meets_a_closed_connection(
        self, ledger: Ledger, hasty: SqlDatabase, server: DatabaseServer
    ) -> None:
        change = await take(ledger)
        connection_id = await id_of_the_connection(hasty)

        async def apply() -> None:
            async with SqlUnitOfWorkFactory(hasty)() as uow:
                assert await write(uow, change)
                end_connection(server, connection_id)
                await uow.commit()

        with pytest.raises(Unavailable):
            await apply()

    @on_servers
    @pytest.mark.parametrize(
        "wrong", [{"port": 0}, {"password": "wrong"}, {"database": "nowhere"}], ids=lambda wrong: next(iter(wrong))
    )
    async def test_where_nobody_lets_us_in(self, migrated_url: str, wrong: dict[str, Any]) -> None:
        address = make_url(migrated_url).set(**({"port": free_port()} if "port" in wrong else wrong))
        database = SqlDatabase(address.render_as_string(hide_password=False), DatabaseSettings(timeout=1))
        for read_only in (True, False):
            with pytest.raises(Unavailable):
                async with SqlUnitOfWorkFactory(database)(read_only=read_only):
                    pass
        await database.close()


class TestBugs:
    async def test_are_not_failures_of_the_database(self, ledger: Ledger, hasty: SqlDatabase) -> None:
        """A row that breaks a constraint is our mistake: no retry mends it."""
        product = await ledger.product()
        async with hasty.connect(read_only=False) as connection:
            with pytest.raises(DBAPIError) as failure:
                await connection.execute(update(products).where(products.c.id == product.id).values(sku_key=None))
        assert translate(failure.value) is None
        assert translate(ZeroDivisionError()) is None


async def id_of_the_connection(database: SqlDatabase) -> int:
    """Of the one that its pool holds, by which the server knows it."""
    function = "CONNECTION_ID()" if database.dialect in MYSQL_NAMES else "pg_backend_pid()"
    async with database.connect(read_only=False) as connection:
        return int(await connection.scalar(text(f"SELECT {function}")) or 0)


def end_connection(server: DatabaseServer, connection_id: int) -> None:
    if isinstance(server, MySqlServer):
        server.execute(f"KILL CONNECTION {connection_id}")
    elif isinstance(server, PostgreSqlServer):
        server.execute(f"SELECT pg_terminate_backend({connection_id})")


async def waits(database: SqlDatabase, connection_id: int) -> bool:
    """Whether that connection waits for a lock."""
    async with database.connect(read_only=True) as connection:
        count = text(f"SELECT COUNT(*) FROM {WAITING[await product_of(connection)]} = :id")
        return bool(await connection.scalar(count, {"id": connection_id}))


WAITING = {
    "mariadb": "information_schema.innodb_trx WHERE trx_state = 'LOCK WAIT' AND trx_mysql_thread_id",
    "mysql": "performance_schema.data_lock_waits JOIN performance_schema.threads "
    "ON thread_id = requesting_thread_id WHERE processlist_id",
    "postgresql": "pg_stat_activity WHERE wait_event_type = 'Lock' AND pid",
}


async def product_of(connection: Connection) -> str:
    """MySQL and MariaDB share a dialect."""
    if connection.dialect.name not in MYSQL_NAMES:
        return connection.dialect.name
    return "mariadb" if "MariaDB" in str(await connection.scalar(text("SELECT VERSION()"))) else "mysql"


async def until(condition: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(10):
        while not await condition():  # noqa: ASYNC110 - the server tells nobody that a statement has come to wait
            await asyncio.sleep(0.01)
