"""A unit of work is one transaction: the repositories, and the commit."""

import functools
from collections.abc import Awaitable, Callable, Collection
from types import TracebackType
from typing import ParamSpec, Protocol, Self, TypeVar

from tenacity import AsyncRetrying, retry_if_exception_type, stop_after_attempt, wait_random_exponential

from warehouse.auth.repository import ApiKeyRepository
from warehouse.catalogue.repository import ProductRepository
from warehouse.commands.repository import CommandRepository
from warehouse.errors import TransactionConflict
from warehouse.locations.repository import LocationRepository, WarehouseRepository
from warehouse.stock.repository import ReservationRepository, StockRepository
from warehouse.tasks.repository import TaskRepository

P = ParamSpec("P")
R = TypeVar("R")

REPLAYS = 12
"""How often a transaction is run in all before its caller is told to come again."""


class UnitOfWork(Protocol):
    """`async with` opens the transaction; leaving it without `commit` rolls back.

    Raises `TransactionConflict` where the database gave this transaction up for another's sake, and `Unavailable`
    where the database does not answer.
    """

    @property
    def api_keys(self) -> ApiKeyRepository: ...
    @property
    def commands(self) -> CommandRepository: ...
    @property
    def products(self) -> ProductRepository: ...
    @property
    def warehouses(self) -> WarehouseRepository: ...
    @property
    def locations(self) -> LocationRepository: ...
    @property
    def stock(self) -> StockRepository: ...
    @property
    def reservations(self) -> ReservationRepository: ...
    @property
    def tasks(self) -> TaskRepository: ...

    def release(self, tags: Collection[str]) -> None:
        """When this unit of work ends, nobody reads from the cache any more what has these tags and was there before.
        What its repositories write is released by `commit`, without this."""
        ...

    async def commit(self) -> None: ...
    async def __aenter__(self) -> Self: ...
    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


class UnitOfWorkFactory(Protocol):
    def __call__(self, *, read_only: bool = False) -> UnitOfWork:
        """With `read_only` every statement sees the newest committed state, and nothing can be committed."""
        ...


def replayed_on_conflict(method: Callable[P, Awaitable[R]]) -> Callable[P, Awaitable[R]]:
    """Run a whole service method again when its transaction was given up, up to `REPLAYS` times with full jitter.

    A part of it cannot be repeated: what it read may have changed. After the last attempt the conflict is raised.
    """

    @functools.wraps(method)
    async def replayed(*args: P.args, **kwargs: P.kwargs) -> R:
        attempts = AsyncRetrying(
            retry=retry_if_exception_type(TransactionConflict),
            stop=stop_after_attempt(REPLAYS),
            wait=wait_random_exponential(multiplier=0.01, max=0.5),
            reraise=True,
        )
        return await attempts(method, *args, **kwargs)

    return replayed
