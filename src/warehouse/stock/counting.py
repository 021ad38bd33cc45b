"""Cycle counts: set a balance to what was counted, if it still is what the counter believed (compare and set)."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from warehouse.catalogue.model import Product
from warehouse.commands.model import Command, Outcome
from warehouse.commands.service import CommandRunner
from warehouse.errors import Code
from warehouse.locations.model import Location
from warehouse.stock.findings import Findings
from warehouse.stock.ledger import Entry, Posting, post
from warehouse.stock.model import (
    BalanceChange,
    BalanceKey,
    CommandHeader,
    CommandResult,
    CountLine,
    HeldBalance,
    MovementKind,
    Rehearsal,
)
from warehouse.stock.resolving import resolve
from warehouse.unit_of_work import UnitOfWork


@dataclass(frozen=True, slots=True)
class _Count:
    number: int
    line: CountLine
    product: Product
    location: Location
    key: BalanceKey

    def mismatch(self, held: HeldBalance | None) -> str | None:
        on_hand, version = (held.on_hand, held.version) if held else (0, 0)
        now = f"the balance has {on_hand} on hand at version {version}."
        if self.line.expected_on_hand not in (None, on_hand):
            return f"Expected {self.line.expected_on_hand} on hand, but {now}"
        if self.line.expected_version not in (None, version):
            return f"Expected version {self.line.expected_version}, but {now}"
        return None


class CountingService:
    def __init__(self, commands: CommandRunner) -> None:
        self._commands = commands

    async def count(
        self, command: Command, header: CommandHeader, lines: Sequence[CountLine]
    ) -> Outcome[CommandResult | Rehearsal]:
        """Raises `Conflict(COUNT_MISMATCH)` where an expectation no longer holds, `Conflict(INSUFFICIENT_STOCK)`
        where less was counted than is reserved. A count that changes nothing is recorded with a delta of 0."""

        async def carry_out(uow: UnitOfWork) -> CommandResult | Rehearsal:
            findings = Findings()
            posting = Posting.of(command, header, MovementKind.COUNT)
            counts = await _resolved(uow, lines, findings)
            held = await _hold(uow, [count.key for count in counts], counts, posting)
            entries = [_entry(count, held.get(count.key), findings) for count in counts]
            result = await post(uow, posting, entries, findings)
            if header.dry_run:
                return Rehearsal.of(result.movements, result.balances, findings.errors)
            findings.raise_any()
            return result

        run = self._commands.rehearse if header.dry_run else self._commands.run
        return await run(command, carry_out)


async def _resolved(uow: UnitOfWork, lines: Sequence[CountLine], findings: Findings) -> list[_Count]:
    resolved = await resolve(
        uow,
        findings,
        products=[line.product for line in lines],
        locations=[line.location_id for line in lines],
    )
    counts: dict[BalanceKey, _Count] = {}
    for number, line in enumerate(lines):
        product = resolved.product(number, line.product)
        location = resolved.location(number, line.location_id)
        lot = resolved.lot(number, product, line.lot) if product else None
        if product is None or location is None or lot is None:
            continue
        key = BalanceKey(product.id, location.id, lot)
        if key in counts:
            findings.refuse(f"/lines/{number}", "duplicate_line", "An earlier line counts the same balance.")
            continue
        counts[key] = _Count(number, line, product, location, key)
    return list(counts.values())


async def _hold(
    uow: UnitOfWork, keys: Collection[BalanceKey], counts: Sequence[_Count], posting: Posting
) -> Mapping[BalanceKey, HeldBalance]:
    """Lock what is counted. A balance that is not there yet is made, for only a row can be locked; it is left out of
    the answer if it really is new."""
    held = dict(await uow.stock.lock(keys))
    missing = {count.key: count for count in counts if count.key not in held}
    for key in sorted(missing):
        await uow.stock.apply(BalanceChange(key, missing[key].location.warehouse_id, 0, 0, True), posting.recorded_at)
    made = await uow.stock.lock(missing)
    return held | {key: balance for key, balance in made.items() if balance.version > 1}


def _entry(count: _Count, held: HeldBalance | None, findings: Findings) -> Entry:
    if detail := count.mismatch(held):
        findings.conflict(f"/lines/{count.number}", Code.COUNT_MISMATCH, detail)
    return Entry(
        count.number,
        count.product,
        count.location.warehouse_id,
        count.location.id,
        count.key.lot,
        delta=count.line.on_hand - (held.on_hand if held else 0),
        pointer=f"/lines/{count.number}/on_hand",
    )
