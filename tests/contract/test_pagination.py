"""Pages of every list, on every database: in the order asked for, each row once, whatever is written meanwhile."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar
from uuid import UUID

import pytest

from tests.contract.ledger import HOUR, Ledger, code, line
from tests.contract.test_search_words import letters
from warehouse.catalogue.model import (
    Product,
    ProductDraft,
    ProductFilter,
    ProductSort,
    ProductStatus,
    Tracking,
    sku_key,
)
from warehouse.clock import utc_now
from warehouse.ids import new_id
from warehouse.locations.model import Location, Warehouse
from warehouse.stock.model import (
    NO_LOT,
    Balance,
    BalanceFilter,
    Movement,
    MovementFilter,
    MovementSort,
    Reservation,
    ReservationStatus,
)

T = TypeVar("T")
Page = Callable[[Sequence[Any] | None], Awaitable[list[T]]]
Position = Callable[[T], Any]
EARLY = datetime(2026, 1, 1, tzinfo=UTC)


async def walked(
    page: Page[T], position: Position[T], between: Callable[[], Awaitable[object]] | None = None
) -> list[T]:
    """Every row of a list, page by page; `between` happens after each of them."""
    seen: list[T] = []
    while found := await page(position(seen[-1]) if seen else None):
        seen += found
        if between is not None:
            await between()
    return seen


def by_product(sort: ProductSort) -> Position[Product]:
    column = sort.lstrip("-")
    return lambda product: (sku_key(product.sku) if column == "sku" else getattr(product, column), product.id)


def by_balance(balance: Balance) -> Any:
    return balance.product_id, balance.location_id, balance.lot or NO_LOT


def by_movement(sort: MovementSort) -> Position[Movement]:
    if sort.lstrip("-") == MovementSort.OCCURRED_AT:
        return lambda movement: (movement.occurred_at, movement.id)
    return lambda movement: (movement.id,)


class TestProducts:
    NAMES = ("b", "B", "a", "ä", "Ä", "z", "", "同", "b", "b", "~", "_", "a b", "a-b", "ß", "ss", "10", "9")

    @pytest.fixture
    async def category(self, ledger: Ledger) -> str:
        """Of products whose names differ little, and times not at all, some of them."""
        category = letters()
        times = [EARLY + timedelta(microseconds=number // 5) for number in range(len(self.NAMES))]
        for number, (name, at) in enumerate(zip(self.NAMES, times, strict=True)):
            await self.add(
                ledger,
                name,
                at,
                category=category,
                status=ProductStatus.ARCHIVED if number % 3 else ProductStatus.ACTIVE,
                tracking=Tracking.LOT if number % 2 else Tracking.NONE,
            )
        return category

    async def add(self, ledger: Ledger, name: str, at: datetime, **fields: Any) -> None:
        async with ledger.uow() as uow:
            await uow.products.add(new_id(), ProductDraft(letters() + name, name, **fields), at)
            await uow.commit()

    @pytest.mark.parametrize("limit", [1, 4])
    @pytest.mark.parametrize("sort", ProductSort)
    async def test_come_in_their_order_each_once(
        self, ledger: Ledger, category: str, sort: ProductSort, limit: int
    ) -> None:
        criteria = ProductFilter(category=category)
        whole = await ledger.product_page(criteria, sort, None, 1000)
        pages = await walked(lambda after: ledger.product_page(criteria, sort, after, limit), by_product(sort))
        assert pages == whole
        assert sorted(product.name for product in whole) == sorted(self.NAMES)

    @pytest.mark.parametrize("column", ["sku", "name", "created_at", "updated_at"])
    async def test_come_in_the_opposite_order_the_other_way(self, ledger: Ledger, category: str, column: str) -> None:
        criteria = ProductFilter(category=category)
        forth, back = [
            await ledger.product_page(criteria, ProductSort(sort), None, 1000) for sort in (column, f"-{column}")
        ]
        assert forth == back[::-1]

    async def test_come_by_sku_and_by_time_the_same_on_every_database(self, ledger: Ledger, category: str) -> None:
        criteria = ProductFilter(category=category)
        by_sku = await ledger.product_page(criteria, ProductSort.SKU, None, 1000)
        assert by_sku == sorted(by_sku, key=lambda product: sku_key(product.sku).encode())
        by_time = await ledger.product_page(criteria, ProductSort.CREATED_AT, None, 1000)
        assert by_time == sorted(by_sku, key=lambda product: (product.created_at, product.id))

    @pytest.mark.parametrize("sort", ProductSort)
    @pytest.mark.parametrize("name", ["status", "tracking", "status, tracking", "q"])
    async def test_that_match_are_neither_dropped_nor_repeated(
        self, ledger: Ledger, category: str, sort: ProductSort, name: str
    ) -> None:
        archived, tracked = ProductStatus.ARCHIVED, Tracking.LOT
        cases: dict[str, tuple[ProductFilter, Callable[[Product], bool]]] = {
            "status": (ProductFilter(None, archived, category), lambda each: each.status is archived),
            "tracking": (ProductFilter(None, None, category, tracked), lambda each: each.tracking is tracked),
            "status, tracking": (
                ProductFilter(None, archived, category, tracked),
                lambda each: each.status is archived and each.tracking is tracked,
            ),
            "q": (ProductFilter("b", None, category), lambda each: "b" in each.name.lower()),
        }
        criteria, matches = cases[name]
        every = await ledger.product_page(ProductFilter(category=category), sort, None, 1000)
        found = await walked(lambda after: ledger.product_page(criteria, sort, after, 2), by_product(sort))
        assert found == [product for product in every if matches(product)]
        assert 2 < len(found) < len(every)

    @pytest.mark.parametrize("sort", ProductSort)
    async def test_that_come_meanwhile_move_none_of_the_others(
        self, ledger: Ledger, category: str, sort: ProductSort
    ) -> None:
        criteria = ProductFilter(category=category)
        before = await ledger.product_page(criteria, sort, None, 1000)

        async def between() -> None:
            if len(await ledger.product_page(criteria, sort, None, 1000)) < 60:
                await asyncio.gather(
                    *[
                        self.add(ledger, name, at, category=category)
                        for name, at in (("a", EARLY - HOUR), ("m", EARLY), ("zz", utc_now()))
                    ]
                )

        seen = await walked(lambda after: ledger.product_page(criteria, sort, after, 5), by_product(sort), between)
        assert len({product.id for product in seen}) == len(seen)
        assert [product for product in seen if product in before] == before


@dataclass(frozen=True)
class Stock:
    """Three tracked products and a plain one at three locations of two warehouses, with a history."""

    ledger: Ledger
    products: Sequence[Product]
    warehouses: Sequence[Warehouse]
    locations: Sequence[Location]
    order: str

    @classmethod
    async def on(cls, ledger: Ledger) -> "Stock":
        products = [*[await ledger.tracked() for _ in range(3)], await ledger.product()]
        warehouses = [await ledger.warehouse() for _ in range(2)]
        locations = [await ledger.location(warehouses[number % 2]) for number in range(3)]
        order = code("PO")
        for number, location in enumerate(locations):
            for product in products:
                lots = [None] if product.tracking is Tracking.NONE else ["B", "a", "á"]
                lines = [line(product, 9, location, lot) for lot in lots]
                happened = EARLY + timedelta(hours=number % 2)
                await ledger.receive(*lines, occurred_at=happened, reference=order if number else None)
        return cls(ledger, products, warehouses, locations, order)

    async def balances(self) -> list[Balance]:
        """In the order of the list."""
        ids = {product.id for product in self.products}
        found = [
            balance
            for product_id in ids
            for balance in await self.ledger.balance_page(BalanceFilter(product_id=product_id), None, 1000)
        ]
        return sorted(found, key=by_balance)

    async def movements(self) -> list[Movement]:
        found = [
            movement for product in self.products for movement in await self.ledger.movements(product_id=product.id)
        ]
        return sorted(found, key=lambda movement: movement.id)


@pytest.fixture(scope="session")
async def stock(ledger: Ledger) -> Stock:
    return await Stock.on(ledger)


class TestBalances:
    @pytest.mark.parametrize("limit", [1, 4])
    @pytest.mark.parametrize("name", ["product_id", "sku", "warehouse_id", "location_id", "lot", "all of them"])
    async def test_come_by_product_location_and_lot_each_once(self, stock: Stock, name: str, limit: int) -> None:
        product, warehouse, location = stock.products[1], stock.warehouses[0], stock.locations[2]
        criteria = {
            "product_id": BalanceFilter(product_id=product.id),
            "sku": BalanceFilter(sku=product.sku.lower()),
            "warehouse_id": BalanceFilter(warehouse_id=warehouse.id),
            "location_id": BalanceFilter(location_id=location.id),
            "lot": BalanceFilter(warehouse_id=warehouse.id, lot="a"),
            "all of them": BalanceFilter(product.id, product.sku, warehouse.id, location.id, "á"),
        }[name]
        found = await walked(lambda after: stock.ledger.balance_page(criteria, after, limit), by_balance)
        assert found == [balance for balance in await stock.balances() if self.matches(balance, criteria)]
        assert found

    def matches(self, balance: Balance, criteria: BalanceFilter) -> bool:
        wanted = {name: getattr(criteria, name) for name in ("product_id", "warehouse_id", "location_id", "lot")}
        same = all(value in (None, getattr(balance, name)) for name, value in wanted.items())
        return same and (criteria.sku is None or criteria.sku.lower() == balance.sku.lower())

    async def test_of_all_products_hold_these_in_their_order(self, stock: Stock) -> None:
        found = await walked(lambda after: stock.ledger.balance_page(BalanceFilter(), after, 500), by_balance)
        keys = [by_balance(balance) for balance in found]
        assert keys == sorted(keys)
        assert len(set(keys)) == len(keys)
        mine = {product.id for product in stock.products}
        assert [balance for balance in found if balance.product_id in mine] == await stock.balances()

    async def test_that_come_meanwhile_move_none_of_the_others(self, ledger: Ledger) -> None:
        stock = await Stock.on(ledger)
        criteria, before = BalanceFilter(warehouse_id=stock.warehouses[0].id), set()
        before = {by_balance(balance) for balance in await ledger.balance_page(criteria, None, 1000)}
        numbers = iter(range(1000))

        async def between() -> None:
            lots = [f"{start}{next(numbers)}" for start in ("A", "b", "zz")]
            await asyncio.gather(*[ledger.receive(line(stock.products[1], 1, stock.locations[0], lot)) for lot in lots])

        async def page(after: Sequence[Any] | None) -> list[Balance]:
            return await ledger.balance_page(criteria, after, 4)

        seen = [by_balance(balance) for balance in await walked(page, by_balance, between)]
        assert len(set(seen)) == len(seen)
        assert before <= set(seen)
        assert seen == sorted(seen)

    async def test_that_are_low_are_those_of_products_at_their_reorder_point(self, ledger: Ledger) -> None:
        warehouse, other = await ledger.warehouse(), await ledger.warehouse()
        here, there = await ledger.location(warehouse), await ledger.location(other)
        enough, low, spread, unwatched = [await ledger.product(reorder_point=point) for point in (4, 5, 6, None)]
        await ledger.receive(*[line(product, 5, here) for product in (enough, low, spread, unwatched)])
        await ledger.receive(line(spread, 5, there))

        async def found(**criteria: Any) -> set[UUID]:
            mine = {enough.id, low.id, spread.id, unwatched.id}
            balances = await walked(
                lambda after: ledger.balance_page(BalanceFilter(low=True, **criteria), after, 2), by_balance
            )
            return {balance.product_id for balance in balances} & mine

        assert await found() == {low.id}
        assert await found(warehouse_id=warehouse.id) == {low.id, spread.id}
        assert await found(product_id=spread.id, warehouse_id=other.id) == {spread.id}
        await ledger.reserve(line(enough, 1, here))
        assert await found(location_id=here.id) == {enough.id, low.id}


class TestMovements:
    @pytest.mark.parametrize("sort", MovementSort)
    @pytest.mark.parametrize(
        "name",
        ["product_id", "sku", "warehouse_id", "location_id", "command_id", "reference", "occurred", "all of them"],
    )
    async def test_come_in_their_order_each_once(self, stock: Stock, sort: MovementSort, name: str) -> None:
        every = await stock.movements()
        some = every[-1]
        same = {
            each: getattr(some, each) for each in ("product_id", "sku", "warehouse_id", "location_id", "command_id")
        }
        criteria = {
            "reference": MovementFilter(reference=stock.order),
            "occurred": MovementFilter(
                product_id=some.product_id, occurred_from=EARLY + HOUR, occurred_to=EARLY + 2 * HOUR
            ),
            "all of them": MovementFilter(
                **same, reference=some.reference, occurred_from=some.occurred_at, occurred_to=some.occurred_at + HOUR
            ),
        }.get(name) or MovementFilter(**{name: same[name]})
        found = await walked(lambda after: stock.ledger.movement_page(criteria, sort, after, 2), by_movement(sort))
        position = by_movement(sort)
        wanted = sorted((each for each in every if self.matches(each, criteria)), key=position)
        assert found == (wanted[::-1] if sort.startswith("-") else wanted)
        assert found

    def matches(self, movement: Movement, criteria: MovementFilter) -> bool:
        names = ("product_id", "sku", "warehouse_id", "location_id", "command_id", "reference")
        return (
            all(getattr(criteria, name) in (None, getattr(movement, name)) for name in names)
            and (criteria.occurred_from is None or criteria.occurred_from <= movement.occurred_at)
            and (criteria.occurred_to is None or movement.occurred_at < criteria.occurred_to)
        )

    @pytest.mark.parametrize("sort", MovementSort)
    async def test_that_come_meanwhile_move_none_of_the_others(self, ledger: Ledger, sort: MovementSort) -> None:
        product, location = await ledger.product(), await ledger.location()
        for number in range(10):
            await ledger.receive(line(product, 1, location), occurred_at=EARLY + timedelta(hours=number % 3))
        criteria = MovementFilter(product_id=product.id)
        before = await ledger.movement_page(criteria, sort, None, 1000)

        async def between() -> None:
            if len(await ledger.movements(product_id=product.id)) < 40:
                times = [EARLY - HOUR, EARLY + HOUR, utc_now()]
                await asyncio.gather(*[ledger.receive(line(product, 1, location), occurred_at=at) for at in times])

        async def page(after: Sequence[Any] | None) -> list[Movement]:
            return await ledger.movement_page(criteria, sort, after, 3)

        seen = await walked(page, by_movement(sort), between)
        assert len({movement.id for movement in seen}) == len(seen)
        assert [movement for movement in seen if movement in before] == before


@pytest.fixture(scope="session")
async def order(ledger: Ledger) -> str:
    """The reference of three reservations in each state; the expired ones were not swept."""
    product, location = await ledger.stocked(100)
    order = code("SO")
    for _ in range(3):
        held = [await ledger.reserve(line(product, 1, location), reference=order) for _ in range(4)]
        await ledger.confirm(held[0])
        await ledger.release(held[1])
        await ledger.lapse(held[2])
    return order


class TestReservations:
    @pytest.mark.parametrize("limit", [1, 2, 5])
    @pytest.mark.parametrize("status", [None, *ReservationStatus])
    async def test_come_newest_first_each_once(
        self, ledger: Ledger, order: str, status: ReservationStatus | None, limit: int
    ) -> None:
        async def page(after: Sequence[Any] | None) -> list[Reservation]:
            return await ledger.reservations.page(status, order, after, limit)

        found = await walked(page, lambda reservation: (reservation.id,))
        every = await ledger.reservations.page(None, order, None, 1000)
        assert [each.id for each in every] == sorted((each.id for each in every), reverse=True)
        assert found == [each for each in every if status in (None, each.status)]
        assert len(found) == (12 if status is None else 3)
        assert all(each.lines for each in found)

    async def test_that_come_meanwhile_move_none_of_the_others(self, ledger: Ledger) -> None:
        product, location = await ledger.stocked(100)
        order = code("SO")
        before = [await ledger.reserve(line(product, 1, location), reference=order) for _ in range(9)]

        async def page(after: Sequence[Any] | None) -> list[Reservation]:
            return await ledger.reservations.page(ReservationStatus.ACTIVE, order, after, 2)

        async def between() -> None:
            await ledger.reserve(line(product, 1, location), reference=order)

        seen = await walked(page, lambda reservation: (reservation.id,), between)
        assert seen == before[::-1]
