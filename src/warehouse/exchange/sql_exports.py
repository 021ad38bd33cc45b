"""Snapshots over SQLAlchemy. Rows are found as the lists find them, see `warehouse.catalogue.sql` and
`warehouse.stock.sql_reading`, but without pages."""

from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, aclosing, asynccontextmanager, contextmanager
from datetime import datetime
from functools import cache
from typing import Any

from sqlalchemy import Select, func, select

from warehouse.catalogue import sql as catalogue
from warehouse.catalogue.model import ProductFilter
from warehouse.clock import utc_now
from warehouse.stock import sql_reading as stock
from warehouse.stock.model import BalanceFilter, MovementFilter
from warehouse.storage.connection import Connection
from warehouse.storage.database import SqlDatabase
from warehouse.storage.dialects import joined_as_written
from warehouse.storage.failures import translate
from warehouse.storage.paging import in_order
from warehouse.storage.tables import movements, products

BATCH = 1000
"""Rows."""

_FIRST = select(products.c.id).limit(1)
"""The snapshot is of the moment of its first statement."""


class SqlSnapshotFactory:
    def __init__(self, database: SqlDatabase) -> None:
        self._database = database

    @asynccontextmanager
    async def __call__(self) -> AsyncIterator["SqlSnapshot"]:
        async with AsyncExitStack() as stack:
            with _translated():
                connection = await stack.enter_async_context(self._database.snapshot())
                moment = utc_now()
                await connection.execute(_FIRST)
            yield SqlSnapshot(connection, moment)


class SqlSnapshot:
    """See `warehouse.exchange.repository.Snapshot`."""

    def __init__(self, connection: Connection, moment: datetime) -> None:
        self._connection = connection
        self.moment = moment

    def products(self, criteria: ProductFilter) -> "SqlSelection":
        dialect, (filters, parameters) = self._connection.dialect.name, catalogue.asked(criteria)
        found, rows = (catalogue.searched(each, criteria.q, dialect) for each in _products(dialect, filters))
        return SqlSelection(self._connection, found, rows, parameters)

    def balances(self, criteria: BalanceFilter) -> "SqlSelection":
        filters, parameters = stock.asked(criteria)
        return SqlSelection(self._connection, *_balances(filters), {**parameters, "at": self.moment})

    def movements(self, criteria: MovementFilter) -> "SqlSelection":
        filters, parameters = stock.asked(criteria)
        return SqlSelection(self._connection, *_movements(filters), parameters)


class SqlSelection:
    """See `warehouse.exchange.repository.Selection`."""

    def __init__(
        self, connection: Connection, found: Select[Any], rows: Select[str], parameters: Mapping[str, Any]
    ) -> None:
        self._connection = connection
        self._found = found
        self._rows = rows
        self._parameters = parameters

    async def count(self) -> int:
        with _translated():
            counted = select(func.count()).select_from(self._found.subquery())
            return int(await self._connection.scalar(counted, self._parameters) or 0)

    async def batches(self) -> AsyncGenerator[Sequence[str], None]:
        with _translated():
            async with aclosing(self._connection.stream(self._rows, self._parameters, size=BATCH)) as batches:
                async for rows in batches:
                    yield [text for (text,) in rows]


@cache
def _products(dialect: str, filters: catalogue.Filters) -> tuple[Select[Any], Select[str]]:
    found = catalogue.filtered(select(products.c.id), filters, dialect)
    rows = catalogue.filtered(select(catalogue.JSON), filters, dialect)
    return found, in_order(rows, catalogue.ORDERS["sku"], descending=False)


@cache
def _balances(filters: tuple[str, ...]) -> tuple[Select[Any], Select[str]]:
    found = stock.found_balances(filters)
    return found, _straight(stock.balance_rows(found), filters)


@cache
def _movements(filters: tuple[str, ...]) -> tuple[Select[Any], Select[str]]:
    found = stock.found_movements(filters)
    return found, _straight(stock.movement_rows(found, [movements.c.id], descending=False), filters)


def _straight(rows: Select[str], filters: tuple[str, ...]) -> Select[str]:
    """In the order of the rows' own table, unless it is by others that they are found."""
    return rows if {"sku", "low"} & set(filters) else joined_as_written(rows)


@contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except Exception as error:
        raise translate(error) or error from error
