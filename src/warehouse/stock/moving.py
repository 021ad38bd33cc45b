"""Receipts, shipments, adjustments, transfers and reversals."""

from collections.abc import Awaitable, Callable, Sequence
from datetime import date
from uuid import UUID

from warehouse.commands.model import Command, Outcome
from warehouse.commands.service import CommandRunner
from warehouse.errors import Code
from warehouse.stock.allocation import Allocator, definite_first
from warehouse.stock.findings import Findings
from warehouse.stock.ledger import Entry, Posting, post, quantity_of
from warehouse.stock.model import (
    NO_LOT,
    CommandHeader,
    CommandResult,
    MovementKind,
    Rehearsal,
    StockLine,
    TransferLine,
)
from warehouse.stock.resolving import check_open, resolve
from warehouse.unit_of_work import UnitOfWork

Effect = CommandResult | Rehearsal
Plan = Callable[[UnitOfWork, Posting, Findings], Awaitable[list[Entry]]]


class MovingService:
    """Each method is one command: all of its lines take effect, or none does.

    Raises `Invalid` or `Conflict` with an error for every line at fault: `INSUFFICIENT_STOCK`, `ARCHIVED`,
    `LOT_MISMATCH`, `QUANTITY_OUT_OF_RANGE`. A dry run has no effect and tells what is wrong in its result.
    """

    def __init__(self, commands: CommandRunner) -> None:
        self._commands = commands

    async def receive(self, command: Command, header: CommandHeader, lines: Sequence[StockLine]) -> Outcome[Effect]:
        async def plan(uow: UnitOfWork, posting: Posting, findings: Findings) -> list[Entry]:
            allocator = await _allocator(uow, posting, findings, lines)
            entries: list[Entry] = []
            for number, line in enumerate(lines):
                entries += await allocator.incoming(number, line, line.quantity)
            await _note_lots(uow, lines, entries, findings)
            return entries

        return await self._run(command, header, MovementKind.RECEIPT, plan)

    async def ship(self, command: Command, header: CommandHeader, lines: Sequence[StockLine]) -> Outcome[Effect]:
        async def plan(uow: UnitOfWork, posting: Posting, findings: Findings) -> list[Entry]:
            allocator = await _allocator(uow, posting, findings, lines)
            await allocator.hold(lines)
            entries: list[Entry] = []
            for number in definite_first(lines):
                entries += await _taken(allocator, number, lines[number], lines[number].quantity)
            return _by_line(entries)

        return await self._run(command, header, MovementKind.SHIPMENT, plan)

    async def adjust(self, command: Command, header: CommandHeader, lines: Sequence[StockLine]) -> Outcome[Effect]:
        async def plan(uow: UnitOfWork, posting: Posting, findings: Findings) -> list[Entry]:
            allocator = await _allocator(uow, posting, findings, lines)
            losses, gains = [line for line in lines if line.quantity < 0], [line for line in lines if line.quantity > 0]
            await allocator.hold(losses, gains)
            entries: list[Entry] = []
            for number in definite_first(lines):
                line = lines[number]
                if line.quantity > 0:
                    entries += await allocator.incoming(number, line, line.quantity)
                else:
                    entries += await _taken(allocator, number, line, -line.quantity)
            await _note_lots(uow, lines, entries, findings)
            return _by_line(entries)

        return await self._run(command, header, MovementKind.ADJUSTMENT, plan)

    async def transfer(self, command: Command, header: CommandHeader, lines: Sequence[TransferLine]) -> Outcome[Effect]:
        async def plan(uow: UnitOfWork, posting: Posting, findings: Findings) -> list[Entry]:
            sources = [
                StockLine(line.product, line.quantity, location_id=line.from_location_id, lot=line.lot)
                for line in lines
            ]
            targets = [
                StockLine(line.product, line.quantity, location_id=line.to_location_id, lot=line.lot) for line in lines
            ]
            allocator = await _allocator(uow, posting, findings, [*sources, *targets])
            await allocator.hold(sources, targets)
            entries: list[Entry] = []
            for number in definite_first(sources):
                destination = allocator.resolved.location(number, lines[number].to_location_id, "to_location_id")
                taken = await _taken(allocator, number, sources[number], sources[number].quantity, "from_location_id")
                entries += taken
                if destination is not None:
                    entries += [
                        Entry(
                            number,
                            out.product,
                            destination.warehouse_id,
                            destination.id,
                            out.lot,
                            delta=-out.delta,
                            pointer=out.pointer,
                        )
                        for out in taken
                    ]
            return _by_line(entries)

        return await self._run(command, header, MovementKind.TRANSFER, plan)

    async def reverse(self, command: Command, header: CommandHeader, command_id: UUID) -> Outcome[Effect]:
        """Undo every movement of an earlier command. Raises `Conflict(ALREADY_REVERSED)`."""

        async def plan(uow: UnitOfWork, posting: Posting, findings: Findings) -> list[Entry]:
            movements = await uow.stock.movements_of(command_id)
            if not movements:
                findings.refuse("/command_id", "unknown_command", "No movement was made by such a command.")
                return []
            if not await uow.commands.mark_reversed(command_id, command.id, posting.recorded_at):
                findings.conflict("/command_id", Code.ALREADY_REVERSED, "This command was reversed before.")
                return []
            await check_open(uow, findings, {movement.warehouse_id for movement in movements}, "/command_id")
            products = {p.id: p for p in await uow.products.find({m.product_id for m in movements}, ())}
            return [
                Entry(
                    number,
                    products[movement.product_id],
                    movement.warehouse_id,
                    movement.location_id,
                    movement.lot or NO_LOT,
                    delta=-movement.delta,
                    pointer="/command_id",
                )
                for number, movement in enumerate(movements)
            ]

        return await self._run(command, header, MovementKind.REVERSAL, plan)

    async def _run(self, command: Command, header: CommandHeader, kind: MovementKind, plan: Plan) -> Outcome[Effect]:
        async def carry_out(uow: UnitOfWork) -> Effect:
            findings = Findings()
            posting = Posting.of(command, header, kind)
            entries = await plan(uow, posting, findings)
            result = await post(uow, posting, entries, findings)
            if header.dry_run:
                return Rehearsal.of(result.movements, result.balances, findings.errors)
            findings.raise_any()
            return result

        run = self._commands.rehearse if header.dry_run else self._commands.run
        return await run(command, carry_out)


async def _allocator(uow: UnitOfWork, posting: Posting, findings: Findings, lines: Sequence[StockLine]) -> Allocator:
    resolved = await resolve(
        uow,
        findings,
        products=[line.product for line in lines],
        locations=[line.location_id for line in lines],
        warehouses=[line.warehouse_id for line in lines],
    )
    return Allocator(uow, resolved, posting.recorded_at)


async def _taken(
    allocator: Allocator, number: int, line: StockLine, quantity: int, location_field: str = "location_id"
) -> list[Entry]:
    return [
        Entry(
            number,
            product,
            portion.warehouse_id,
            portion.location_id,
            portion.lot,
            delta=-portion.quantity,
            pointer=quantity_of(number),
        )
        for product, portion in await allocator.outgoing(number, line, quantity, location_field)
    ]


def _by_line(entries: list[Entry]) -> list[Entry]:
    return sorted(entries, key=lambda entry: entry.line)


async def _note_lots(uow: UnitOfWork, lines: Sequence[StockLine], entries: Sequence[Entry], findings: Findings) -> None:
    """Lots become known by receipts; a lot expires on one day."""
    days: dict[tuple[UUID, str], date | None] = {}
    dated: dict[tuple[UUID, str], int] = {}
    for entry in entries:
        key = (entry.product.id, entry.lot)
        day = lines[entry.line].expires_on
        if entry.lot == NO_LOT or entry.delta < 0:
            continue
        if day is not None:
            dated.setdefault(key, entry.line)
        if day is not None and days.get(key) not in (None, day):
            findings.refuse(f"/lines/{entry.line}/expires_on", "lot_mismatch", "Two lines disagree about this lot.")
        days[key] = day or days.get(key)
    for product_id, lot, known in await uow.stock.note_lots(days):
        pointer = f"/lines/{dated[product_id, lot]}/expires_on"
        findings.conflict(pointer, Code.LOT_MISMATCH, f"Lot {lot} is known to expire on {known}.")
