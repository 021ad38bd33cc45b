"""Reports: each of one snapshot of the ledger, written row by row."""

import contextlib
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import datetime
from typing import Any, TypeAlias

from warehouse.clock import utc_now
from warehouse.exchange.report_arithmetic import Ageing, Ranking, bucket_labels
from warehouse.exchange.report_model import (
    AbcAnalysis,
    AbcRow,
    DeadStockRow,
    LowStockRow,
    MovementSummaryRow,
    ReportFormat,
    ReportKind,
    ReportParameters,
    ReportRow,
    StockAgeing,
    StockAgeingRow,
    StockAsOfRow,
)
from warehouse.exchange.report_repository import Batches, ReportRepository, ReportSnapshots
from warehouse.exchange.report_writing import WRITERS, ReportHead

Progress = Callable[[int], None]
"""Is told after every piece how many rows are written."""


class Reporter:
    def __init__(self, snapshots: ReportSnapshots, now: Callable[[], datetime] = utc_now) -> None:
        self._snapshots = snapshots
        self._now = now

    async def run(
        self,
        kind: ReportKind,
        parameters: ReportParameters,
        format: ReportFormat,
        progress: Progress | None = None,
    ) -> AsyncGenerator[bytes, None]:
        """The report piece by piece, in flat memory: a JSON object, or CSV. The parameters are those of the kind.

        The snapshot is held until the iterator is exhausted or closed. Raises `Unavailable` and `TransactionConflict`
        as `ReportSnapshots` does; what came before is then worth nothing.
        """
        report, done = _REPORTS[kind], 0
        async with self._snapshots() as reports:
            # Before the first question: whatever was written by then is in the snapshot.
            at = self._now()
            writer = WRITERS[format](_head(kind, parameters, at))
            piece = writer.head()
            rows = report.rows(reports, parameters, at)
            async with contextlib.aclosing(rows):
                async for batch in rows:
                    yield piece + writer.body(batch)
                    piece, done = b"", done + len(batch)
                    if progress:
                        progress(done)
        yield piece + writer.tail()


Rows: TypeAlias = Callable[[ReportRepository, Any, datetime], Batches[ReportRow]]


@dataclass(frozen=True, slots=True)
class _Report:
    """`sums` are what its summary adds up beside the rows."""

    row: type[Any]
    sums: Sequence[str]
    rows: Rows


async def _aged(reports: ReportRepository, parameters: StockAgeing, at: datetime) -> Batches[StockAgeingRow]:
    ageing = Ageing(parameters, at.date())
    lots = reports.lot_ages(parameters, at)
    async with contextlib.aclosing(lots):
        async for batch in lots:
            if rows := list(ageing.take(batch)):
                yield rows
    if rows := list(ageing.rest()):
        yield rows


async def _ranked(reports: ReportRepository, parameters: AbcAnalysis, at: datetime) -> Batches[AbcRow]:
    ranking = Ranking(parameters)
    shipped = reports.shipped(parameters, at)
    async with contextlib.aclosing(shipped):
        async for batch in shipped:
            yield [ranking.row(each) for each in batch]


_REPORTS: Mapping[ReportKind, _Report] = {
    ReportKind.STOCK_AS_OF: _Report(
        StockAsOfRow, ("on_hand",), lambda reports, asked, at: reports.stock_as_of(asked, at)
    ),
    ReportKind.MOVEMENT_SUMMARY: _Report(
        MovementSummaryRow,
        ("movements", "units_in", "units_out", "net"),
        lambda reports, asked, at: reports.movement_summary(asked, at),
    ),
    ReportKind.LOW_STOCK: _Report(
        LowStockRow, ("out_of_stock",), lambda reports, asked, at: reports.low_stock(asked, at)
    ),
    ReportKind.STOCK_AGEING: _Report(StockAgeingRow, ("on_hand", "expired", "expiring"), _aged),
    ReportKind.ABC_ANALYSIS: _Report(AbcRow, ("units", "movements", "class_a", "class_b", "class_c"), _ranked),
    ReportKind.DEAD_STOCK: _Report(
        DeadStockRow, ("on_hand",), lambda reports, asked, at: reports.dead_stock(asked, at)
    ),
}


def _head(kind: ReportKind, parameters: ReportParameters, at: datetime) -> ReportHead:
    report = _REPORTS[kind]
    columns, sums = [field.name for field in fields(report.row)], [*report.sums]
    if isinstance(parameters, StockAgeing):
        labels, place = bucket_labels(parameters.buckets), columns.index("ages")
        columns[place : place + 1] = labels
        sums[1:1] = labels
    return ReportHead(kind, parameters, at, columns, sums)
