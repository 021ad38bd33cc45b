"""The integrity report finds every drift that is planted, and the database refuses those that it can."""

import contextlib
from collections.abc import AsyncIterator
from typing import Any

import pytest
from sqlalchemy import Connection as SyncConnection
from sqlalchemy import Table, and_, delete, insert, inspect, select, text, update
from sqlalchemy.exc import IntegrityError, OperationalError

from tests.conftest import FreshDatabase
from tests.contract.ledger import Ledger, line, move
from tests.servers import Backend
from warehouse.catalogue.model import NegativeStock, Product
from warehouse.clock import utc_now
from warehouse.ids import new_id
from warehouse.locations.model import Location
from warehouse.quantities import MAX_ON_HAND
from warehouse.settings import DatabaseSettings
from warehouse.stock.model import Drift, IntegrityReport, Reservation
from warehouse.stock.sql import SqlStockRepository
from warehouse.storage.connection import Connection
from warehouse.storage.database import SqlDatabase
from warehouse.storage.dialects import MYSQL_NAMES
from warehouse.storage.migrations import migrate
from warehouse.storage.sql import SqlUnitOfWorkFactory
from warehouse.storage.tables import balances, movements, products, reservation_lines, reservations

Setting = dict[str, Any]


@pytest.fixture(scope="module")
def migrated_url(backend: Backend, fresh_database: FreshDatabase) -> str:
    """A database of this module's own, so that all drift in it is planted here."""
    url = fresh_database(backend)
    migrate(url)
    return url


@pytest.fixture(scope="module")
async def ledger(migrated_url: str) -> AsyncIterator[Ledger]:
    database = SqlDatabase(migrated_url, DatabaseSettings())
    yield Ledger.over(SqlUnitOfWorkFactory(database))
    await database.close()


@pytest.fixture
async def connection(migrated_url: str) -> AsyncIterator[Connection]:
    """In a transaction that is rolled back: what is planted here, nobody else sees."""
    # Not from the services' pool, which on SQLite has one connection for writing.
    database = SqlDatabase(migrated_url, DatabaseSettings(pool_size=1))
    async with database.connect(read_only=False) as connection:
        yield connection
    await database.close()


@pytest.fixture
async def stocked(ledger: Ledger) -> tuple[Product, Location]:
    """Five of it."""
    return await ledger.stocked(5)


@pytest.fixture
async def reserved(ledger: Ledger, stocked: tuple[Product, Location]) -> Reservation:
    """Two of the five."""
    return await ledger.reserve(line(stocked[0], 2, stocked[1]))


async def report(connection: Connection, examples: int = 100) -> IntegrityReport:
    return await SqlStockRepository(connection, set[str]().update).integrity(utc_now(), examples)


async def plant(connection: Connection, target: Table, where: Setting, values: Setting) -> None:
    conditions = [target.c[name] == value for name, value in where.items()]
    result = await connection.execute(update(target).where(and_(*conditions)).values(values))
    assert result.rowcount == 1


async def found(connection: Connection) -> list[tuple[str, int, int]]:
    told = await report(connection)
    assert (told.ok, told.drift_count) == (not told.drifts, len(told.drifts))
    return [(drift.rule, drift.stored, drift.expected) for drift in told.drifts]


class TestReport:
    async def test_is_clean_after_whatever_the_services_did(self, ledger: Ledger) -> None:
        product, location = await ledger.stocked(9)
        overdrawn = await ledger.overdrawable()
        await ledger.ship(line(overdrawn, 3, location))
        await ledger.transfer(move(product, 4, location, await ledger.location()))
        await ledger.confirm(await ledger.reserve(line(product, 2, location)))
        await ledger.lapse(await ledger.reserve(line(product, 1, location)))
        before = await ledger.queries.integrity()
        await ledger.receive(line(product, 1, location))
        after = await ledger.queries.integrity()
        assert (before.ok, before.drifts, before.drift_count) == (True, [], 0)
        assert (after.balances - before.balances, after.movements - before.movements) == (0, 1)

    async def test_finds_a_balance_that_its_movements_do_not_make(
        self, connection: Connection, stocked: tuple[Product, Location]
    ) -> None:
        product, location = stocked
        await plant(connection, balances, {"product_id": product.id}, {"on_hand": 6})
        told = await report(connection)
        assert told.drifts == [Drift("on_hand", product.id, location.id, None, stored=6, expected=5)]
        assert (told.ok, told.drift_count) == (False, 1)

    async def test_finds_a_movement_that_was_changed(
        self, connection: Connection, stocked: tuple[Product, Location]
    ) -> None:
        await plant(connection, movements, {"product_id": stocked[0].id}, {"delta": 4})
        assert await found(connection) == [("on_hand", 5, 4)]

    async def test_finds_a_movement_that_is_gone(
        self, connection: Connection, stocked: tuple[Product, Location]
    ) -> None:
        await connection.execute(delete(movements).where(movements.c.product_id == stocked[0].id))
        assert await found(connection) == [("on_hand", 5, 0)]

    async def test_finds_a_movement_that_nobody_made(
        self, connection: Connection, stocked: tuple[Product, Location]
    ) -> None:
        row = (await connection.execute(select(movements).where(movements.c.product_id == stocked[0].id))).one()
        await connection.execute(insert(movements), row._asdict() | {"id": new_id(), "line": 2})
        assert await found(connection) == [("on_hand", 5, 10)]

    async def test_finds_what_is_reserved_for_nobody(
        self, connection: Connection, stocked: tuple[Product, Location], reserved: Reservation
    ) -> None:
        await plant(connection, balances, {"product_id": stocked[0].id}, {"reserved": 3})
        assert await found(connection) == [("reserved", 3, 2)]

    async def test_finds_a_reservation_that_holds_nothing(self, connection: Connection, reserved: Reservation) -> None:
        await plant(connection, reservation_lines, {"reservation_id": reserved.id}, {"quantity": 4})
        assert await found(connection) == [("reserved", 2, 4)]

    @pytest.mark.parametrize("status", ["confirmed", "released", "expired"])
    async def test_finds_a_reservation_that_ended_and_gave_nothing_back(
        self, connection: Connection, reserved: Reservation, status: str
    ) -> None:
        await plant(connection, reservations, {"id": reserved.id}, {"status": status})
        assert await found(connection) == [("reserved", 2, 0)]

    async def test_an_expired_reservation_that_was_not_swept_is_no_drift(
        self, connection: Connection, reserved: Reservation
    ) -> None:
        await plant(connection, reservations, {"id": reserved.id}, {"expires_at": reserved.created_at})
        assert await found(connection) == []

    async def test_lists_some_and_counts_all(self, ledger: Ledger, connection: Connection) -> None:
        planted = [await ledger.stocked(5) for _ in range(4)]
        for product, _ in planted:
            await plant(connection, balances, {"product_id": product.id}, {"on_hand": 7, "reserved": 1})
        told = await report(connection, examples=3)
        assert (told.ok, told.drift_count, len(told.drifts)) == (False, 8, 3)
        assert {drift.product_id for drift in told.drifts} <= {product.id for product, _ in planted}
        assert (await report(connection, examples=0)).drift_count == 8

    @pytest.mark.parametrize(
        ("values", "drifts"),
        [
            ({"reserved": -1}, {("reserved", -1, 0), ("bounds", -1, 0)}),
            ({"on_hand": -2}, {("on_hand", -2, 5), ("bounds", -2, 0)}),
            ({"reserved": 6}, {("reserved", 6, 0), ("bounds", 5, 6)}),
        ],
    )
    async def test_finds_what_a_database_without_its_constraints_let_through(
        self,
        connection: Connection,
        stocked: tuple[Product, Location],
        values: Setting,
        drifts: set[tuple[str, int, int]],
    ) -> None:
        async with unconstrained(connection):
            await plant(connection, balances, {"product_id": stocked[0].id}, values)
            assert set(await found(connection)) == drifts


@contextlib.asynccontextmanager
async def unconstrained(connection: Connection) -> AsyncIterator[None]:
    """Without the constraints of balances, for this transaction where the database can say so."""
    names = ("reserved_not_negative", "on_hand_not_negative", "reserved_within_on_hand")
    product = await connection.run_sync(_product)
    before, after = {
        "sqlite": (["PRAGMA ignore_check_constraints = ON"], ["PRAGMA ignore_check_constraints = OFF"]),
        "mariadb": (["SET check_constraint_checks = OFF"], ["SET check_constraint_checks = ON"]),
        "postgresql": ([f"ALTER TABLE balances DROP CONSTRAINT ck_balances_{name}" for name in names], []),
        "mysql": (
            [f"ALTER TABLE balances ALTER CHECK ck_balances_{name} NOT ENFORCED" for name in names],
            [f"ALTER TABLE balances ALTER CHECK ck_balances_{name} ENFORCED" for name in names],
        ),
    }[product]
    try:
        for statement in before:
            await connection.exec_driver_sql(statement)
        yield
    finally:
        await connection.raw.rollback()
        for statement in after:
            await connection.exec_driver_sql(statement)


def _product(connection: SyncConnection) -> str:
    if connection.dialect.name not in MYSQL_NAMES:
        return connection.dialect.name
    return "mariadb" if "MariaDB" in str(connection.scalar(text("SELECT VERSION()"))) else "mysql"


class TestConstraints:
    """What the services never ask for, the database refuses whoever does."""

    @pytest.mark.parametrize(
        "values",
        [
            {"reserved": -1},
            {"on_hand": -1},
            {"reserved": 6},
            {"on_hand": 1, "reserved": 2},
            {"on_hand": MAX_ON_HAND + 1},
            {"on_hand": None},
            {"reserved": None},
            {"lot": None},
        ],
        ids=str,
    )
    async def test_refuse_a_balance_that_cannot_be(
        self, connection: Connection, stocked: tuple[Product, Location], values: Setting
    ) -> None:
        with pytest.raises((IntegrityError, OperationalError)):
            await plant(connection, balances, {"product_id": stocked[0].id}, values)

    @pytest.mark.parametrize(
        ("values", "accepted"),
        [
            ({"on_hand": -1}, True),
            ({"reserved": 99}, True),
            ({"reserved": -1}, False),
            ({"on_hand": -MAX_ON_HAND}, True),
            ({"on_hand": -MAX_ON_HAND - 1}, False),
            ({"on_hand": MAX_ON_HAND + 1}, False),
        ],
        ids=str,
    )
    async def test_leave_one_that_may_go_below_zero_its_range(
        self, ledger: Ledger, connection: Connection, values: Setting, accepted: bool
    ) -> None:
        product, _ = await ledger.stocked(5, negative_stock=NegativeStock.ALLOW)
        attempt = plant(connection, balances, {"product_id": product.id}, values)
        if accepted:
            await attempt
        else:
            with pytest.raises((IntegrityError, OperationalError)):
                await attempt

    @pytest.mark.parametrize("quantity", [0, -1])
    async def test_refuse_a_reservation_of_nothing(
        self, connection: Connection, reserved: Reservation, quantity: int
    ) -> None:
        with pytest.raises((IntegrityError, OperationalError)):
            await plant(connection, reservation_lines, {"reservation_id": reserved.id}, {"quantity": quantity})

    @pytest.mark.parametrize("other", [{}, {"line": 2, "lot": "never"}, {"line": 2, "delta": None}], ids=str)
    async def test_refuse_a_movement_twice_or_of_no_balance(
        self, connection: Connection, stocked: tuple[Product, Location], other: Setting
    ) -> None:
        row = (await connection.execute(select(movements).where(movements.c.product_id == stocked[0].id))).one()
        with pytest.raises((IntegrityError, OperationalError)):
            await connection.execute(insert(movements), row._asdict() | {"id": new_id()} | other)

    @pytest.mark.parametrize("target", [balances, products], ids=lambda target: target.name)
    async def test_refuse_to_forget_what_has_a_history(
        self, connection: Connection, stocked: tuple[Product, Location], target: Table
    ) -> None:
        column = target.c.id if target is products else target.c.product_id
        with pytest.raises(IntegrityError):
            await connection.execute(delete(target).where(column == stocked[0].id))

    async def test_stand_on_every_database(self, connection: Connection) -> None:
        expected = {
            target.name: {str(each.name) for each in target.constraints if str(each.name).startswith("ck_")}
            for target in (balances, reservation_lines)
        }
        assert len(expected["balances"]) == 4

        def named(sync: SyncConnection) -> dict[str, set[str]]:
            return {
                name: {str(each["name"]) for each in inspect(sync).get_check_constraints(name)} for name in expected
            }

        assert await connection.run_sync(named) == expected
