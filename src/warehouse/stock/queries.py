"""What may be asked of the ledger."""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from warehouse.clock import utc_now
from warehouse.errors import NotFound
from warehouse.stock.model import (
    BalanceFilter,
    IntegrityReport,
    MovementFilter,
    MovementSort,
    StockSummary,
)
from warehouse.unit_of_work import UnitOfWorkFactory

LISTED_DRIFTS = 100


class StockQueries:
    def __init__(self, uow: UnitOfWorkFactory) -> None:
        self._uow = uow

    async def balances(self, criteria: BalanceFilter, after: Sequence[Any] | None, limit: int) -> Sequence[str]:
        """As texts of JSON."""
        async with self._uow(read_only=True) as uow:
            return await uow.stock.page_json(criteria, utc_now(), after, limit)

    async def seconds_to_expiry(self, product_id: UUID | None) -> float:
        """How long, with nothing written, balances of the product, or of all, stay as they are: until the next
        reservation expires."""
        async with self._uow(read_only=True) as uow:
            expiry = await uow.stock.next_expiry(product_id, utc_now())
        return float("inf") if expiry is None else (expiry - utc_now()).total_seconds()

    async def summary(self, product_id: UUID) -> StockSummary:
        """Raises `NotFound`."""
        async with self._uow(read_only=True) as uow:
            summary = await uow.stock.summary(product_id, utc_now())
        if summary is None:
            raise NotFound("There is no such product.")
        return summary

    async def movements(
        self, criteria: MovementFilter, sort: MovementSort, after: Sequence[Any] | None, limit: int
    ) -> Sequence[str]:
        """As texts of JSON."""
        async with self._uow(read_only=True) as uow:
            return await uow.stock.movement_page_json(criteria, sort, after, limit)

    async def integrity(self) -> IntegrityReport:
        """Check every balance against the ledger."""
        async with self._uow(read_only=True) as uow:
            return await uow.stock.integrity(utc_now(), LISTED_DRIFTS)
