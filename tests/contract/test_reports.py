"""Every report against the same worked out movement by movement in Python, on every database."""

import csv
import io
import math
from collections.abc import AsyncIterator, Sequence
from datetime import timedelta
from typing import Any

import orjson
import pytest

from tests.conftest import FreshDatabase
from tests.contract.random_ledger import DAY, NOW, RandomLedger
from tests.contract.report_reference import KINDS, Reference, Rows
from tests.servers import Backend
from warehouse.exchange.report_arithmetic import bucket_labels
from warehouse.exchange.report_model import (
    AbcAnalysis,
    AbcMeasure,
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
from warehouse.exchange.sql_reports import SqlReportSnapshots
from warehouse.settings import DatabaseSettings
from warehouse.storage.database import SqlDatabase
from warehouse.storage.migrations import migrate

SEEDS = (1, 2)
COMMANDS = 400
US = timedelta(microseconds=1)
SUMMED: dict[ReportKind, Sequence[str]] = {
    ReportKind.STOCK_AS_OF: ["on_hand"],
    ReportKind.MOVEMENT_SUMMARY: ["movements", "units_in", "units_out", "net"],
    ReportKind.LOW_STOCK: ["out_of_stock"],
    ReportKind.STOCK_AGEING: ["on_hand", "expired", "expiring"],
    ReportKind.ABC_ANALYSIS: ["units", "movements", "class_a", "class_b", "class_c"],
    ReportKind.DEAD_STOCK: ["on_hand"],
}
RECORDED = ReportClock.RECORDED


async def report(
    database: SqlDatabase, parameters: ReportParameters, format: ReportFormat = ReportFormat.JSON
) -> tuple[bytes, int]:
    """The file, and how many rows its progress told of."""
    told = [0]
    pieces = Reporter(SqlReportSnapshots(database), lambda: NOW).run(
        KINDS[type(parameters)], parameters, format, told.append
    )
    return b"".join([piece async for piece in pieces]), told[-1]


async def document(database: SqlDatabase, parameters: ReportParameters) -> Any:
    content, told = await report(database, parameters)
    found = orjson.loads(content)
    assert found["summary"]["rows"] == len(found["rows"]) == told
    return found


@pytest.fixture(scope="module", params=SEEDS)
def random_ledger(request: pytest.FixtureRequest) -> RandomLedger:
    return RandomLedger.grown(request.param, COMMANDS)


@pytest.fixture(scope="module")
def migrated_url(backend: Backend, fresh_database: FreshDatabase, random_ledger: RandomLedger) -> str:
    """A database for each ledger."""
    url = fresh_database(backend)
    migrate(url)
    return url


@pytest.fixture(scope="module")
async def database(migrated_url: str, random_ledger: RandomLedger) -> AsyncIterator[SqlDatabase]:
    database = SqlDatabase(migrated_url, DatabaseSettings())
    await random_ledger.write(database)
    yield database
    await database.close()


@pytest.fixture
def reference(random_ledger: RandomLedger) -> Reference:
    return Reference(random_ledger)


def as_sent(rows: Rows) -> Any:
    return orjson.loads(orjson.dumps(rows, option=orjson.OPT_UTC_Z))


ROUNDED = {"days_of_cover": 0.05, "daily_outflow": 0.00005, "share_percent": 0.00005, "cumulative_percent": 0.00005}


def same(name: str, found: Any, expected: Any) -> bool:
    if name in ROUNDED and None not in (found, expected):
        return math.isclose(found, expected, abs_tol=ROUNDED[name] + 1e-9)
    return bool(found == expected)


def assert_rows(found: Rows, expected: Rows) -> None:
    for mine, theirs in zip(found, as_sent(expected), strict=True):
        assert list(mine) == list(theirs)
        for name, value in theirs.items():
            assert same(name, mine[name], value), (name, mine, theirs)


def asked_of(ledger: RandomLedger) -> dict[str, ReportParameters]:
    """Moments at which something happened, and those just before and after, are those that matter."""
    place, product = ledger.warehouses[1]["id"], ledger.products[4]["id"]
    edge = ledger.movements[7]["occurred_at"]
    month = NOW - 30 * DAY
    return {
        "now": StockAsOf(),
        "then": StockAsOf(edge),
        "just before": StockAsOf(edge - US),
        "before everything": StockAsOf(NOW - 1000 * DAY),
        "as known then": StockAsOf(ledger.movements[9]["recorded_at"], RECORDED),
        "as known just before": StockAsOf(ledger.movements[9]["recorded_at"] - US, RECORDED),
        "with zeros": StockAsOf(edge, include_zero=True),
        "there": StockAsOf(edge, warehouse_id=place),
        "of this": StockAsOf(NOW, product_id=product),
        "month": MovementSummary(month),
        "history": MovementSummary(NOW - 1000 * DAY, NOW),
        "half open": MovementSummary(NOW - 90 * DAY, NOW - DAY),
        "nothing": MovementSummary(edge, edge),
        "month there": MovementSummary(month, NOW, warehouse_id=place),
        "month of this": MovementSummary(month, NOW, product_id=product),
        "low": LowStock(),
        "low by week": LowStock(outflow_days=7),
        "low by warehouse": LowStock(by_warehouse=True),
        "low there": LowStock(outflow_days=61, warehouse_id=place),
        "ages": StockAgeing(),
        "ages there": StockAgeing((0, 6, 365), expiring_days=1, warehouse_id=place),
        "abc": AbcAnalysis(NOW - 1000 * DAY),
        "abc half open": AbcAnalysis(NOW - 90 * DAY, NOW - DAY, AbcMeasure.MOVEMENTS),
        "abc there": AbcAnalysis(month, NOW, a_percent=50, b_percent=70, warehouse_id=place),
        "abc of nothing": AbcAnalysis(edge, edge),
        "dead": DeadStock(),
        "dead for a week": DeadStock(idle_days=7),
        "dead by warehouse": DeadStock(idle_days=28, by_warehouse=True),
        "dead there": DeadStock(idle_days=1, warehouse_id=place),
    }


NAMES = list(asked_of(RandomLedger.grown(SEEDS[0], 20)))


@pytest.mark.parametrize("name", NAMES)
async def test_says_what_the_movements_say(
    database: SqlDatabase, random_ledger: RandomLedger, reference: Reference, name: str
) -> None:
    parameters = asked_of(random_ledger)[name]
    kind = KINDS[type(parameters)]
    found = await document(database, parameters)
    expected = getattr(reference, kind)(parameters)
    assert (found["report"], found["as_of"]) == (kind, "2026-06-01T13:30:00.250000Z")
    assert_rows(found["rows"], expected)
    assert found["summary"] == summary(parameters, found["rows"])
    assert bool(expected) == (name not in ("before everything", "nothing"))


def summary(parameters: ReportParameters, rows: Rows) -> dict[str, int]:
    """What each member of a summary is to be, of the rows."""

    def total(name: str) -> int:
        if name == "rows":
            return len(rows)
        if name == "out_of_stock":
            return sum(row["available"] <= 0 for row in rows)
        if name.startswith("class_"):
            return sum(row["abc_class"] == name[-1].upper() for row in rows)
        return sum(row["ages"][name] if name.startswith("days_") else row[name] for row in rows)

    kind = KINDS[type(parameters)]
    names = [*SUMMED[kind], *(bucket_labels(parameters.buckets) if isinstance(parameters, StockAgeing) else ())]
    return {name: total(name) for name in ("rows", *names)}


@pytest.mark.parametrize("name", ["then", "month", "low", "low by warehouse", "ages", "abc", "dead"])
async def test_a_table_has_the_same_rows(database: SqlDatabase, random_ledger: RandomLedger, name: str) -> None:
    parameters = asked_of(random_ledger)[name]
    found = (await document(database, parameters))["rows"]
    content, told = await report(database, parameters, ReportFormat.CSV)
    header, *lines = csv.reader(io.StringIO(content.decode(), newline=""))
    flat = [{**{key: row[key] for key in row if key != "ages"}, **row.get("ages", {})} for row in found]
    assert set(header) == set(flat[0])
    assert len(header) == len(flat[0])
    assert told == len(lines)
    for line, row in zip(lines, flat, strict=True):
        assert line == [cell(row[column]) for column in header]


def cell(value: Any) -> str:
    """Some SKUs, names and lots here begin as formulas do."""
    if isinstance(value, str):
        return f"'{value}" if value[:1] in ("=", "@", "-") else value
    return "" if value is None else str(value)
