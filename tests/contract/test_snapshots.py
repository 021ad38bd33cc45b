"""What reads much, as of one moment."""

import asyncio
from contextlib import AsyncExitStack, aclosing

import pytest
from sqlalchemy import bindparam, func, select, text, update
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from tests.contract.ledger import Ledger, line
from tests.contract.test_failures import end_connection, on_servers
from tests.servers import Backend, DatabaseServer, Servers
from warehouse.catalogue.model import Product
from warehouse.errors import Unavailable
from warehouse.storage.connection import Connection
from warehouse.storage.database import SNAPSHOTS, SqlDatabase
from warehouse.storage.dialects import MYSQL_NAMES
from warehouse.storage.failures import translate
from warehouse.storage.tables import balances, products

ON_HAND = select(func.sum(balances.c.on_hand)).where(balances.c.product_id == bindparam("product_id"))
TEN = " UNION ALL ".join(f"SELECT {digit} AS digit" for digit in range(10))


def numbers(digits: int) -> str:
    """Every number of so many digits, made by the server as they are fetched."""
    tables = ", ".join(f"({TEN}) AS t{place}" for place in range(digits))
    number = " + ".join(f"{10**place} * t{place}.digit" for place in range(digits))
    return f"SELECT {number} AS n FROM {tables}"


ENDLESS = text(numbers(9))
"""To read them all would take longer than any test may."""


@pytest.fixture
def server(servers: Servers, backend: Backend) -> DatabaseServer:
    return servers.database_server(backend)


async def on_hand(connection: Connection, product: Product) -> int:
    return int(await connection.scalar(ON_HAND, {"product_id": product.id}) or 0)


async def connection_id(connection: Connection) -> int:
    function = "CONNECTION_ID()" if connection.dialect.name in MYSQL_NAMES else "pg_backend_pid()"
    return int(await connection.scalar(text(f"SELECT {function}")) or 0)


class TestSnapshot:
    async def test_sees_one_moment_and_the_next_one_a_later(self, database: SqlDatabase, ledger: Ledger) -> None:
        product, location = await ledger.stocked(5)
        async with database.snapshot() as connection:
            assert await on_hand(connection, product) == 5
            await ledger.receive(line(product, 2, location))
            other = await ledger.product()
            assert await on_hand(connection, product) == 5
            by_id = select(products.c.sku).where(products.c.id == other.id)
            assert await connection.scalar(by_id) is None
            async with aclosing(connection.stream(ON_HAND, {"product_id": product.id})) as batches:
                assert [[tuple(row) for row in rows] async for rows in batches] == [[(5,)]]
        async with database.snapshot() as connection:
            assert await on_hand(connection, product) == 7

    async def test_begins_with_its_first_statement_on_a_used_connection_too(
        self, database: SqlDatabase, ledger: Ledger
    ) -> None:
        product, location = await ledger.stocked(1)
        for expected in range(1, 2 * SNAPSHOTS):
            async with database.snapshot() as connection:
                assert await on_hand(connection, product) == expected
            await ledger.receive(line(product, 1, location))

    async def test_refuses_to_write(self, database: SqlDatabase, ledger: Ledger) -> None:
        product = await ledger.product()
        rename = update(products).where(products.c.id == product.id).values(name="Other")
        for _ in range(2 * SNAPSHOTS):
            async with database.snapshot() as connection:
                with pytest.raises(SQLAlchemyError):
                    await connection.execute(rename)
        assert await ledger.change(product) == product

    async def test_stops_nobody_from_writing(self, database: SqlDatabase, ledger: Ledger) -> None:
        product, location = await ledger.stocked(5)
        async with database.snapshot() as one, database.snapshot() as other:
            assert await on_hand(one, product) == 5
            await ledger.ship(line(product, 5, location))
            assert await on_hand(other, product) == 0
            assert await on_hand(one, product) == 5


class TestStream:
    async def test_gives_all_rows_in_batches_and_leaves_the_connection_as_it_was(self, database: SqlDatabase) -> None:
        async with database.snapshot() as connection:
            for _ in range(2):
                sizes, found = [], set()
                async with aclosing(connection.stream(text(numbers(4)), size=3000)) as batches:
                    async for rows in batches:
                        sizes.append(len(rows))
                        found |= {number for (number,) in rows}
                assert sizes == [3000, 3000, 3000, 1000]
                assert found == set(range(10_000))
            assert await connection.scalar(text("SELECT 1")) == 1

    async def test_of_no_rows_gives_no_batch(self, database: SqlDatabase) -> None:
        async with (
            database.snapshot() as connection,
            aclosing(connection.stream(text("SELECT 1 FROM products WHERE 1 = 0"))) as none,
        ):
            assert [rows async for rows in none] == []

    async def test_that_is_left_early_ends_its_connection_and_no_other(self, database: SqlDatabase) -> None:
        for _ in range(2 * SNAPSHOTS):
            async with database.snapshot() as connection:
                async with aclosing(connection.stream(ENDLESS)) as batches:
                    assert len(await anext(batches)) == 1000
                with pytest.raises(SQLAlchemyError):
                    await connection.scalar(text("SELECT 1"))
        await all_work(database)

    @pytest.mark.parametrize("batches_before", [0, 1, 5])
    async def test_that_is_cancelled_leaves_its_pool_whole(self, database: SqlDatabase, batches_before: int) -> None:
        under_way = asyncio.Semaphore(0)

        async def read() -> None:
            async with database.snapshot() as connection, aclosing(connection.stream(ENDLESS)) as batches:
                if batches_before == 0:
                    under_way.release()
                number = 0
                async for _ in batches:
                    number += 1
                    if number == batches_before:
                        under_way.release()

        for _ in range(2):
            readers = [asyncio.create_task(read()) for _ in range(SNAPSHOTS)]
            for _ in readers:
                await under_way.acquire()
            for reader in readers:
                reader.cancel()
            results = await asyncio.gather(*readers, return_exceptions=True)
            assert [type(result) for result in results] == [asyncio.CancelledError] * SNAPSHOTS
        await all_work(database)

    async def test_whose_reader_is_cancelled_elsewhere_leaves_its_pool_whole(self, database: SqlDatabase) -> None:
        waiting = asyncio.Semaphore(0)

        async def read_and_wait() -> None:
            async with database.snapshot() as connection, aclosing(connection.stream(ENDLESS)) as batches:
                async for _ in batches:
                    waiting.release()
                    await asyncio.Event().wait()

        readers = [asyncio.create_task(read_and_wait()) for _ in range(SNAPSHOTS)]
        for _ in readers:
            await waiting.acquire()
        for reader in readers:
            reader.cancel()
        await asyncio.wait(readers)
        assert all(reader.cancelled() for reader in readers)
        await all_work(database)

    @on_servers
    async def test_whose_connection_is_lost_says_that_the_database_does_not_answer(
        self, database: SqlDatabase, server: DatabaseServer
    ) -> None:
        async def read_on() -> None:
            async with database.snapshot() as connection:
                number = await connection_id(connection)
                async with aclosing(connection.stream(ENDLESS)) as batches:
                    await anext(batches)
                    end_connection(server, number)
                    async for _ in batches:
                        pass

        for _ in range(2):
            with pytest.raises(DBAPIError) as failure:
                await read_on()
            assert isinstance(translate(failure.value), Unavailable)
        await all_work(database)


async def all_work(database: SqlDatabase) -> None:
    """Every connection of the pool at once."""
    async with AsyncExitStack() as stack:
        for number in range(SNAPSHOTS):
            connection = await stack.enter_async_context(database.snapshot())
            assert await connection.scalar(text(f"SELECT {number}")) == number
