"""Reports of what the services wrote, with the answers written out."""

from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import orjson
import pytest

from tests.conftest import FreshDatabase
from tests.contract.ledger import LONG_AGO, Ledger, line, move
from tests.contract.report_reference import KINDS
from tests.servers import Backend
from warehouse import metrics
from warehouse.catalogue.model import Product
from warehouse.clock import utc_now
from warehouse.exchange.report_model import (
    AbcAnalysis,
    DeadStock,
    LowStock,
    MovementSummary,
    ReportClock,
    ReportFormat,
    ReportKind,
    ReportParameters,
    StockAgeing,
    StockAsOf,
)
from warehouse.exchange.reporting import Reporter
from warehouse.exchange.scanning import LowStockScan
from warehouse.exchange.sql_reports import SqlReportSnapshots
from warehouse.settings import DatabaseSettings
from warehouse.storage.database import SNAPSHOTS, SqlDatabase
from warehouse.storage.migrations import migrate

DAY = timedelta(days=1)
EVERYTHING: tuple[ReportParameters, ...] = (
    StockAsOf(include_zero=True),
    MovementSummary(LONG_AGO),
    LowStock(),
    LowStock(by_warehouse=True),
    StockAgeing(),
    AbcAnalysis(LONG_AGO),
    DeadStock(),
    DeadStock(by_warehouse=True),
)


@pytest.fixture(scope="module")
def empty_url(backend: Backend, fresh_database: FreshDatabase) -> str:
    url = fresh_database(backend)
    migrate(url)
    return url


@pytest.fixture
def reporter(database: SqlDatabase) -> Reporter:
    return Reporter(SqlReportSnapshots(database))


async def document(reporter: Reporter, parameters: ReportParameters) -> Any:
    pieces = reporter.run(KINDS[type(parameters)], parameters, ReportFormat.JSON)
    return orjson.loads(b"".join([piece async for piece in pieces]))


async def rows_of(reporter: Reporter, parameters: ReportParameters, product: Product) -> list[Any]:
    found = await document(reporter, parameters)
    return [row for row in found["rows"] if row["product_id"] == str(product.id)]


async def row_of(reporter: Reporter, parameters: ReportParameters, product: Product) -> Any:
    [row] = await rows_of(reporter, parameters, product)
    return row


def ages(row: Any) -> list[int]:
    return list(row["ages"].values())


def ago(days: float) -> datetime:
    return utc_now() - days * DAY


@pytest.mark.parametrize("parameters", EVERYTHING, ids=str)
async def test_of_an_empty_ledger_there_is_nothing_to_tell(empty_url: str, parameters: ReportParameters) -> None:
    database = SqlDatabase(empty_url, DatabaseSettings())
    found = await document(Reporter(SqlReportSnapshots(database)), parameters)
    await database.close()
    assert found["rows"] == []
    assert set(found["summary"].values()) == {0}


async def test_all_that_is_asked_of_a_snapshot_is_of_one_moment(database: SqlDatabase, ledger: Ledger) -> None:
    product, location = await ledger.stocked(5)
    asked = StockAsOf(product_id=product.id)
    async with SqlReportSnapshots(database)() as reports:
        [[before]] = [rows async for rows in reports.stock_as_of(asked, utc_now())]
        await ledger.ship(line(product, 3, location))
        [[meanwhile]] = [rows async for rows in reports.stock_as_of(asked, utc_now())]
    async with SqlReportSnapshots(database)() as reports:
        [[after]] = [rows async for rows in reports.stock_as_of(asked, utc_now())]
    assert (before.on_hand, meanwhile.on_hand, after.on_hand) == (5, 5, 2)


async def test_a_report_that_is_given_up_gives_its_snapshot_back(database: SqlDatabase, ledger: Ledger) -> None:
    await ledger.stocked(5)
    for _ in range(2 * SNAPSHOTS):
        pieces = Reporter(SqlReportSnapshots(database)).run(ReportKind.STOCK_AS_OF, StockAsOf(), ReportFormat.CSV)
        assert await anext(pieces)
        await pieces.aclose()


class TestStockAsOf:
    async def test_what_happened_is_told_from_what_was_written(self, ledger: Ledger, reporter: Reporter) -> None:
        product, location = await ledger.product(), await ledger.location()
        await ledger.receive(line(product, 7, location), occurred_at=ago(30))
        happened = StockAsOf(ago(29), product_id=product.id)
        written = StockAsOf(ago(29), ReportClock.RECORDED, product_id=product.id)
        assert (await row_of(reporter, happened, product))["on_hand"] == 7
        assert await rows_of(reporter, written, product) == []

    async def test_a_reversal_counts_from_when_it_happened(self, ledger: Ledger, reporter: Reporter) -> None:
        product, location = await ledger.product(), await ledger.location()
        received = await ledger.receive(line(product, 7, location), occurred_at=ago(30))
        await ledger.reverse(received.command_id)
        assert (await row_of(reporter, StockAsOf(ago(29)), product))["on_hand"] == 7
        assert await rows_of(reporter, StockAsOf(), product) == []
        assert (await row_of(reporter, StockAsOf(include_zero=True), product))["on_hand"] == 0


class TestMovementSummary:
    async def test_a_transfer_is_in_and_out(self, ledger: Ledger, reporter: Reporter) -> None:
        product, location = await ledger.stocked(9)
        await ledger.transfer(move(product, 4, location, await ledger.location()))
        found = await document(reporter, MovementSummary(ago(2), utc_now() + DAY, product_id=product.id))
        told = {row["kind"]: (row["movements"], row["units_in"], row["units_out"], row["net"]) for row in found["rows"]}
        assert told == {"receipt": (1, 9, 0, 9), "transfer": (2, 4, 4, 0)}

    async def test_a_day_ends_at_midnight_in_utc(self, ledger: Ledger, reporter: Reporter) -> None:
        product, location = await ledger.product(), await ledger.location()
        midnight = datetime(2026, 3, 29, tzinfo=timezone(timedelta(hours=2)))
        for moment in (midnight, datetime(2026, 3, 29, tzinfo=UTC), datetime(2026, 3, 30, tzinfo=UTC)):
            await ledger.receive(line(product, 1, location), occurred_at=moment)
        found = await document(
            reporter, MovementSummary(midnight, datetime(2026, 3, 30, tzinfo=UTC), product_id=product.id)
        )
        assert [row["day"] for row in found["rows"]] == ["2026-03-28", "2026-03-29"]


class TestLowStock:
    async def test_only_what_was_shipped_is_outflow(self, ledger: Ledger, reporter: Reporter) -> None:
        product, location = await ledger.stocked(100, reorder_point=80)
        await ledger.ship(line(product, 14, location), occurred_at=ago(27))
        await ledger.ship(line(product, 1, location), occurred_at=ago(29))
        await ledger.transfer(move(product, 9, location, await ledger.location()))
        await ledger.adjust(line(product, -9, location), reason="damaged")
        mistaken = await ledger.ship(line(product, 30, location))
        await ledger.reverse(mistaken.command_id)
        await ledger.confirm(await ledger.reserve(line(product, 14, location)))
        row = await row_of(reporter, LowStock(), product)
        assert (row["on_hand"], row["available"], row["outflow"]) == (62, 62, 28)
        assert (row["daily_outflow"], row["days_of_cover"]) == (1.0, 62.0)

    async def test_a_reversal_that_was_reversed_has_not_happened(self, ledger: Ledger, reporter: Reporter) -> None:
        product, location = await ledger.stocked(10, reorder_point=10)
        shipped = await ledger.ship(line(product, 4, location))
        reversal = await ledger.reverse(shipped.command_id)
        assert (await row_of(reporter, LowStock(), product))["outflow"] == 0
        again = await ledger.reverse(reversal.command_id)
        assert (await row_of(reporter, LowStock(), product))["outflow"] == 4
        await ledger.reverse(again.command_id)
        assert (await row_of(reporter, LowStock(), product))["outflow"] == 0

    async def test_what_is_reserved_is_not_available_until_its_time_is_over(
        self, ledger: Ledger, reporter: Reporter
    ) -> None:
        product, location = await ledger.stocked(10, reorder_point=4)
        assert await rows_of(reporter, LowStock(), product) == []
        reservation = await ledger.reserve(line(product, 6, location))
        row = await row_of(reporter, LowStock(), product)
        assert (row["on_hand"], row["reserved"], row["available"], row["days_of_cover"]) == (10, 6, 4, None)
        await ledger.lapse(reservation)
        assert await rows_of(reporter, LowStock(), product) == []

    async def test_plenty_elsewhere_does_not_help_a_warehouse(self, ledger: Ledger, reporter: Reporter) -> None:
        product, here = await ledger.stocked(3, reorder_point=5)
        there = await ledger.location()
        await ledger.receive(line(product, 50, there))
        assert await rows_of(reporter, LowStock(), product) == []
        row = await row_of(reporter, LowStock(by_warehouse=True), product)
        assert (row["warehouse_id"], row["available"]) == (str(here.warehouse_id), 3)
        assert await rows_of(reporter, LowStock(warehouse_id=there.warehouse_id), product) == []

    async def test_what_never_came_in_is_low_and_what_is_archived_is_not(
        self, ledger: Ledger, reporter: Reporter
    ) -> None:
        never, archived = await ledger.product(reorder_point=0), await ledger.product(reorder_point=0)
        unwatched = await ledger.product()
        await ledger.archive(archived)
        assert (await row_of(reporter, LowStock(), never))["available"] == 0
        assert await rows_of(reporter, LowStock(), archived) == await rows_of(reporter, LowStock(), unwatched) == []


class TestStockAgeing:
    async def test_first_in_goes_first_out(self, ledger: Ledger, reporter: Reporter) -> None:
        product, location = await ledger.product(), await ledger.location()
        for days, units in ((200, 10), (100, 10), (70, 10), (10, 10)):
            await ledger.receive(line(product, units, location), occurred_at=ago(days))
        # Written last, and of long ago: what is left is what came in latest all the same.
        await ledger.ship(line(product, 15, location), occurred_at=ago(150))
        row = await row_of(reporter, StockAgeing(), product)
        assert (row["on_hand"], ages(row)) == (25, [10, 0, 10, 5, 0])

    async def test_moving_within_a_warehouse_keeps_the_age_and_into_another_begins_anew(
        self, ledger: Ledger, reporter: Reporter
    ) -> None:
        home, other = await ledger.warehouse(), await ledger.location()
        product, shelf, bin = await ledger.product(), await ledger.location(home), await ledger.location(home)
        await ledger.receive(line(product, 10, shelf), occurred_at=ago(100))
        await ledger.transfer(move(product, 6, shelf, bin), move(product, 2, shelf, other), occurred_at=ago(5))
        rows = await rows_of(reporter, StockAgeing(), product)
        assert {row["warehouse_id"]: ages(row) for row in rows} == {
            str(home.id): [0, 0, 0, 8, 0],
            str(other.warehouse_id): [2, 0, 0, 0, 0],
        }

    async def test_what_was_reversed_never_came_in(self, ledger: Ledger, reporter: Reporter) -> None:
        product, location = await ledger.product(), await ledger.location()
        await ledger.receive(line(product, 10, location), occurred_at=ago(100))
        mistaken = await ledger.receive(line(product, 10, location), occurred_at=ago(1))
        await ledger.reverse(mistaken.command_id)
        shipped = await ledger.ship(line(product, 4, location), occurred_at=ago(1))
        await ledger.reverse(shipped.command_id)
        assert ages(await row_of(reporter, StockAgeing(), product)) == [0, 0, 0, 10, 0]

    async def test_lots_have_ages_of_their_own_and_expire(self, ledger: Ledger, reporter: Reporter) -> None:
        product, location, today = await ledger.tracked(), await ledger.location(), utc_now().date()
        for lot, days, expires_on in (
            ("old", 100, today - DAY),
            ("new", 1, today + 30 * DAY),
            ("keeps", 1, today + 31 * DAY),
            ("forever", 1, None),
        ):
            await ledger.receive(line(product, 10, location, lot, expires_on), occurred_at=ago(days))
        await ledger.ship(line(product, 9, location, "new"))
        row = await row_of(reporter, StockAgeing(), product)
        assert (row["on_hand"], ages(row), row["expired"], row["expiring"]) == (31, [21, 0, 0, 10, 0], 10, 1)

    async def test_overdrawn_stock_has_no_age(self, ledger: Ledger, reporter: Reporter) -> None:
        product = await ledger.overdrawable()
        await ledger.ship(line(product, 3, await ledger.location()))
        assert await rows_of(reporter, StockAgeing(), product) == []


class TestAbcAnalysis:
    async def test_archived_products_count_where_they_were_shipped(self, ledger: Ledger, reporter: Reporter) -> None:
        (sold, location), (kept, _) = await ledger.stocked(9), await ledger.stocked(9)
        await ledger.ship(line(sold, 9, location))
        await ledger.archive(sold)
        await ledger.archive(kept)
        here = AbcAnalysis(ago(1), utc_now() + DAY, warehouse_id=location.warehouse_id)
        row = await row_of(reporter, here, sold)
        assert (row["rank"], row["units"], row["cumulative_percent"], row["abc_class"]) == (1, 9, 100.0, "A")
        assert await rows_of(reporter, here, kept) == []


class TestDeadStock:
    async def test_moving_it_about_does_not_make_it_alive(self, ledger: Ledger, reporter: Reporter) -> None:
        product, location, other = await ledger.product(), await ledger.location(), await ledger.location()
        await ledger.receive(line(product, 10, location), occurred_at=ago(300))
        await ledger.ship(line(product, 1, location), occurred_at=ago(100))
        mistaken = await ledger.ship(line(product, 1, location))
        await ledger.reverse(mistaken.command_id)
        await ledger.transfer(move(product, 4, location, other))
        row = await row_of(reporter, DeadStock(), product)
        assert (row["on_hand"], row["days_since_outflow"]) == (9, 100)
        assert row["last_receipt_at"] < row["last_outflow_at"]
        assert await rows_of(reporter, DeadStock(idle_days=101), product) == []

    async def test_what_sells_in_one_warehouse_may_be_dead_in_another(self, ledger: Ledger, reporter: Reporter) -> None:
        product, location = await ledger.stocked(10)
        other = await ledger.location()
        await ledger.receive(line(product, 5, other), occurred_at=ago(300))
        await ledger.ship(line(product, 1, location))
        assert await rows_of(reporter, DeadStock(), product) == []
        row = await row_of(reporter, DeadStock(by_warehouse=True), product)
        assert (row["warehouse_id"], row["on_hand"]) == (str(other.warehouse_id), 5)
        assert (row["last_outflow_at"], row["days_since_outflow"]) == (None, None)


async def test_the_scan_counts_what_the_report_of_low_stock_lists(
    ledger: Ledger, reporter: Reporter, database: SqlDatabase
) -> None:
    scan = LowStockScan(SqlReportSnapshots(database))
    before = await scan.run()
    await ledger.product(reorder_point=1)
    assert await scan.run() == before + 1 == len((await document(reporter, LowStock()))["rows"])
    assert metrics.products_low._value.get() == before + 1
