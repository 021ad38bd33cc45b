"""Where stock is put, and from where it is taken, when the line leaves that to the service.

Incoming stock goes to the warehouse's first receiving location by code, or else to its first storage location.
Outgoing stock is taken from storage locations: first expired first, lots that do not expire last, then by lot and
location code; each lot and location in turn until the quantity is reached.
"""

from collections import defaultdict
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

from warehouse.catalogue.model import Product, Tracking
from warehouse.errors import Code
from warehouse.locations.model import Location, LocationKind
from warehouse.stock.ledger import Entry, expire_on, quantity_of
from warehouse.stock.model import NO_LOT, BalanceKey, HeldBalance, StockLine
from warehouse.stock.resolving import Resolved
from warehouse.unit_of_work import UnitOfWork


@dataclass(frozen=True, slots=True)
class Portion:
    """So much from one balance."""

    warehouse_id: UUID
    location_id: UUID
    lot: str
    quantity: int


def definite_first(lines: Sequence[StockLine]) -> list[int]:
    """The order in which lines are served: those that leave no choice first, lest another line's choice takes what
    only they can have."""
    return sorted(range(len(lines)), key=lambda number: (lines[number].location_id is None, lines[number].lot is None))


@dataclass(slots=True)
class Allocator:
    """Serves the lines of one command; what one line was given, the next cannot have. `hold` comes before the first
    `outgoing`."""

    uow: UnitOfWork
    resolved: Resolved
    at: datetime
    _orders: dict[tuple[UUID, UUID], list[BalanceKey]] = field(default_factory=dict)
    _held: dict[BalanceKey, HeldBalance] = field(default_factory=dict)
    _taken: defaultdict[BalanceKey, int] = field(default_factory=lambda: defaultdict(int))

    async def hold(self, outgoing: Sequence[StockLine], incoming: Sequence[StockLine] = ()) -> None:
        """Where a line leaves the choice, lock all that the lines may touch at once: locks taken line by line would be
        in an order of the author's making, and two authors' orders end in a deadlock."""
        for line in outgoing:
            await self._read_order(line)
        if self._orders:
            keys = {key for order in self._orders.values() for key in order}
            keys |= {key for line in (*outgoing, *incoming) for key in self._named(line, keys)}
            self._held = dict(await self.uow.stock.lock(keys))

    async def incoming(self, number: int, line: StockLine, quantity: int) -> list[Entry]:
        """The entry that brings the line's stock in; none where there are findings."""
        product = self.resolved.product(number, line.product, incoming=True)
        location = await self._destination(number, line)
        lot = self.resolved.lot(number, product, line.lot) if product else None
        if product is None or location is None or lot is None:
            return []
        return [Entry(number, product, location.warehouse_id, location.id, lot, quantity, pointer=quantity_of(number))]

    async def outgoing(
        self, number: int, line: StockLine, quantity: int, location_field: str = "location_id"
    ) -> list[tuple[Product, Portion]]:
        """From where `quantity` is to be taken; nothing where there are findings."""
        product = self.resolved.product(number, line.product)
        place = self._source(number, line, location_field)
        if product is None or place is None or not self._lot_fits(number, product, line.lot):
            return []
        location, warehouse_id = place
        if location is not None and (line.lot or product.tracking is Tracking.NONE):
            portion = Portion(location.warehouse_id, location.id, line.lot or NO_LOT, quantity)
            self._taken[BalanceKey(product.id, portion.location_id, portion.lot)] += quantity
            return [(product, portion)]
        portions = await self._spread(number, product, location, warehouse_id, line.lot, quantity)
        return [(product, portion) for portion in portions]

    async def _read_order(self, line: StockLine) -> None:
        product, place = self.resolved.known(line.product), line.warehouse_id or line.location_id
        if product is None or place is None or (product.id, place) in self._orders:
            return
        if line.warehouse_id is not None:
            self._orders[product.id, place] = await self.uow.stock.order_in_warehouse(product.id, place)
        elif line.lot is None and product.tracking is Tracking.LOT:
            self._orders[product.id, place] = await self.uow.stock.order_at(product.id, place)

    def _named(self, line: StockLine, chosen: Collection[BalanceKey]) -> Iterator[BalanceKey]:
        """The balances at the line's location: of the lot that it names, or of every lot that may be chosen."""
        product = self.resolved.known(line.product)
        if product is None or line.location_id is None:
            return
        if line.lot is not None or product.tracking is Tracking.NONE:
            yield BalanceKey(product.id, line.location_id, line.lot or NO_LOT)
        else:
            lots = {key.lot for key in chosen if key.product_id == product.id}
            yield from (BalanceKey(product.id, line.location_id, lot) for lot in lots)

    async def _destination(self, number: int, line: StockLine) -> Location | None:
        if line.location_id is not None:
            return self.resolved.location(number, line.location_id)
        warehouse = self.resolved.warehouse(number, line.warehouse_id) if line.warehouse_id else None
        if warehouse is None:
            return None
        location = await self._first(warehouse.id)
        if location is None:
            detail = f"Warehouse {warehouse.code} has no receiving or storage location."
            self.resolved.findings.refuse(f"/lines/{number}/warehouse_id", "no_location", detail)
        return location

    async def _first(self, warehouse_id: UUID) -> Location | None:
        for kind in (LocationKind.RECEIVING, LocationKind.STORAGE):
            if found := await self.uow.locations.of_kinds(warehouse_id, [kind]):
                return found[0]
        return None

    def _source(self, number: int, line: StockLine, location_field: str) -> tuple[Location | None, UUID] | None:
        if line.location_id is not None:
            location = self.resolved.location(number, line.location_id, location_field)
            return (location, location.warehouse_id) if location else None
        warehouse = self.resolved.warehouse(number, line.warehouse_id) if line.warehouse_id else None
        return (None, warehouse.id) if warehouse else None

    def _lot_fits(self, number: int, product: Product, lot: str | None) -> bool:
        return lot is None or self.resolved.lot(number, product, lot) is not None

    async def _spread(
        self,
        number: int,
        product: Product,
        location: Location | None,
        warehouse_id: UUID,
        lot: str | None,
        quantity: int,
    ) -> list[Portion]:
        order = self._orders[product.id, location.id if location else warehouse_id]
        portions, missing = self._take(await self._candidates(order, lot), quantity)
        if missing and product.allows_negative:
            portions, missing = await self._overdraw(portions, product, location, warehouse_id, lot, missing)
        if missing:
            where = "at this location" if location else "in this warehouse's storage"
            detail = f"{quantity} of {product.sku} asked for, {quantity - missing} available {where}."
            self.resolved.findings.conflict(quantity_of(number), Code.INSUFFICIENT_STOCK, detail)
            self._give_back(product, portions)
            return []
        return portions

    async def _candidates(self, order: Sequence[BalanceKey], lot: str | None) -> list[HeldBalance]:
        keys = [key for key in order if lot in (None, key.lot) and key in self._held]
        reserved = [key for key in keys if self._held[key].reserved]
        if reserved and await expire_on(self.uow, reserved, self.at):
            # What expired may have held stock of other lines' products as well.
            self._held.update(await self.uow.stock.lock(self._held))
        return [self._held[key] for key in keys]

    def _take(self, candidates: Sequence[HeldBalance], quantity: int) -> tuple[list[Portion], int]:
        portions = []
        for balance in candidates:
            part = min(quantity, balance.available - self._taken[balance.key])
            if part > 0:
                key = balance.key
                self._taken[key] += part
                portions.append(Portion(balance.warehouse_id, key.location_id, key.lot, part))
                quantity -= part
        return portions, quantity

    def _give_back(self, product: Product, portions: Sequence[Portion]) -> None:
        for portion in portions:
            self._taken[BalanceKey(product.id, portion.location_id, portion.lot)] -= portion.quantity

    async def _overdraw(
        self,
        portions: list[Portion],
        product: Product,
        location: Location | None,
        warehouse_id: UUID,
        lot: str | None,
        missing: int,
    ) -> tuple[list[Portion], int]:
        """What a product that may go below zero still lacks is taken from where the last of it came, or from the
        first storage location; nothing can be said of the lot where none is named."""
        if portions:
            last = portions[-1]
            more = Portion(last.warehouse_id, last.location_id, last.lot, last.quantity + missing)
            return [*portions[:-1], more], 0
        if product.tracking is Tracking.LOT and lot is None:
            return portions, missing
        if location is None:
            storage = await self.uow.locations.of_kinds(warehouse_id, [LocationKind.STORAGE])
            location = storage[0] if storage else None
        if location is None:
            return portions, missing
        return [Portion(warehouse_id, location.id, lot or NO_LOT, missing)], 0
