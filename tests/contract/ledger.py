"""What the tests of the ledger share: records made in a line, and commands sent as a client sends them."""

import hashlib
from collections.abc import Awaitable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any, TypeVar
from uuid import UUID

import pytest

from tests.contract.rows import records
from warehouse.catalogue.model import (
    NegativeStock,
    Product,
    ProductDraft,
    ProductFilter,
    ProductSort,
    ProductStatus,
    Tracking,
)
from warehouse.catalogue.service import CatalogueService
from warehouse.clock import utc_now
from warehouse.commands.model import Answer, Command, Outcome
from warehouse.commands.service import CommandRunner
from warehouse.errors import Conflict, Invalid, WarehouseError
from warehouse.http.json import encode
from warehouse.ids import new_id
from warehouse.locations.model import (
    Location,
    LocationDraft,
    LocationKind,
    Warehouse,
    WarehouseDraft,
    WarehouseStatus,
)
from warehouse.locations.service import LocationService
from warehouse.stock.counting import CountingService
from warehouse.stock.model import (
    Balance,
    BalanceChange,
    BalanceFilter,
    CommandHeader,
    CommandResult,
    CountLine,
    Movement,
    MovementFilter,
    MovementKind,
    MovementSort,
    ProductRef,
    Rehearsal,
    Reservation,
    StockLine,
    TransferLine,
)
from warehouse.stock.moving import MovingService
from warehouse.stock.queries import StockQueries
from warehouse.stock.reserving import ReservationService
from warehouse.unit_of_work import UnitOfWork, UnitOfWorkFactory

T = TypeVar("T")
Place = Location | Warehouse
Held = dict[tuple[UUID, str | None], tuple[int, int]]
"""On hand and reserved by location and lot."""

CALLER = UUID(int=1)
LONG_AGO = datetime(2000, 1, 1, tzinfo=UTC)
HOUR = timedelta(hours=1)
SECOND = timedelta(seconds=1)


def command(key: str | None = None, request: str = "", caller: UUID = CALLER) -> Command:
    """`request` stands for the body: another one under the same key is another request."""
    return Command(
        caller_id=caller,
        actor="tester",
        key=key,
        request_hash=hashlib.sha256(request.encode()).digest(),
        success=lambda result: Answer(201, encode(result), {"Content-Type": "application/json"}),
        refusal=lambda conflict: Answer(409, encode([conflict.code, conflict.detail, conflict.errors])),
    )


def code(start: str = "C") -> str:
    """One that no other record has."""
    return f"{start}-{new_id().hex[-12:]}"


def ref(product: Product) -> ProductRef:
    return ProductRef(id=product.id)


def line(
    product: Product | ProductRef, quantity: int, place: Place, lot: str | None = None, expires_on: date | None = None
) -> StockLine:
    named = product if isinstance(product, ProductRef) else ref(product)
    if isinstance(place, Location):
        return StockLine(named, quantity, location_id=place.id, lot=lot, expires_on=expires_on)
    return StockLine(named, quantity, warehouse_id=place.id, lot=lot, expires_on=expires_on)


def move(
    product: Product, quantity: int, source: Location, target: Location | UUID, lot: str | None = None
) -> TransferLine:
    return TransferLine(ref(product), quantity, source.id, target if isinstance(target, UUID) else target.id, lot)


def effect(outcome: Outcome[Any]) -> CommandResult:
    assert isinstance(outcome.result, CommandResult)
    return outcome.result


def rehearsal(outcome: Outcome[Any]) -> Rehearsal:
    assert isinstance(outcome.result, Rehearsal)
    return outcome.result


def reservation_of(outcome: Outcome[Any]) -> Reservation:
    assert isinstance(outcome.result, Reservation)
    return outcome.result


def faults(errors: WarehouseError | Rehearsal) -> list[tuple[str, str]]:
    """The pointers and codes of the single errors, in order."""
    return [(error.pointer, str(error.code)) for error in errors.errors]


async def refused(work: Awaitable[object]) -> Conflict | Invalid:
    with pytest.raises((Conflict, Invalid)) as refusal:
        await work
    assert isinstance(refusal.value, Conflict | Invalid)
    return refusal.value


async def write(uow: UnitOfWork, change: BalanceChange) -> bool:
    """One guarded statement and the movement that explains it, as every command has them."""
    at = utc_now()
    if not await uow.stock.apply(change, at):
        return False
    key = change.key
    movement = Movement(
        id=new_id(),
        command_id=new_id(),
        line=1,
        product_id=key.product_id,
        sku="",
        warehouse_id=change.warehouse_id,
        location_id=key.location_id,
        lot=key.lot or None,
        delta=change.on_hand,
        kind=MovementKind.ADJUSTMENT,
        reason=None,
        reference=None,
        actor="tester",
        occurred_at=at,
        recorded_at=at,
    )
    await uow.stock.append([movement])
    return True


@dataclass(frozen=True)
class Ledger:
    """The services over one database."""

    uow: UnitOfWorkFactory
    commands: CommandRunner
    moving: MovingService
    counting: CountingService
    reservations: ReservationService
    queries: StockQueries
    catalogue: CatalogueService
    places: LocationService

    @classmethod
    def over(cls, uow: UnitOfWorkFactory) -> "Ledger":
        commands = CommandRunner(uow)
        return cls(
            uow,
            commands,
            MovingService(commands),
            CountingService(commands),
            ReservationService(uow, commands),
            StockQueries(uow),
            CatalogueService(uow, commands),
            LocationService(uow, commands),
        )

    async def product(self, **fields: Any) -> Product:
        draft = ProductDraft(**{"sku": code("SKU"), "name": "Rye bread", **fields})
        product = (await self.catalogue.create(command(), draft)).result
        assert product is not None
        return product

    async def tracked(self, **fields: Any) -> Product:
        return await self.product(tracking=Tracking.LOT, **fields)

    async def overdrawable(self, **fields: Any) -> Product:
        return await self.product(negative_stock=NegativeStock.ALLOW, **fields)

    async def change(self, product: Product, **fields: Any) -> Product:
        return await self.catalogue.update(product.id, fields, None)

    async def archive(self, record: Product | Warehouse) -> None:
        if isinstance(record, Product):
            await self.change(record, status=ProductStatus.ARCHIVED)
        else:
            await self.places.update_warehouse(record.id, {"status": WarehouseStatus.ARCHIVED}, None)

    async def warehouse(self) -> Warehouse:
        warehouse = (await self.places.create_warehouse(command(), WarehouseDraft(code("W"), "Harbour"))).result
        assert warehouse is not None
        return warehouse

    async def location(
        self,
        warehouse: Warehouse | None = None,
        kind: LocationKind = LocationKind.STORAGE,
        name: str | None = None,
    ) -> Location:
        """In a warehouse of its own if none is given; `name` is its code."""
        warehouse = warehouse or await self.warehouse()
        draft = LocationDraft(name or code("L"), kind=kind)
        location = (await self.places.create_location(command(), warehouse.id, draft)).result
        assert location is not None
        return location

    async def stocked(self, quantity: int, **fields: Any) -> tuple[Product, Location]:
        """So much of a new product in a new warehouse."""
        product, location = await self.product(**fields), await self.location()
        await self.receive(line(product, quantity, location))
        return product, location

    async def receive(self, *lines: StockLine, **header: Any) -> CommandResult:
        return effect(await self.moving.receive(command(), CommandHeader(**header), lines))

    async def ship(self, *lines: StockLine, **header: Any) -> CommandResult:
        return effect(await self.moving.ship(command(), CommandHeader(**header), lines))

    async def adjust(self, *lines: StockLine, **header: Any) -> CommandResult:
        return effect(await self.moving.adjust(command(), CommandHeader(**header), lines))

    async def count(self, *lines: CountLine, **header: Any) -> CommandResult:
        return effect(await self.counting.count(command(), CommandHeader(**header), lines))

    async def transfer(self, *lines: TransferLine, **header: Any) -> CommandResult:
        return effect(await self.moving.transfer(command(), CommandHeader(**header), lines))

    async def reverse(self, command_id: UUID, **header: Any) -> CommandResult:
        return effect(await self.moving.reverse(command(), CommandHeader(**header), command_id))

    async def reserve(self, *lines: StockLine, hold: timedelta = HOUR, **header: Any) -> Reservation:
        expires_at = utc_now() + hold
        return reservation_of(await self.reservations.reserve(command(), CommandHeader(**header), lines, expires_at))

    async def confirm(self, reservation: Reservation) -> Reservation:
        return reservation_of(await self.reservations.confirm(command(), reservation.id))

    async def release(self, reservation: Reservation) -> Reservation:
        return reservation_of(await self.reservations.release(command(), reservation.id))

    async def lapse(self, reservation: Reservation, at: datetime | None = None) -> None:
        """Let its time have run out at `at`, a second ago if not given, before anybody sweeps it."""
        now = utc_now()
        async with self.uow() as uow:
            assert await uow.reservations.extend(reservation.id, at or now - SECOND, reservation.created_at)
            await uow.commit()

    async def held(self, product: Product) -> Held:
        """As read: what expired reservations hold does not count."""
        found = await self.balance_page(BalanceFilter(product_id=product.id), None, 1000)
        return {(balance.location_id, balance.lot): (balance.on_hand, balance.reserved) for balance in found}

    async def stored(self, product: Product) -> Held:
        """As the rows are: what expired reservations hold counts until they are swept."""
        async with self.uow(read_only=True) as uow:
            rows = await uow.stock.page_json(BalanceFilter(product_id=product.id), LONG_AGO, None, 1000)
        found = records(Balance, rows)
        return {(balance.location_id, balance.lot): (balance.on_hand, balance.reserved) for balance in found}

    async def movements(self, **criteria: Any) -> Sequence[Movement]:
        """In the order in which they were written."""
        return await self.movement_page(MovementFilter(**criteria), MovementSort.RECORDED_AT, None, 1000)

    async def product_page(
        self, criteria: ProductFilter, sort: ProductSort, after: Sequence[Any] | None, limit: int
    ) -> list[Product]:
        return records(Product, await self.catalogue.page(criteria, sort, after, limit))

    async def balance_page(self, criteria: BalanceFilter, after: Sequence[Any] | None, limit: int) -> list[Balance]:
        return records(Balance, await self.queries.balances(criteria, after, limit))

    async def movement_page(
        self, criteria: MovementFilter, sort: MovementSort, after: Sequence[Any] | None, limit: int
    ) -> list[Movement]:
        return records(Movement, await self.queries.movements(criteria, sort, after, limit))
