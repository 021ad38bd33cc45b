"""The unit of work over SQLAlchemy."""

from collections.abc import Awaitable, Callable, Collection
from contextlib import AsyncExitStack
from functools import cached_property
from types import TracebackType
from typing import Self

from warehouse.auth.sql import SqlApiKeyRepository
from warehouse.catalogue.sql import SqlProductRepository
from warehouse.commands.sql import SqlCommandRepository
from warehouse.errors import ConnectionLost, OutcomeUnknown, Unavailable, WarehouseError
from warehouse.locations.sql import SqlLocationRepository, SqlWarehouseRepository
from warehouse.resilience.budget import RetryBudget
from warehouse.stock.sql import SqlStockRepository
from warehouse.stock.sql_reservations import SqlReservationRepository
from warehouse.storage.connection import Connection
from warehouse.storage.database import SqlDatabase
from warehouse.storage.failures import translate
from warehouse.tasks.sql import SqlTaskRepository

BUDGET_RATIO = 0.2
BUDGET_FLOOR = 20
"""Replays of transactions whose connection broke: so many per transaction, and so many on top. A server that closes
all connections at once costs a whole pool of them."""

Release = Callable[[Collection[str]], Awaitable[None]]
"""Makes sure that nobody reads from a cache what has these tags and was there before."""


async def nothing_cached(_: Collection[str]) -> None:
    """For databases in front of which there is no cache."""


class SqlUnitOfWork:
    """See `warehouse.unit_of_work.UnitOfWork`. One use each.

    The repositories collect the tags of what they write. They are released at the end, after a commit whose outcome is
    not known as well.
    """

    def __init__(self, database: SqlDatabase, release: Release, budget: RetryBudget, *, read_only: bool) -> None:
        self._database = database
        self._release = release
        self._budget = budget
        self._read_only = read_only
        self._stack = AsyncExitStack()
        self._connection: Connection
        self._tags: set[str] = set()
        self._releasing = False

    @cached_property
    def api_keys(self) -> SqlApiKeyRepository:
        return SqlApiKeyRepository(self._connection)

    @cached_property
    def commands(self) -> SqlCommandRepository:
        return SqlCommandRepository(self._connection, self._tags)

    @cached_property
    def products(self) -> SqlProductRepository:
        return SqlProductRepository(self._connection, self._tags.update)

    @cached_property
    def warehouses(self) -> SqlWarehouseRepository:
        return SqlWarehouseRepository(self._connection, self._tags.update)

    @cached_property
    def locations(self) -> SqlLocationRepository:
        return SqlLocationRepository(self._connection, self._tags.update)

    @cached_property
    def stock(self) -> SqlStockRepository:
        return SqlStockRepository(self._connection, self._tags.update)

    @cached_property
    def reservations(self) -> SqlReservationRepository:
        return SqlReservationRepository(self._connection, self._tags.update)

    @cached_property
    def tasks(self) -> SqlTaskRepository:
        return SqlTaskRepository(self._connection)

    async def __aenter__(self) -> Self:
        self._budget.earn()
        try:
            self._connection = await self._stack.enter_async_context(self._database.connect(read_only=self._read_only))
        except Exception as error:
            raise self._translated(error) or error from error
        return self

    def release(self, tags: Collection[str]) -> None:
        self._tags.update(tags)
        self._releasing = True

    async def commit(self) -> None:
        if self._read_only:
            raise RuntimeError("a read-only unit of work has nothing to commit")
        self._releasing = True
        try:
            await self._connection.commit()
        except Exception as error:
            translated = self._translated(error)
            if isinstance(translated, ConnectionLost):
                raise OutcomeUnknown("It is not known whether this has been done.") from error
            raise translated or error from error

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            await self._close(kind, error, trace)
        finally:
            if self._releasing and self._tags:
                await self._release(self._tags)
        if error is not None and (translated := self._translated(error)):
            raise translated from error

    async def _close(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Closing the connection rolls back what was not committed."""
        try:
            await self._stack.__aexit__(kind, error, trace)
        except Exception as failure:
            if error is None:
                raise self._translated(failure) or failure from failure

    def _translated(self, error: BaseException) -> WarehouseError | None:
        """Only as many transactions as the budget has are to be replayed because their connection broke."""
        translated = translate(error)
        if isinstance(translated, ConnectionLost) and not self._budget.spend():
            return Unavailable("The database does not answer.")
        return translated


class SqlUnitOfWorkFactory:
    def __init__(self, database: SqlDatabase, release: Release = nothing_cached) -> None:
        self._database = database
        self._release = release
        self._budget = RetryBudget(BUDGET_RATIO, BUDGET_FLOOR)

    def __call__(self, *, read_only: bool = False) -> SqlUnitOfWork:
        return SqlUnitOfWork(self._database, self._release, self._budget, read_only=read_only)
