"""What the worker does for the ledger."""

from typing import Any

from warehouse.stock.reserving import ReservationService


async def expire_reservations(ctx: dict[Any, Any]) -> int:
    """Give back what expired reservations hold; reads and commands do not count it even before."""
    reservations: ReservationService = ctx["reservations"]
    return await reservations.expire_due()
