"""What repositories have of a connection: statements, each of which goes by a policy."""

from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from typing import Any, TypeAlias, TypeVar

from sqlalchemy import Connection as SyncConnection
from sqlalchemy import CursorResult, Dialect, Executable, Row
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from warehouse.resilience import Policy, ResilienceError
from warehouse.storage.failures import is_lost

T = TypeVar("T")

Rows: TypeAlias = "CursorResult[*tuple[Any, ...]]"


class Calls:
    """To one engine. Where each statement `stands_alone`, as those that only read do, one whose connection is lost may
    be retried on another; in a transaction it may not."""

    def __init__(self, engine: AsyncEngine, policy: Policy, *, stands_alone: bool) -> None:
        self._engine = engine
        self._stands_alone = stands_alone
        self.open = policy.protects(self._open)
        self.on = policy.protects(self._on)

    async def close(self, connection: AsyncConnection) -> None:
        """Give it back to the pool, with nothing left uncommitted on it; a broken one is thrown away."""
        try:
            if not self._stands_alone and connection.in_transaction() and not connection.invalidated:
                await self.on(connection, connection.rollback)
        except (SQLAlchemyError, ResilienceError, OSError, RuntimeError):
            await connection.invalidate()
        finally:
            await connection.close()

    async def _open(self) -> AsyncConnection:
        return await self._engine.connect()

    async def _on(self, connection: AsyncConnection, call: Callable[..., Awaitable[T]], *arguments: Any) -> T:
        try:
            return await call(*arguments)
        except Exception as error:
            if self._stands_alone and is_lost(error):
                await connection.invalidate()
                # With nothing to roll back, this lets it take another.
                await connection.rollback()
            raise


class Connection:
    """Every method raises what SQLAlchemy raises, and `ResilienceError`. Where the deadline is over nothing is sent.

    `raw` is SQLAlchemy's own, whose calls go by no policy.
    """

    def __init__(self, raw: AsyncConnection, calls: Calls) -> None:
        self.raw = raw
        self._calls = calls

    @property
    def dialect(self) -> Dialect:
        return self.raw.dialect

    async def execute(self, statement: Executable, parameters: Any = None) -> Rows:
        return await self._calls.on(self.raw, self.raw.execute, statement, parameters)

    async def stream(
        self, statement: Executable, parameters: Any = None, *, size: int = 1000
    ) -> AsyncGenerator[Sequence[Row[*tuple[Any, ...]]], None]:
        """The rows, so many at a time, as they come from the server: they are never all in memory."""
        result = await self._calls.on(self.raw, self.raw.stream, statement, parameters)
        try:
            while rows := await self._calls.on(self.raw, result.fetchmany, size):
                yield rows
        finally:
            await result.close()

    async def scalar(self, statement: Executable, parameters: Any = None) -> Any:
        return (await self.execute(statement, parameters)).scalar()

    async def exec_driver_sql(self, statement: str, parameters: Any = None) -> Rows:
        return await self._calls.on(self.raw, self.raw.exec_driver_sql, statement, parameters)

    async def run_sync(self, work: Callable[[SyncConnection], T]) -> T:
        return await self._calls.on(self.raw, self.raw.run_sync, work)

    async def commit(self) -> None:
        await self._calls.on(self.raw, self.raw.commit)
