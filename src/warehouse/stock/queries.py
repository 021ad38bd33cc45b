"""What may be asked of the ledger."""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from warehouse.clock import utc_now
from warehouse.errors import NotFound
from warehouse.stock.model import (
    Balance,
    BalanceFilter,
    IntegrityReport,
    Movement,
    MovementFilter,
    MovementSort,
    StockSummary,
)
from warehouse.unit_of_work import UnitOfWorkFactory

LISTED_DRIFTS = 100


class StockQueries:
    def __init__(self, uow: UnitOfWorkFactory) -> None:
        self._uow = uow

    async def balances(self, criteria: BalanceFilter, after: Sequence[Any] | None, limit: int) -> list[Balance]:
        async with self._uow(read_only=True) as uow:
            return await uow.stock.page(criteria, utc_now(), after, limit)

    async def summary(self, product_id: UUID) -> StockSummary:
        """Raises `NotFound`."""
        async with self._uow(read_only=True) as uow:
            summary = await uow.stock.summary(product_id, utc_now())
        if summary is None:
            raise NotFound("There is no such product.")
        return summary

    async def movements(
        self, criteria: MovementFilter, sort: MovementSort, after: Sequence[Any] | None, limit: int
    ) -> list[Movement]:
        async with self._uow(read_only=True) as uow:
            return await uow.stock.movement_page(criteria, sort, after, limit)

    async def integrity(self) -> IntegrityReport:
        """Check every balance against the ledger."""
        async with self._uow(read_only=True) as uow:
            return await uow.stock.integrity(utc_now(), LISTED_DRIFTS)
