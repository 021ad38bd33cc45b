"""The reports over SQLAlchemy."""

import contextlib
from collections.abc import AsyncIterator, Callable, Sequence
from datetime import datetime
from typing import Any, TypeVar

from sqlalchemy import Row, Select

from warehouse.exchange import sql_report_queries as queries
from warehouse.exchange.report_arithmetic import daily_outflow, days_of_cover, whole_days
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
from warehouse.exchange.report_repository import Batches
from warehouse.stock.model import MovementKind
from warehouse.storage.connection import Connection
from warehouse.storage.database import SqlDatabase
from warehouse.storage.failures import translate

T = TypeVar("T")

# Sums are fractions without digits on MySQL and PostgreSQL: hence int().


class SqlReportRepository:
    """See `ReportRepository`."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def stock_as_of(self, parameters: StockAsOf, at: datetime) -> Batches[StockAsOfRow]:
        return self._each(queries.stock_as_of(parameters, at), at, _stock_as_of)

    def movement_summary(self, parameters: MovementSummary, at: datetime) -> Batches[MovementSummaryRow]:
        return self._each(queries.movement_summary(parameters, at), at, _movement_summary)

    def low_stock(self, parameters: LowStock, at: datetime) -> Batches[LowStockRow]:
        return self._each(queries.low_stock(parameters, at), at, lambda row: _low_stock(row, parameters.outflow_days))

    def lot_ages(self, parameters: StockAgeing, at: datetime) -> Batches[LotAge]:
        names = queries.arrival_names(parameters.buckets)
        return self._each(queries.lot_ages(parameters, at), at, lambda row: _lot_age(row, names))

    def shipped(self, parameters: AbcAnalysis, at: datetime) -> Batches[Shipped]:
        return self._each(queries.shipped(parameters, at), at, _shipped)

    def dead_stock(self, parameters: DeadStock, at: datetime) -> Batches[DeadStockRow]:
        return self._each(queries.dead_stock(parameters, at), at, lambda row: _dead_stock(row, at))

    async def _each(self, statement: Select[Any], at: datetime, read: Callable[[Any], T]) -> Batches[T]:
        rows = self._connection.stream(statement, {"at": at})
        async with contextlib.aclosing(rows):
            async for batch in rows:
                yield [read(row) for row in batch]


class SqlReportSnapshots:
    def __init__(self, database: SqlDatabase) -> None:
        self._database = database

    @contextlib.asynccontextmanager
    async def __call__(self) -> AsyncIterator[SqlReportRepository]:
        try:
            async with self._database.snapshot() as connection:
                yield SqlReportRepository(connection)
        except Exception as error:
            if translated := translate(error):
                raise translated from error
            raise


def _stock_as_of(row: Row[Any]) -> StockAsOfRow:
    return StockAsOfRow(
        product_id=row.product_id,
        sku=row.sku,
        name=row.name,
        warehouse_id=row.warehouse_id,
        warehouse=row.warehouse,
        location_id=row.location_id,
        location=row.location,
        lot=row.lot,
        expires_on=row.expires_on,
        on_hand=int(row.on_hand),
    )


def _movement_summary(row: Row[Any]) -> MovementSummaryRow:
    units_in, units_out = int(row.units_in), int(row.units_out)
    return MovementSummaryRow(
        row.day, MovementKind(row.kind), row.movements, units_in, units_out, net=units_in - units_out
    )


def _low_stock(row: Row[Any], days: int) -> LowStockRow:
    on_hand, reserved, outflow = int(row.on_hand), int(row.reserved), int(row.outflow)
    available = on_hand - reserved
    return LowStockRow(
        product_id=row.product_id,
        sku=row.sku,
        name=row.name,
        **_place(row),
        on_hand=on_hand,
        reserved=reserved,
        available=available,
        reorder_point=row.reorder_point,
        outflow=outflow,
        daily_outflow=daily_outflow(outflow, days),
        days_of_cover=days_of_cover(available, outflow, days),
    )


def _lot_age(row: Row[Any], arrivals: Sequence[str]) -> LotAge:
    return LotAge(
        product_id=row.product_id,
        sku=row.sku,
        name=row.name,
        warehouse_id=row.warehouse_id,
        warehouse=row.warehouse,
        on_hand=int(row.on_hand),
        expires_on=row.expires_on,
        arrived=[int(row._mapping[name]) for name in arrivals],
    )


def _shipped(row: Row[Any]) -> Shipped:
    return Shipped(row.product_id, row.sku, row.name, int(row.units), int(row.movements), int(row.total))


def _dead_stock(row: Row[Any], at: datetime) -> DeadStockRow:
    last = row.last_outflow_at
    return DeadStockRow(
        product_id=row.product_id,
        sku=row.sku,
        name=row.name,
        **_place(row),
        on_hand=int(row.on_hand),
        last_outflow_at=last,
        days_since_outflow=None if last is None else whole_days(at - last),
        last_receipt_at=row.last_receipt_at,
    )


def _place(row: Row[Any]) -> dict[str, Any]:
    """None where the row is of all warehouses together."""
    return {name: row._mapping.get(name) for name in ("warehouse_id", "warehouse")}
