"""What exports are made of."""

from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from datetime import datetime
from typing import Protocol

from warehouse.catalogue.model import ProductFilter
from warehouse.stock.model import BalanceFilter, MovementFilter


class Selection(Protocol):
    """The rows that were asked for, in a total order, each as the text of the JSON object that it is on the wire."""

    async def count(self) -> int: ...

    def batches(self) -> AsyncGenerator[Sequence[str], None]:
        """Some rows at a time: they are never all in memory. Who does not exhaust it closes it, and can then ask for
        nothing more."""
        ...


class Snapshot(Protocol):
    """Everything as it was at one moment, whatever is written meanwhile. All of it raises `Unavailable` where the
    database does not answer."""

    @property
    def moment(self) -> datetime:
        """What had been committed before is there."""
        ...

    def products(self, criteria: ProductFilter) -> Selection:
        """By SKU."""
        ...

    def balances(self, criteria: BalanceFilter) -> Selection:
        """By product, location and lot. Reservations that have expired at the moment hold nothing."""
        ...

    def movements(self, criteria: MovementFilter) -> Selection:
        """In the order in which they were written."""
        ...


SnapshotFactory = Callable[[], AbstractAsyncContextManager[Snapshot]]
