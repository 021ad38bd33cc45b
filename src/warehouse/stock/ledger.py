"""The one path by which stock changes: balances by guarded statements in one lock order, then their movements."""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from warehouse.catalogue.model import Product
from warehouse.clock import utc_now
from warehouse.commands.model import Command
from warehouse.errors import Code, Conflict
from warehouse.ids import new_id
from warehouse.stock.findings import Findings
from warehouse.stock.model import (
    NO_LOT,
    BalanceChange,
    BalanceKey,
    CommandHeader,
    CommandResult,
    Movement,
    MovementKind,
    Reservation,
    ReservationLine,
    ReservationStatus,
)
from warehouse.unit_of_work import UnitOfWork


@dataclass(frozen=True, slots=True)
class Entry:
    """What one line does to one balance: `delta` to on hand, `reserved` to reserved. Errors point to `pointer`."""

    line: int
    product: Product
    warehouse_id: UUID
    location_id: UUID
    lot: str
    delta: int = 0
    reserved: int = 0
    pointer: str = ""

    @property
    def key(self) -> BalanceKey:
        return BalanceKey(self.product.id, self.location_id, self.lot)


@dataclass(frozen=True, slots=True)
class Posting:
    """What the movements of one command share."""

    command_id: UUID
    actor: str
    kind: MovementKind
    reason: str | None
    reference: str | None
    occurred_at: datetime
    recorded_at: datetime

    @classmethod
    def of(cls, command: Command, header: CommandHeader, kind: MovementKind) -> "Posting":
        now = utc_now()
        return cls(command.id, command.actor, kind, header.reason, header.reference, header.occurred_at or now, now)


async def post(uow: UnitOfWork, posting: Posting, entries: Sequence[Entry], findings: Findings) -> CommandResult:
    """Change the balances and write the movements. What the stock does not allow is noted in `findings`; while
    there are any no movement is written, and the caller must not commit."""
    await change_balances(uow, entries, posting.recorded_at, findings)
    if findings.errors:
        return CommandResult(posting.command_id, (), ())
    movements = [_movement(posting, number, entry) for number, entry in enumerate(entries, start=1)]
    await uow.stock.append(movements)
    balances = await uow.stock.balances({entry.key for entry in entries}, posting.recorded_at)
    return CommandResult(posting.command_id, movements, balances)


async def change_balances(uow: UnitOfWork, entries: Iterable[Entry], at: datetime, findings: Findings) -> None:
    """Apply the sum of the entries to each balance; each refusal is noted in `findings`."""
    by_key: dict[BalanceKey, list[Entry]] = {}
    for entry in entries:
        by_key.setdefault(entry.key, []).append(entry)
    # One lock order for every caller keeps the database out of deadlocks.
    changes = [_sum(by_key[key]) for key in sorted(by_key)]
    refused = await _apply(uow, changes, by_key, at, findings)
    if refused and await expire_on(uow, [change.key for change in refused], at):
        refused = await _apply(uow, refused, by_key, at, findings)
    if refused:
        await _note_shortages(uow, refused, by_key, at, findings)


async def _apply(
    uow: UnitOfWork,
    changes: Sequence[BalanceChange],
    by_key: dict[BalanceKey, list[Entry]],
    at: datetime,
    findings: Findings,
) -> list[BalanceChange]:
    """The changes that the stock does not allow."""
    refused = []
    for change in changes:
        try:
            if not await uow.stock.apply(change, at):
                refused.append(change)
        except Conflict as beyond_range:
            for entry in by_key[change.key]:
                findings.conflict(entry.pointer, beyond_range.code, beyond_range.detail)
            # PostgreSQL takes no more statements in a transaction that broke a constraint.
            return []
    return refused


async def expire_on(uow: UnitOfWork, keys: Collection[BalanceKey], at: datetime) -> bool:
    """Release what reservations hold of these balances that have expired. Whether there was any."""
    return await expire_all(uow, await uow.reservations.due_on(keys, at), at)


async def expire_all(uow: UnitOfWork, reservation_ids: Iterable[UUID], at: datetime) -> bool:
    """Expire those of the reservations that still are active. Whether there was any."""
    ended = False
    for reservation_id in reservation_ids:
        if await uow.reservations.decide(reservation_id, ReservationStatus.EXPIRED, at):
            reservation = await uow.reservations.get(reservation_id)
            if reservation is not None:
                await release_lines(uow, reservation, at)
                ended = True
    return ended


async def release_lines(uow: UnitOfWork, reservation: Reservation, at: datetime) -> None:
    """Give back what the reservation held."""
    held: dict[BalanceKey, ReservationLine] = {}
    totals: dict[BalanceKey, int] = {}
    for line in reservation.lines:
        held[line.key] = line
        totals[line.key] = totals.get(line.key, 0) + line.quantity
    for key in sorted(totals):
        change = BalanceChange(key, held[key].warehouse_id, on_hand=0, reserved=-totals[key], guarded=True)
        if not await uow.stock.apply(change, at):
            raise RuntimeError(f"reservation {reservation.id} holds more than its balance has reserved")


def _sum(entries: Sequence[Entry]) -> BalanceChange:
    first = entries[0]
    return BalanceChange(
        first.key,
        first.warehouse_id,
        on_hand=sum(entry.delta for entry in entries),
        reserved=sum(entry.reserved for entry in entries),
        guarded=not first.product.allows_negative,
    )


async def _note_shortages(
    uow: UnitOfWork,
    refused: Sequence[BalanceChange],
    by_key: dict[BalanceKey, list[Entry]],
    at: datetime,
    findings: Findings,
) -> None:
    found = await uow.stock.balances([change.key for change in refused], at)
    available = {balance.key: balance.available for balance in found}
    for change in refused:
        asked = change.reserved - change.on_hand
        has = max(0, available.get(change.key, 0))
        for entry in by_key[change.key]:
            if entry.delta < 0 or entry.reserved > 0:
                detail = f"{asked} of {entry.product.sku} asked for, {has} available at this location."
                findings.conflict(entry.pointer, Code.INSUFFICIENT_STOCK, detail)


def quantity_of(line: int) -> str:
    """Where a line's quantity stands in the body."""
    return f"/lines/{line}/quantity"


def _movement(posting: Posting, number: int, entry: Entry) -> Movement:
    return Movement(
        id=new_id(),
        command_id=posting.command_id,
        line=number,
        product_id=entry.product.id,
        sku=entry.product.sku,
        warehouse_id=entry.warehouse_id,
        location_id=entry.location_id,
        lot=None if entry.lot == NO_LOT else entry.lot,
        delta=entry.delta,
        kind=posting.kind,
        reason=posting.reason,
        reference=posting.reference,
        actor=posting.actor,
        occurred_at=posting.occurred_at,
        recorded_at=posting.recorded_at,
    )
