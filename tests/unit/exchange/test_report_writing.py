"""What reports look like on paper, and that making one takes no more memory the longer it is."""

import csv
import io
import tracemalloc
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, date, datetime, timedelta
from typing import Any, cast
from uuid import UUID

import orjson
import pytest

from warehouse.exchange.cells import neutralised
from warehouse.exchange.report_model import (
    ReportFormat,
    ReportKind,
    ReportParameters,
    StockAgeing,
    StockAsOf,
    StockAsOfRow,
)
from warehouse.exchange.report_repository import Batches, ReportRepository
from warehouse.exchange.reporting import Reporter

AT = datetime(2026, 6, 1, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
ID = UUID(int=7)


class Rows:
    """A repository that has so many rows of everything."""

    def __init__(self, count: int, sku: str = "S") -> None:
        self.left = count
        self.sku = sku
        self.is_open = False

    async def stock_as_of(self, _: StockAsOf, __: datetime) -> Batches[StockAsOfRow]:
        row = StockAsOfRow(ID, self.sku, "-name", ID, "W", ID, "L", None, date(2026, 7, 1), -3)
        while self.left:
            yield [row] * min(1000, self.left)
            self.left -= min(1000, self.left)

    async def lot_ages(self, _: StockAgeing, __: datetime) -> Batches[Any]:
        return
        yield

    @asynccontextmanager
    async def snapshot(self) -> AsyncIterator[ReportRepository]:
        self.is_open = True
        try:
            yield cast("ReportRepository", self)
        finally:
            self.is_open = False


async def written(rows: Rows, kind: ReportKind, parameters: ReportParameters, format: ReportFormat) -> bytes:
    pieces = Reporter(rows.snapshot, lambda: AT).run(kind, parameters, format)
    return b"".join([piece async for piece in pieces])


async def test_a_document_says_what_was_asked_and_as_of_when() -> None:
    content = await written(Rows(1), ReportKind.STOCK_AS_OF, StockAsOf(AT - HOUR), ReportFormat.JSON)
    assert orjson.loads(content) == {
        "report": "stock_as_of",
        "parameters": {
            "as_of": "2026-06-01T11:00:00Z",
            "clock": "occurred",
            "warehouse_id": None,
            "product_id": None,
            "include_zero": False,
        },
        "as_of": "2026-06-01T12:00:00Z",
        "summary": {"rows": 1, "on_hand": -3},
        "rows": [
            {
                "product_id": str(ID),
                "sku": "S",
                "name": "-name",
                "warehouse_id": str(ID),
                "warehouse": "W",
                "location_id": str(ID),
                "location": "L",
                "lot": None,
                "expires_on": "2026-07-01",
                "on_hand": -3,
            }
        ],
    }


async def test_a_table_is_of_rfc_4180_with_no_formulas() -> None:
    content = await written(Rows(1, '="\n'), ReportKind.STOCK_AS_OF, StockAsOf(), ReportFormat.CSV)
    header, line = csv.reader(io.StringIO(content.decode(), newline=""))
    assert ",".join(header) == (
        "product_id,sku,name,warehouse_id,warehouse,location_id,location,lot,expires_on,on_hand"
    )
    # A number is no formula, though it begins like one.
    assert line == [str(ID), "'=\"\n", "'-name", str(ID), "W", str(ID), "L", "", "2026-07-01", "-3"]
    assert content.endswith(b"-3\r\n")


async def test_without_rows_there_is_all_the_rest() -> None:
    ageing = StockAgeing(buckets=(7,))
    table = await written(Rows(0), ReportKind.STOCK_AGEING, ageing, ReportFormat.CSV)
    assert table == (b"product_id,sku,name,warehouse_id,warehouse,on_hand,days_0_7,days_8_up,expired,expiring\r\n")
    document = orjson.loads(await written(Rows(0), ReportKind.STOCK_AGEING, ageing, ReportFormat.JSON))
    zeros = dict.fromkeys(["rows", "on_hand", "days_0_7", "days_8_up", "expired", "expiring"], 0)
    assert (document["rows"], document["summary"]) == ([], zeros)


@pytest.mark.parametrize("format", ReportFormat)
async def test_a_long_report_needs_no_more_memory_than_a_short_one(format: ReportFormat) -> None:
    async def peak(count: int) -> int:
        tracemalloc.start()
        async for _ in Reporter(Rows(count).snapshot).run(ReportKind.STOCK_AS_OF, StockAsOf(), format):
            pass
        _, highest = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        return highest

    assert await peak(40_000) < 1.5 * await peak(4_000)


async def test_progress_tells_how_many_rows_are_written() -> None:
    told: list[int] = []
    pieces = Reporter(Rows(2500).snapshot).run(ReportKind.STOCK_AS_OF, StockAsOf(), ReportFormat.CSV, told.append)
    assert len([piece async for piece in pieces]) == 4
    assert told == [1000, 2000, 2500]


async def test_the_snapshot_is_given_back_where_nobody_reads_on() -> None:
    rows = Rows(5000)
    pieces = Reporter(rows.snapshot).run(ReportKind.STOCK_AS_OF, StockAsOf(), ReportFormat.JSON)
    await anext(pieces)
    assert rows.is_open
    await pieces.aclose()
    assert not rows.is_open


@pytest.mark.parametrize("text", ["=1+1", "+1", "-1", "@SUM(A1)", "\tx", "\rx"])
def test_what_a_spreadsheet_would_compute_is_neutralised(text: str) -> None:
    assert neutralised(text) == f"'{text}"


@pytest.mark.parametrize("text", ["", "bread", "a=b", " =1", "1-2"])
def test_other_texts_stay_as_they_are(text: str) -> None:
    assert neutralised(text) == text
