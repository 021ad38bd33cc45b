"""Stock as of any moment is a replay of the ledger: the demo's receipts, and sales of them that came in any order."""

import io
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache
from random import Random
from typing import Any

import orjson
import pytest
from sqlalchemy import Row, select

from tests.conftest import FreshDatabase
from tests.servers import Backend
from warehouse.demo import DEMO_FILES
from warehouse.exchange.importing import Importer, ImportKind
from warehouse.exchange.reading import open_table
from warehouse.exchange.report_model import ReportClock, ReportFormat, ReportKind, StockAsOf
from warehouse.exchange.reporting import Reporter
from warehouse.exchange.sql_reports import SqlReportSnapshots
from warehouse.exchange.tables import ReadingLimits
from warehouse.exchange.tables import Row as FileRow
from warehouse.settings import DatabaseSettings
from warehouse.storage.database import SqlDatabase
from warehouse.storage.migrations import migrate
from warehouse.storage.sql import SqlUnitOfWorkFactory
from warehouse.storage.tables import movements

EACH = 24
"""One of so many of the demo's receipts."""
SALES = 6_000
MOMENTS = 20
SEED = 20170101
OPENING = datetime(2017, 1, 1, tzinfo=UTC)
Values = dict[str, Any]


def rows_of(kind: ImportKind) -> list[Values]:
    [file] = [each for each in DEMO_FILES if each.kind is kind]
    with file.open() as stream:
        return [dict(row.values) for row in open_table(stream, file.name, ReadingLimits()) if isinstance(row, FileRow)]


@cache
def demo_cut() -> dict[ImportKind, Sequence[Values]]:
    random = Random(SEED)  # noqa: S311 (not for secrets)
    receipts = rows_of(ImportKind.MOVEMENTS)[::EACH]
    skus = {receipt["sku"] for receipt in receipts}
    return {
        ImportKind.LOCATIONS: rows_of(ImportKind.LOCATIONS),
        ImportKind.PRODUCTS: [product for product in rows_of(ImportKind.PRODUCTS) if product["sku"] in skus],
        ImportKind.MOVEMENTS: [*receipts, *(sale(random, receipts) for _ in range(SALES))],
    }


def sale(random: Random, receipts: Sequence[Values]) -> Values:
    """Some are refused because nothing is left."""
    moment = OPENING + random.random() * timedelta(days=31)
    changed = {"timestamp": moment.isoformat(), "type": random.choice(["sale", "sale", "sale", "receipt"]), "qty": "1"}
    return {**random.choice(receipts), **changed}


@dataclass(frozen=True)
class Shop:
    database: SqlDatabase
    ledger: Sequence[Row[Any]]
    """Every movement."""

    async def on_hand(self, parameters: StockAsOf) -> dict[tuple[str, ...], int]:
        reporter = Reporter(SqlReportSnapshots(self.database))
        pieces = reporter.run(ReportKind.STOCK_AS_OF, parameters, ReportFormat.JSON)
        async with aclosing(pieces):
            found = orjson.loads(b"".join([piece async for piece in pieces]))
        return {(row["product_id"], row["location_id"], row["lot"] or ""): row["on_hand"] for row in found["rows"]}

    def replayed(self, clock: str, moment: datetime) -> dict[tuple[str, ...], int]:
        on_hand: Counter[tuple[str, ...]] = Counter()
        for each in self.ledger:
            if getattr(each, clock) <= moment:
                on_hand[str(each.product_id), str(each.location_id), each.lot] += each.delta
        return {key: units for key, units in on_hand.items() if units}


@pytest.fixture(scope="module")
def migrated_url(backend: Backend, fresh_database: FreshDatabase) -> str:
    url = fresh_database(backend)
    migrate(url)
    return url


@pytest.fixture(scope="module")
async def shop(migrated_url: str) -> AsyncIterator[Shop]:
    database = SqlDatabase(migrated_url, DatabaseSettings())
    importer = Importer(SqlUnitOfWorkFactory(database))
    for kind, rows in demo_cut().items():
        content = io.BytesIO(b"\n".join(map(orjson.dumps, rows)))
        report = await importer.run(kind, content, "cut.ndjson")
        assert report.rows == len(rows)
        assert all(error.code == "insufficient_stock" for error in report.errors)
    async with database.connect(read_only=True) as connection:
        ledger = (await connection.execute(select(movements))).all()
    assert len(ledger) > SALES // 2
    yield Shop(database, ledger)
    await database.close()


@pytest.mark.parametrize("clock", ReportClock)
async def test_stock_as_of_any_moment_is_a_replay_of_the_ledger(shop: Shop, clock: ReportClock) -> None:
    random = Random(SEED)  # noqa: S311 (not for secrets)
    column = f"{clock}_at"
    known = sorted({getattr(each, column) for each in shop.ledger})
    between = [known[0] + random.random() * (known[-1] - known[0]) for _ in range(MOMENTS // 2)]
    for moment in [*between, *random.choices(known, k=MOMENTS // 2)]:
        expected = shop.replayed(column, moment)
        assert await shop.on_hand(StockAsOf(moment, clock)) == expected, moment
        assert expected


async def test_stock_as_of_now_is_what_the_balances_say(shop: Shop) -> None:
    assert await shop.on_hand(StockAsOf()) == shop.replayed("recorded_at", datetime.now(UTC))
