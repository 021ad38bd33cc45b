"""Reservations: stock promised for a time, then shipped, given back, or expired."""

import logging
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any
from uuid import UUID

from warehouse.clock import utc_now
from warehouse.commands.model import Command, Outcome
from warehouse.commands.service import CommandRunner
from warehouse.errors import Code, Conflict, NotFound, field_error
from warehouse.ids import new_id
from warehouse.stock.allocation import Allocator, definite_first
from warehouse.stock.findings import Findings
from warehouse.stock.ledger import Entry, Posting, change_balances, expire_all, post, quantity_of, release_lines
from warehouse.stock.model import (
    NO_LOT,
    BalanceKey,
    CommandHeader,
    MovementKind,
    Rehearsal,
    Reservation,
    ReservationLine,
    ReservationStatus,
    StockLine,
)
from warehouse.stock.resolving import check_open, resolve
from warehouse.unit_of_work import UnitOfWork, UnitOfWorkFactory, replayed_on_conflict

SWEEP_BATCH = 100

log = logging.getLogger(__name__)


class ReservationService:
    """Exactly one of confirm, release and expiry ends a reservation; the losers get `RESERVATION_NOT_ACTIVE`."""

    def __init__(self, uow: UnitOfWorkFactory, commands: CommandRunner) -> None:
        self._uow = uow
        self._commands = commands

    async def reserve(
        self, command: Command, header: CommandHeader, lines: Sequence[StockLine], expires_at: datetime
    ) -> Outcome[Reservation | Rehearsal]:
        """Raises `Invalid` or `Conflict` with an error for every line at fault, or `Invalid` for the expiry."""

        async def reserve(uow: UnitOfWork) -> Reservation | Rehearsal:
            findings, at = Findings(), utc_now()
            _check_ahead(expires_at, at)
            entries = await _held(uow, findings, lines, at)
            await change_balances(uow, entries, at, findings)
            if header.dry_run:
                keys = () if findings.errors else {entry.key for entry in entries}
                return Rehearsal.of((), await uow.stock.balances(keys, at), findings.errors)
            findings.raise_any()
            reservation = _made(command.actor, header, entries, expires_at, at)
            await uow.reservations.add(reservation)
            return reservation

        run = self._commands.rehearse if header.dry_run else self._commands.run
        return await run(command, reserve)

    async def get(self, reservation_id: UUID) -> Reservation:
        """Raises `NotFound`. A reservation past its time reads as expired, whether it was swept or not."""
        async with self._uow(read_only=True) as uow:
            return _as_of(await _known(uow, reservation_id), utc_now())

    async def page(
        self, status: ReservationStatus | None, reference: str | None, after: Sequence[Any] | None, limit: int
    ) -> list[Reservation]:
        at = utc_now()
        async with self._uow(read_only=True) as uow:
            found = await uow.reservations.page(status, reference, at, after, limit)
        return [_as_of(reservation, at) for reservation in found]

    async def confirm(self, command: Command, reservation_id: UUID) -> Outcome[Reservation]:
        """Ship what is reserved. Raises `NotFound`, `Conflict(RESERVATION_NOT_ACTIVE)`."""

        async def confirm(uow: UnitOfWork) -> Reservation:
            header = CommandHeader()
            posting = Posting.of(command, header, MovementKind.SHIPMENT)
            reservation = await _decide(uow, reservation_id, ReservationStatus.CONFIRMED, posting.recorded_at)
            products = await uow.products.find({line.product_id for line in reservation.lines}, ())
            by_id = {product.id: product for product in products}
            entries = [
                Entry(
                    number,
                    by_id[line.product_id],
                    line.warehouse_id,
                    line.location_id,
                    line.lot or NO_LOT,
                    delta=-line.quantity,
                    reserved=-line.quantity,
                )
                for number, line in enumerate(reservation.lines)
            ]
            findings = Findings()
            await check_open(uow, findings, {line.warehouse_id for line in reservation.lines}, "")
            posting = replace(posting, reference=reservation.reference, reason=reservation.reason)
            await post(uow, posting, entries, findings)
            findings.raise_any()
            return reservation

        return await self._commands.run(command, confirm)

    async def release(self, command: Command, reservation_id: UUID) -> Outcome[Reservation]:
        """Give back what is reserved. Raises `NotFound`, `Conflict(RESERVATION_NOT_ACTIVE)`."""

        async def release(uow: UnitOfWork) -> Reservation:
            at = utc_now()
            reservation = await _decide(uow, reservation_id, ReservationStatus.RELEASED, at)
            await release_lines(uow, reservation, at)
            return reservation

        return await self._commands.run(command, release)

    async def extend(self, command: Command, reservation_id: UUID, expires_at: datetime) -> Outcome[Reservation]:
        """Let it expire at another time. Raises `NotFound`, `Conflict(RESERVATION_NOT_ACTIVE)`."""

        async def extend(uow: UnitOfWork) -> Reservation:
            at = utc_now()
            _check_ahead(expires_at, at)
            if not await uow.reservations.extend(reservation_id, expires_at, at):
                raise _ended(_as_of(await _known(uow, reservation_id), at))
            return await _known(uow, reservation_id)

        return await self._commands.run(command, extend)

    async def expire_due(self) -> int:
        """End the reservations that are past their time, each in a transaction of its own. How many there were."""
        async with self._uow(read_only=True) as uow:
            due = await uow.reservations.due(utc_now(), SWEEP_BATCH)
        expired = [reservation_id for reservation_id in due if await self._expire(reservation_id)]
        if expired:
            log.info("reservation.expired count=%d", len(expired))
        return len(expired)

    @replayed_on_conflict
    async def _expire(self, reservation_id: UUID) -> bool:
        async with self._uow() as uow:
            ended = await expire_all(uow, [reservation_id], utc_now())
            await uow.commit()
            return ended


def _check_ahead(expires_at: datetime, at: datetime) -> None:
    if expires_at <= at:
        raise field_error("/expires_at", "past", "expires_at must lie in the future.")


async def _held(uow: UnitOfWork, findings: Findings, lines: Sequence[StockLine], at: datetime) -> list[Entry]:
    resolved = await resolve(
        uow,
        findings,
        products=[line.product for line in lines],
        locations=[line.location_id for line in lines],
        warehouses=[line.warehouse_id for line in lines],
    )
    allocator = Allocator(uow, resolved, at)
    await allocator.hold(lines)
    entries = [
        Entry(
            number,
            product,
            portion.warehouse_id,
            portion.location_id,
            portion.lot,
            reserved=portion.quantity,
            pointer=quantity_of(number),
        )
        for number in definite_first(lines)
        for product, portion in await allocator.outgoing(number, lines[number], lines[number].quantity)
    ]
    return sorted(entries, key=lambda entry: entry.line)


def _made(
    actor: str, header: CommandHeader, entries: Sequence[Entry], expires_at: datetime, at: datetime
) -> Reservation:
    quantities: dict[BalanceKey, int] = {}
    first: dict[BalanceKey, Entry] = {}
    for entry in entries:
        first.setdefault(entry.key, entry)
        quantities[entry.key] = quantities.get(entry.key, 0) + entry.reserved
    lines = [
        ReservationLine(
            entry.product.id,
            entry.product.sku,
            entry.warehouse_id,
            entry.location_id,
            entry.lot or None,
            quantities[key],
        )
        for key, entry in first.items()
    ]
    return Reservation(
        id=new_id(),
        status=ReservationStatus.ACTIVE,
        reference=header.reference,
        reason=header.reason,
        actor=actor,
        lines=lines,
        expires_at=expires_at,
        version=1,
        created_at=at,
        updated_at=at,
    )


async def _known(uow: UnitOfWork, reservation_id: UUID) -> Reservation:
    reservation = await uow.reservations.get(reservation_id)
    if reservation is None:
        raise NotFound("There is no such reservation.")
    return reservation


async def _decide(uow: UnitOfWork, reservation_id: UUID, status: ReservationStatus, at: datetime) -> Reservation:
    if not await uow.reservations.decide(reservation_id, status, at):
        raise _ended(_as_of(await _known(uow, reservation_id), at))
    return await _known(uow, reservation_id)


def _ended(reservation: Reservation) -> Conflict:
    detail = f"The reservation is {reservation.status}."
    return Conflict(detail, code=Code.RESERVATION_NOT_ACTIVE, extra={"reservation_status": reservation.status})


def _as_of(reservation: Reservation, at: datetime) -> Reservation:
    if reservation.status is ReservationStatus.ACTIVE and reservation.expires_at <= at:
        return replace(reservation, status=ReservationStatus.EXPIRED)
    return reservation
