"""The unit of work over SQLAlchemy."""

from contextlib import AsyncExitStack
from functools import cached_property
from types import TracebackType
from typing import Self

from sqlalchemy.ext.asyncio import AsyncConnection

from warehouse.auth.sql import SqlApiKeyRepository
from warehouse.catalogue.sql import SqlProductRepository
from warehouse.commands.sql import SqlCommandRepository
from warehouse.locations.sql import SqlLocationRepository, SqlWarehouseRepository
from warehouse.stock.sql import SqlStockRepository
from warehouse.stock.sql_reservations import SqlReservationRepository
from warehouse.storage.database import SqlDatabase
from warehouse.storage.failures import translate


class SqlUnitOfWork:
    """See `warehouse.unit_of_work.UnitOfWork`. One use each."""

    def __init__(self, database: SqlDatabase, *, read_only: bool) -> None:
        self._database = database
        self._read_only = read_only
        self._stack = AsyncExitStack()
        self._connection: AsyncConnection

    @cached_property
    def api_keys(self) -> SqlApiKeyRepository:
        return SqlApiKeyRepository(self._connection)

    @cached_property
    def commands(self) -> SqlCommandRepository:
        return SqlCommandRepository(self._connection)

    @cached_property
    def products(self) -> SqlProductRepository:
        return SqlProductRepository(self._connection)

    @cached_property
    def warehouses(self) -> SqlWarehouseRepository:
        return SqlWarehouseRepository(self._connection)

    @cached_property
    def locations(self) -> SqlLocationRepository:
        return SqlLocationRepository(self._connection)

    @cached_property
    def stock(self) -> SqlStockRepository:
        return SqlStockRepository(self._connection)

    @cached_property
    def reservations(self) -> SqlReservationRepository:
        return SqlReservationRepository(self._connection)

    async def __aenter__(self) -> Self:
        try:
            self._connection = await self._stack.enter_async_context(self._database.connect(read_only=self._read_only))
        except Exception as error:
            raise translate(error) or error from error
        return self

    async def commit(self) -> None:
        if self._read_only:
            raise RuntimeError("a read-only unit of work has nothing to commit")
        try:
            await self._connection.commit()
        except Exception as error:
            raise translate(error) or error from error

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        # Closing the connection rolls back what was not committed.
        try:
            await self._stack.__aexit__(kind, error, trace)
        except Exception as failure:
            if error is None:
                raise translate(failure) or failure from failure
        if error is not None and (translated := translate(error)):
            raise translated from error


class SqlUnitOfWorkFactory:
    def __init__(self, database: SqlDatabase) -> None:
        self._database = database

    def __call__(self, *, read_only: bool = False) -> SqlUnitOfWork:
        return SqlUnitOfWork(self._database, read_only=read_only)
