from collections.abc import AsyncGenerator, Sequence
from contextlib import AbstractAsyncContextManager
from datetime import datetime
from typing import Protocol, TypeAlias, TypeVar

from warehouse.exchange.report_model import (
    AbcAnalysis,
    DeadStock,
    DeadStockRow,
    LotAge,
    LowStock,
    LowStockRow,
    MovementSummary,
    MovementSummaryRow,
    Shipped,
    StockAgeing,
    StockAsOf,
    StockAsOfRow,
)

T = TypeVar("T")

Batches: TypeAlias = AsyncGenerator[Sequence[T], None]
"""Some rows at a time: they are never all in memory. Who does not exhaust it closes it."""


class ReportRepository(Protocol):
    """The ledger as of one moment, `at` in each of these. Quantities are whole base units.

    What was shipped are the movements of shipments and confirmed reservations but for those that were reversed. A
    reversal that was itself reversed has not happened. Products come by SKU, warehouses, locations and lots by code.
    """

    def stock_as_of(self, parameters: StockAsOf, at: datetime) -> Batches[StockAsOfRow]:
        """The sums of the movements up to and including the moment asked for, by product, warehouse, location, lot."""
        ...

    def movement_summary(self, parameters: MovementSummary, at: datetime) -> Batches[MovementSummaryRow]:
        """By day in UTC, and by kind. Days without a movement are left out."""
        ...

    def low_stock(self, parameters: LowStock, at: datetime) -> Batches[LowStockRow]:
        """Active products of which no more is available than their reorder point, by product and warehouse. In all
        warehouses together also those of which there never was any, in one only those that have been there.
        Reservations that have expired by `at` hold nothing."""
        ...

    def lot_ages(self, parameters: StockAgeing, at: datetime) -> Batches[LotAge]:
        """What is on hand, by product, warehouse, lot. What came in are receipts, gains of adjustments and counts, and
        transfers from other warehouses; nothing that was reversed, and no reversal."""
        ...

    def shipped(self, parameters: AbcAnalysis, at: datetime) -> Batches[Shipped]:
        """Most first in the measure asked for, then by SKU. Also active products of which nothing was shipped."""
        ...

    def dead_stock(self, parameters: DeadStock, at: datetime) -> Batches[DeadStockRow]:
        """What is on hand of products last shipped, there or anywhere, at least so many days before `at`, or never; by
        product and warehouse."""
        ...


class ReportSnapshots(Protocol):
    def __call__(self) -> AbstractAsyncContextManager[ReportRepository]:
        """Everything that is asked of one snapshot is answered as of one moment, that of the first question.
        Raises `Unavailable` where the database does not answer, and `TransactionConflict` where it gave the snapshot
        up: then ask again from the start."""
        ...
