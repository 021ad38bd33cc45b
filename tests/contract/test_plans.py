"""No list reads a table through: what a page costs does not depend on how much there is.

The cost is what the database itself counts: rows read on MySQL, MariaDB and PostgreSQL, steps of its virtual machine on
SQLite. Each of the larger tables here has many times the rows that a page may read.
"""

import json
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar
from uuid import UUID

import pytest
from sqlalchemy import Table, insert, text

from tests.conftest import FreshDatabase
from tests.contract.ledger import Ledger
from tests.contract.statements import Statement, recorded
from tests.servers import Backend
from warehouse.cache.tags import segment_of
from warehouse.catalogue.model import Product, ProductFilter, ProductSort, ProductStatus, Tracking, search_text, sku_key
from warehouse.clock import utc_now
from warehouse.exchange.report_model import MovementSummary, ReportFormat, ReportKind, ReportParameters, StockAsOf
from warehouse.exchange.reporting import Reporter
from warehouse.exchange.sql_reports import SqlReportSnapshots
from warehouse.ids import new_id
from warehouse.locations.model import LocationKind
from warehouse.settings import DatabaseSettings
from warehouse.stock.model import (
    NO_LOT,
    Balance,
    BalanceFilter,
    Movement,
    MovementFilter,
    MovementKind,
    MovementSort,
    Reservation,
    ReservationStatus,
)
from warehouse.storage.connection import Connection
from warehouse.storage.database import SqlDatabase
from warehouse.storage.dialects import MYSQL_NAMES, searchable
from warehouse.storage.migrations import migrate
from warehouse.storage.sql import SqlUnitOfWorkFactory
from warehouse.storage.tables import (
    balances,
    locations,
    movements,
    products,
    reservation_lines,
    reservations,
    warehouses,
)

PRODUCTS = 12_000
PAGE = 20
FEW = 20 * PAGE
"""Rows that may be read for a page: its own with their names, lots and reservations."""
FAR = 5 * FEW
"""Rows of which the one in the middle is further on: who reads what is before it reads more than a few."""
SOME = PRODUCTS // 2
"""For filters that no index serves together with the order: a planner may go through what matches and sort it, or
through the order and drop what does not match."""
MINUTE, HOUR = timedelta(minutes=1), timedelta(hours=1)
START = datetime(2026, 1, 1, tzinfo=UTC)

T = TypeVar("T")
Page = Callable[[Sequence[Any] | None, int], Awaitable[Sequence[T]]]
"""What is behind a position, up to so many."""


@dataclass(frozen=True)
class Laden:
    """A database with some tens of thousands of rows."""

    backend: Backend
    database: SqlDatabase
    ledger: Ledger
    product_ids: Sequence[UUID]
    warehouse_ids: Sequence[UUID]
    location_ids: Sequence[UUID]

    async def assert_cheap(self, page: Page[T], position: Callable[[T], Sequence[Any]], bound: int = FEW) -> None:
        """The first page and one further on read at most so much. There has to be something to read."""
        matching = await page(None, FAR)
        middle = position(matching[len(matching) // 2])
        costs = [await self._cost(page, after) for after in (None, middle)]
        assert max(costs) <= bound, f"{costs} where {len(matching)} or more match"

    async def _cost(self, page: Page[T], after: Sequence[Any] | None) -> int:
        with recorded() as statements:
            await page(after, PAGE)
        assert statements
        async with self.database.connect(read_only=True) as connection:
            if self.backend == "postgresql":
                # The default is that of turning disks, on which it may pay to read a table through.
                await connection.execute(text("SET random_page_cost = 1.1"))
            # BEGIN costs nothing, and cannot be done twice.
            costs = [await COST[self.backend](connection, each) for each in statements if each[0] != "BEGIN"]
            return sum(costs)


async def _rows_read_by_mysql(connection: Connection, statement: Statement) -> int:
    await connection.execute(text("FLUSH STATUS"))
    await connection.exec_driver_sql(*statement)
    counters = await connection.execute(text("SHOW SESSION STATUS LIKE 'Handler_read%'"))
    return sum(int(value) for _, value in counters)


async def _rows_read_by_postgresql(connection: Connection, statement: Statement) -> int:
    sql, parameters = statement
    plan = await connection.exec_driver_sql(f"EXPLAIN (ANALYZE, FORMAT JSON) {sql}", parameters)
    found = plan.scalar_one()
    [root] = json.loads(found) if isinstance(found, str) else found
    return _rows_read(root["Plan"])


def _rows_read(node: dict[str, Any]) -> int:
    own = 0
    if "Scan" in node["Node Type"]:
        dropped = node.get("Rows Removed by Filter", 0) + node.get("Rows Removed by Index Recheck", 0)
        own = round((node["Actual Rows"] + dropped) * node["Actual Loops"])
    return own + sum(_rows_read(child) for child in node.get("Plans", ()))


async def _steps_of_sqlite(connection: Connection, statement: Statement) -> int:
    steps = 0

    def count() -> int:
        nonlocal steps
        steps += 10
        return 0

    raw = (await connection.raw.get_raw_connection()).driver_connection
    assert raw is not None
    await raw.set_progress_handler(count, 10)
    await connection.exec_driver_sql(*statement)
    await raw.set_progress_handler(None, 10)
    # A row of a page takes some fifty to a hundred steps.
    return steps // 20


COST: dict[str, Callable[[Connection, Statement], Awaitable[int]]] = {
    "sqlite": _steps_of_sqlite,
    "mariadb": _rows_read_by_mysql,
    "mysql": _rows_read_by_mysql,
    "postgresql": _rows_read_by_postgresql,
}


@pytest.fixture(scope="module")
def laden_url(backend: Backend, fresh_database: FreshDatabase) -> str:
    url = fresh_database(backend)
    migrate(url)
    return url


@pytest.fixture(scope="module")
async def laden(backend: Backend, laden_url: str) -> AsyncIterator[Laden]:
    database = SqlDatabase(laden_url, DatabaseSettings(timeout=60))
    ledger = Ledger.over(SqlUnitOfWorkFactory(database))
    warehouse_ids = [new_id() for _ in range(4)]
    location_ids = [new_id() for _ in range(200)]
    product_ids = [new_id() for _ in range(PRODUCTS)]
    tables = _Filler(database.dialect, product_ids, warehouse_ids, location_ids).tables()
    async with database.connect(read_only=False) as connection:
        for table, rows in tables:
            for start in range(0, len(rows), 2000):
                await connection.execute(insert(table), rows[start : start + 2000])
        await connection.commit()
    async with database.connect(read_only=True) as connection:
        # The servers do so by themselves, in their own time. SQLite never does.
        for table, _ in tables:
            if database.dialect in MYSQL_NAMES:
                await connection.execute(text(f"ANALYZE TABLE {table.name}"))
            elif database.dialect == "postgresql":
                await connection.execute(text(f"VACUUM ANALYZE {table.name}"))
    yield Laden(backend, database, ledger, product_ids, warehouse_ids, location_ids)
    await database.close()


@dataclass(frozen=True)
class _Filler:
    dialect: str
    product_ids: Sequence[UUID]
    warehouse_ids: Sequence[UUID]
    location_ids: Sequence[UUID]

    def tables(self) -> list[tuple[Table, list[dict[str, Any]]]]:
        numbers = range(len(self.product_ids))
        return [
            (warehouses, [self._warehouse(number) for number in range(len(self.warehouse_ids))]),
            (locations, [self._location(number) for number in range(len(self.location_ids))]),
            (products, [self._product(number) for number in numbers]),
            (balances, [self._balance(number) for number in numbers]),
            (movements, [self._movement(number) for number in (*numbers, *numbers)]),
            (reservations, [self._reservation(number) for number in numbers]),
            (reservation_lines, [self._reservation_line(number) for number in numbers]),
        ]

    def _warehouse(self, number: int) -> dict[str, Any]:
        draft = {"code": f"W{number}", "code_key": f"w{number}", "name": "W", "address": None, "status": "active"}
        return {"id": self.warehouse_ids[number], **draft, **self._stamps(number)}

    def _location(self, number: int) -> dict[str, Any]:
        return {
            "id": self.location_ids[number],
            "warehouse_id": self.warehouse_ids[number % len(self.warehouse_ids)],
            "parent_id": None,
            "code": f"L{number}",
            "code_key": f"l{number}",
            "name": None,
            "kind": LocationKind.STORAGE,
            **self._stamps(number),
        }

    def _product(self, number: int) -> dict[str, Any]:
        sku, name, barcode = f"SKU-{number:06}", f"w{number % 97} w{number % 89} {number}", f"{4006381000000 + number}"
        return {
            "id": self.product_ids[number],
            "sku": sku,
            "sku_key": sku_key(sku),
            "name": name,
            "description": None,
            "category": f"C{number % 60}",
            "unit": "each",
            "barcodes": [barcode],
            "reorder_point": 5 if number % 2 == 0 else None,
            "tracking": Tracking.LOT if number % 20 == 0 else Tracking.NONE,
            "negative_stock": "forbid",
            "attributes": {},
            "status": ProductStatus.ARCHIVED if number % 20 == 1 else ProductStatus.ACTIVE,
            "search_text": searchable(self.dialect, search_text(sku, name, (barcode,))),
            "segment": segment_of(self.product_ids[number]),
            **self._stamps(number),
        }

    def _place(self, number: int) -> dict[str, Any]:
        place = number % len(self.location_ids)
        return {
            "product_id": self.product_ids[number],
            "location_id": self.location_ids[place],
            "lot": f"LOT{number % 200}" if number % 20 == 0 else NO_LOT,
            "warehouse_id": self.warehouse_ids[place % len(self.warehouse_ids)],
        }

    def _balance(self, number: int) -> dict[str, Any]:
        return {
            **self._place(number),
            "on_hand": 3 if number % 50 == 0 else 9,
            "reserved": 0,
            "below_zero_allowed": False,
            "version": 1,
            "updated_at": START,
        }

    def _movement(self, number: int) -> dict[str, Any]:
        return {
            "id": new_id(),
            "command_id": new_id(),
            "line": 1,
            **self._place(number),
            "delta": 1,
            "kind": MovementKind.RECEIPT,
            "reason": None,
            "reference": f"R{number % 4000}",
            "actor": "tester",
            "occurred_at": START + number * MINUTE,
            "recorded_at": START,
        }

    def _reservation(self, number: int) -> dict[str, Any]:
        ended = ReservationStatus.CONFIRMED if number % 3 else ReservationStatus.RELEASED
        due = number % 1000 == 41
        return {
            "id": self.product_ids[number],
            "status": ReservationStatus.ACTIVE if due or number % 40 == 0 else ended,
            "reference": f"R{number % 4000}",
            "reason": None,
            "actor": "tester",
            "expires_at": utc_now() + (-HOUR if due else HOUR),
            **self._stamps(number),
        }

    def _reservation_line(self, number: int) -> dict[str, Any]:
        return {"reservation_id": self.product_ids[number], "line": 1, **self._place(number), "quantity": 1}

    def _stamps(self, number: int) -> dict[str, Any]:
        at = START + number * MINUTE
        return {"version": 1, "created_at": at, "updated_at": at}


class TestProducts:
    @pytest.mark.parametrize("sort", ProductSort)
    @pytest.mark.parametrize(
        ("criteria", "bound"),
        [
            (ProductFilter(), FEW),
            (ProductFilter(status=ProductStatus.ACTIVE), SOME),
            (ProductFilter(status=ProductStatus.ARCHIVED), SOME),
            (ProductFilter(category="C7"), SOME),
            (ProductFilter(tracking=Tracking.LOT), SOME),
            (ProductFilter(status=ProductStatus.ACTIVE, category="C7"), SOME),
            (ProductFilter(q="4006381000007"), FEW),
            (ProductFilter(q="sku-00010"), FEW),
            (ProductFilter(q="w7 w8"), SOME),
            (ProductFilter(q="w7 w8", status=ProductStatus.ACTIVE), SOME),
        ],
        ids=str,
    )
    async def test_a_page_does_not_read_them_all(
        self, laden: Laden, sort: ProductSort, criteria: ProductFilter, bound: int
    ) -> None:
        async def page(after: Sequence[Any] | None, limit: int) -> Sequence[Product]:
            return await laden.ledger.product_page(criteria, sort, after, limit)

        def position(product: Product) -> tuple[Any, UUID]:
            column = sort.lstrip("-")
            return (sku_key(product.sku) if column == "sku" else getattr(product, column), product.id)

        await laden.assert_cheap(page, position, bound)

    async def test_a_segment_reads_little_more_than_itself(self, laden: Laden) -> None:
        async def segment(_: Sequence[Any] | None, __: int) -> Sequence[str]:
            return (await laden.ledger.catalogue.snapshot_segments([7]))[7]

        await laden.assert_cheap(segment, lambda _: (), 2 * FEW)


class TestBalances:
    def criteria(self, laden: Laden) -> dict[str, BalanceFilter]:
        return {
            "all": BalanceFilter(),
            "product_id": BalanceFilter(product_id=laden.product_ids[6000]),
            "sku": BalanceFilter(sku="sku-006000"),
            "warehouse_id": BalanceFilter(warehouse_id=laden.warehouse_ids[2]),
            "location_id": BalanceFilter(location_id=laden.location_ids[7]),
            "lot": BalanceFilter(lot="LOT20"),
            "product_id, warehouse_id": BalanceFilter(
                product_id=laden.product_ids[6000], warehouse_id=laden.warehouse_ids[0]
            ),
            "low": BalanceFilter(low=True),
        }

    @pytest.mark.parametrize(
        "name", ["all", "product_id", "sku", "warehouse_id", "location_id", "lot", "product_id, warehouse_id"]
    )
    async def test_a_page_reads_little_more_than_itself(self, laden: Laden, name: str) -> None:
        await self.check(laden, self.criteria(laden)[name], FEW)

    async def test_what_is_low_is_found_by_reading_each_balance_a_few_times_at_most(self, laden: Laden) -> None:
        await self.check(laden, self.criteria(laden)["low"], 10 * PRODUCTS)

    async def check(self, laden: Laden, criteria: BalanceFilter, bound: int) -> None:
        async def page(after: Sequence[Any] | None, limit: int) -> Sequence[Balance]:
            return await laden.ledger.balance_page(criteria, after, limit)

        def position(balance: Balance) -> Sequence[Any]:
            return balance.product_id, balance.location_id, balance.lot or NO_LOT

        await laden.assert_cheap(page, position, bound)


class TestMovements:
    @pytest.mark.parametrize("sort", MovementSort)
    @pytest.mark.parametrize(
        ("name", "bound"),
        [
            ("all", FEW),
            ("product_id", FEW),
            ("sku", FEW),
            ("warehouse_id", 2 * SOME),
            ("location_id", 2 * SOME),
            ("command_id", FEW),
            ("reference", FEW),
            ("occurred", 2 * SOME),
        ],
    )
    async def test_a_page_does_not_read_them_all(self, laden: Laden, sort: MovementSort, name: str, bound: int) -> None:
        mine = MovementFilter(product_id=laden.product_ids[6000])
        [some] = await laden.ledger.movement_page(mine, MovementSort.RECORDED_AT, None, 1)
        criteria = {
            "all": MovementFilter(),
            "product_id": mine,
            "sku": MovementFilter(sku="sku-006000"),
            "warehouse_id": MovementFilter(warehouse_id=laden.warehouse_ids[2]),
            "location_id": MovementFilter(location_id=laden.location_ids[7]),
            "command_id": MovementFilter(command_id=some.command_id),
            "reference": MovementFilter(reference="R7"),
            "occurred": MovementFilter(occurred_from=START + 6000 * MINUTE, occurred_to=START + 6100 * MINUTE),
        }[name]
        by_event = sort.lstrip("-") == MovementSort.OCCURRED_AT

        async def page(after: Sequence[Any] | None, limit: int) -> Sequence[Movement]:
            return await laden.ledger.movement_page(criteria, sort, after, limit)

        def position(movement: Movement) -> Sequence[Any]:
            return (movement.occurred_at, movement.id) if by_event else (movement.id,)

        await laden.assert_cheap(page, position, bound)


class TestReservations:
    @pytest.mark.parametrize("reference", [None, "R40"])
    @pytest.mark.parametrize("status", [None, *ReservationStatus])
    async def test_a_page_reads_little_more_than_itself(
        self, laden: Laden, status: ReservationStatus | None, reference: str | None
    ) -> None:
        async def page(after: Sequence[Any] | None, limit: int) -> Sequence[Reservation]:
            # Some of the combinations find nothing; what they read counts all the same.
            found = await laden.ledger.reservations.page(status, reference, after, limit)
            return found or await laden.ledger.reservations.page(None, None, None, 1)

        await laden.assert_cheap(page, lambda reservation: (reservation.id,), FEW if status is None else SOME)

    async def test_the_sweeper_reads_no_more_than_is_due(self, laden: Laden) -> None:
        async def page(_: Sequence[Any] | None, limit: int) -> Sequence[UUID]:
            async with laden.ledger.uow(read_only=True) as uow:
                return await uow.reservations.due(utc_now(), limit)

        await laden.assert_cheap(page, lambda _: ())

    async def test_a_shortage_reads_no_more_than_is_due(self, laden: Laden) -> None:
        due = BalanceFilter(product_id=laden.product_ids[41])
        [balance] = await laden.ledger.balance_page(due, None, 1)

        async def page(_: Sequence[Any] | None, __: int) -> Sequence[UUID]:
            async with laden.ledger.uow(read_only=True) as uow:
                return await uow.reservations.due_on([balance.key], utc_now())

        await laden.assert_cheap(page, lambda _: ())


class TestReports:
    @pytest.mark.parametrize("kind", [ReportKind.STOCK_AS_OF, ReportKind.MOVEMENT_SUMMARY])
    async def test_a_narrow_report_reads_little_more_than_what_it_is_of(self, laden: Laden, kind: ReportKind) -> None:
        narrow: dict[ReportKind, ReportParameters] = {
            ReportKind.STOCK_AS_OF: StockAsOf(product_id=laden.product_ids[6000]),
            ReportKind.MOVEMENT_SUMMARY: MovementSummary(START + 6000 * MINUTE, START + 6050 * MINUTE),
        }

        async def rows(_: Sequence[Any] | None, __: int) -> Sequence[bytes]:
            pieces = Reporter(SqlReportSnapshots(laden.database)).run(kind, narrow[kind], ReportFormat.CSV)
            _, *rows = b"".join([piece async for piece in pieces]).splitlines()
            return rows

        await laden.assert_cheap(rows, lambda _: ())
