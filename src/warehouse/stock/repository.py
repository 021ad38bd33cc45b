from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import date, datetime
from typing import Any, Protocol
from uuid import UUID

from warehouse.stock.model import (
    Balance,
    BalanceChange,
    BalanceFilter,
    BalanceKey,
    HeldBalance,
    IntegrityReport,
    Movement,
    MovementFilter,
    MovementSort,
    Reservation,
    ReservationStatus,
    StockSummary,
)


class StockRepository(Protocol):
    """Balances, lots and movements."""

    async def apply(self, change: BalanceChange, at: datetime) -> bool:
        """Change one balance in one guarded statement; False, and nothing changed, where the guard refuses.
        A balance that does not exist is made. Raises `Conflict(QUANTITY_OUT_OF_RANGE)` beyond `MAX_ON_HAND`."""
        ...

    async def record(
        self, changes: Sequence[BalanceChange], at: datetime, movements: Callable[[], Sequence[Movement]]
    ) -> None:
        """Change many balances and append what moved, which is asked for while the database is at work. Balances of
        which something is taken the caller holds locked and has checked; the database's constraints hold for all.
        Raises `Conflict(QUANTITY_OUT_OF_RANGE)` where one of them refuses, and as `append` does."""
        ...

    async def lock(self, keys: Collection[BalanceKey]) -> Mapping[BalanceKey, HeldBalance]:
        """The balances that exist, locked in key order until the end of the transaction."""
        ...

    async def order_in_warehouse(self, product_id: UUID, warehouse_id: UUID) -> list[BalanceKey]:
        """The product's balances in the warehouse's storage locations, in the order in which they are taken: first
        expired first (none last), then by lot and location code. Nothing is locked."""
        ...

    async def order_at(self, product_id: UUID, location_id: UUID) -> list[BalanceKey]:
        """The product's balances at one location, in the order in which they are taken. Nothing is locked."""
        ...

    async def balances(self, keys: Collection[BalanceKey], at: datetime) -> list[Balance]:
        """Those that exist, in key order, as `page_json` shows them."""
        ...

    async def note_lots(self, lots: Mapping[tuple[UUID, str], date | None]) -> list[tuple[UUID, str, date | None]]:
        """Record lots by (product id, lot) with the day they expire. Returns those already known with another day
        (None given stands for "not said" and agrees with any)."""
        ...

    async def append(self, movements: Sequence[Movement]) -> None:
        """Raises `TransactionConflict` where one of them is there already."""
        ...

    async def recorded(self, command_ids: Collection[UUID]) -> set[UUID]:
        """Which of these commands have movements."""
        ...

    async def movements_of(self, command_id: UUID) -> list[Movement]:
        """By line."""
        ...

    async def page_json(
        self, criteria: BalanceFilter, at: datetime, after: Sequence[Any] | None, limit: int
    ) -> Sequence[str]:
        """Balances, each as the text of its JSON, in the total order (product id, location id, lot); `after` holds
        these three of the last one seen. Reservations that have expired by `at` are not counted as reserved, swept or
        not."""
        ...

    async def next_expiry(self, product_id: UUID | None, at: datetime) -> datetime | None:
        """When the first of the active reservations, of this product or of all, expires after `at`."""
        ...

    async def summary(self, product_id: UUID, at: datetime) -> StockSummary | None:
        """None where there is no such product."""
        ...

    async def movement_page_json(
        self, criteria: MovementFilter, sort: MovementSort, after: Sequence[Any] | None, limit: int
    ) -> Sequence[str]:
        """Movements, each as the text of its JSON, in the total order (id) for recorded_at, (occurred_at, id) for
        occurred_at."""
        ...

    async def integrity(self, at: datetime, examples: int) -> IntegrityReport:
        """Check every balance against the ledger, each rule in one snapshot; at most `examples` drifts listed."""
        ...


class ReservationRepository(Protocol):
    """Reservations. Their status is decided by one conditional UPDATE, so that exactly one decision wins."""

    async def add(self, reservation: Reservation) -> None: ...

    async def get(self, reservation_id: UUID) -> Reservation | None: ...

    async def decide(self, reservation_id: UUID, status: ReservationStatus, at: datetime) -> bool:
        """Take an active reservation to `status`; False where it is not active any more. For `EXPIRED` it must have
        expired by `at`, for the others it must not."""
        ...

    async def extend(self, reservation_id: UUID, expires_at: datetime, at: datetime) -> bool:
        """Move the expiry of a reservation that is active and not expired by `at`; False otherwise."""
        ...

    async def due(self, at: datetime, limit: int) -> list[UUID]:
        """Active reservations that have expired by `at`, longest ago first."""
        ...

    async def due_on(self, keys: Collection[BalanceKey], at: datetime) -> list[UUID]:
        """Those of them that hold stock of one of these balances, by id."""
        ...

    async def page(
        self,
        status: ReservationStatus | None,
        reference: str | None,
        at: datetime,
        after: Sequence[Any] | None,
        limit: int,
    ) -> list[Reservation]:
        """Newest first (by id); `after` holds the last id seen. One that has expired by `at` reads as expired."""
        ...
