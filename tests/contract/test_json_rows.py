"""JSON made by the database is what would be made here, whatever is in the rows."""

from dataclasses import replace
from datetime import UTC, date, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import Boolean, column

from tests.contract.ledger import Ledger, code, line
from tests.contract.rows import records
from warehouse import lengths
from warehouse.cache.tags import segment_of
from warehouse.catalogue.model import (
    NegativeStock,
    Product,
    ProductDraft,
    ProductFilter,
    ProductSort,
    ProductStatus,
    Tracking,
)
from warehouse.ids import new_id
from warehouse.locations.model import CodeSort, Location, LocationDraft, LocationKind, Warehouse, WarehouseDraft
from warehouse.quantities import MAX_ON_HAND
from warehouse.stock.model import (
    NO_LOT,
    Balance,
    BalanceChange,
    BalanceFilter,
    BalanceKey,
    Movement,
    MovementFilter,
    MovementKind,
    MovementSort,
)
from warehouse.storage.json_rows import json_object
from warehouse.text import compare_key

AWKWARD = "\"\\/'%:{}[],\b\t\n\f\r\x01\x1f\x7f\x85\u2028\u2029\ufeff\uffffßİ🍮$1 n"
# All but what not every database keeps: see `warehouse.http.strictness`.
CHARACTERS = st.sampled_from(AWKWARD) | st.characters(exclude_categories=["Cs"], exclude_characters="\0")
TIMES = st.datetimes(datetime(1970, 1, 1), datetime(9998, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001 (hypothesis wants it so)
MOMENTS = (
    TIMES
    | TIMES.map(lambda time: time.replace(microsecond=time.microsecond // 1000 * 1000))
    | TIMES.map(lambda time: time.replace(microsecond=0))
)
NUMBERS = st.integers(-(2**53), 2**53) | st.floats(allow_nan=False, allow_infinity=False) | st.just(1e300)


def texts(longest: int) -> st.SearchStrategy[str]:
    return st.text(CHARACTERS, max_size=min(longest, 40))


def drafts() -> st.SearchStrategy[ProductDraft]:
    return st.builds(
        ProductDraft,
        sku=texts(40).map(lambda text: code() + text),
        name=texts(lengths.PRODUCT_NAME),
        description=st.none() | texts(lengths.DESCRIPTION),
        category=texts(lengths.CATEGORY).map(lambda text: code() + text),
        unit=texts(lengths.UNIT),
        barcodes=st.lists(texts(lengths.BARCODE), max_size=3).map(tuple),
        reorder_point=st.none() | st.integers(0, lengths.REORDER_POINT),
        tracking=st.sampled_from(Tracking),
        negative_stock=st.sampled_from(NegativeStock),
        attributes=st.dictionaries(texts(lengths.ATTRIBUTE_KEY), texts(100) | st.booleans() | NUMBERS, max_size=4),
        status=st.sampled_from(ProductStatus),
    )


@settings(deadline=None, max_examples=100)
@given(draft=drafts(), at=MOMENTS)
async def test_products(ledger: Ledger, draft: ProductDraft, at: datetime) -> None:
    product_id = new_id()
    async with ledger.uow() as uow:
        await uow.products.add(product_id, draft, at)
        criteria = ProductFilter(category=draft.category)
        paged = records(Product, await uow.products.page_json(criteria, ProductSort.NAME, None, 1))
        segments = await uow.products.segments_json([segment_of(product_id)])
        kept = await uow.products.get(product_id)
    assert paged == [kept]
    assert kept in records(Product, segments[segment_of(product_id)])


@settings(deadline=None, max_examples=50)
@given(
    texts=st.tuples(texts(lengths.PLACE_NAME), *[st.none() | texts(lengths.ADDRESS)] * 2),
    kind=st.sampled_from(LocationKind),
    at=MOMENTS,
)
async def test_places(
    ledger: Ledger, texts: tuple[str, str | None, str | None], kind: LocationKind, at: datetime
) -> None:
    warehouse_id, outer_id, inner_id, unique = new_id(), new_id(), new_id(), code()
    name, address, location_name = texts
    async with ledger.uow() as uow:
        warehouse = await uow.warehouses.add(warehouse_id, WarehouseDraft(unique + name[:20], name, address), at)
        outer = await uow.locations.add(outer_id, warehouse_id, LocationDraft("A", location_name, kind), at)
        inner = await uow.locations.add(inner_id, warehouse_id, LocationDraft("B", None, kind, outer_id), at)
        sites = await uow.warehouses.page_json(None, CodeSort.CODE, (compare_key(unique[:-1]),), 1)
        places = await uow.locations.page_json(warehouse_id, kind, None, CodeSort.CODE, None, 10)
    assert records(Warehouse, sites) == [warehouse]
    assert records(Location, places) == [outer, inner]


@settings(deadline=None, max_examples=50)
@given(
    lot=texts(lengths.LOT),
    day=st.none() | st.dates(date(1970, 1, 1)),
    at=MOMENTS,
    quantity=st.integers(1, MAX_ON_HAND - 1),
)
async def test_balances(
    ledger: Ledger, stocked: BalanceChange, lot: str, day: date | None, at: datetime, quantity: int
) -> None:
    key = BalanceKey(stocked.key.product_id, stocked.key.location_id, lot)
    async with ledger.uow() as uow:
        await uow.stock.note_lots({(key.product_id, lot): day})
        await uow.stock.apply(BalanceChange(key, stocked.warehouse_id, quantity, quantity // 2, guarded=False), at)
        paged = await uow.stock.page_json(BalanceFilter(product_id=key.product_id, lot=lot), at, None, 10)
        kept = await uow.stock.balances([key], at)
    assert records(Balance, paged) == kept


@settings(deadline=None, max_examples=50)
@given(
    lot=texts(lengths.LOT),
    texts=st.tuples(*[st.none() | texts(lengths.REASON)] * 2, texts(100)),
    occurred_at=MOMENTS,
    recorded_at=MOMENTS,
    delta=st.integers(-(2**53), 2**53),
)
async def test_movements(
    ledger: Ledger,
    stocked: BalanceChange,
    lot: str,
    texts: tuple[str | None, str | None, str],
    occurred_at: datetime,
    recorded_at: datetime,
    delta: int,
) -> None:
    key = BalanceKey(stocked.key.product_id, stocked.key.location_id, lot)
    reason, reference, actor = texts
    movement = Movement(
        id=new_id(),
        command_id=new_id(),
        line=1,
        product_id=key.product_id,
        sku="",
        warehouse_id=stocked.warehouse_id,
        location_id=key.location_id,
        lot=lot or None,
        delta=delta,
        kind=MovementKind.COUNT,
        reason=reason,
        reference=reference,
        actor=actor,
        occurred_at=occurred_at,
        recorded_at=recorded_at,
    )
    async with ledger.uow() as uow:
        await uow.stock.note_lots({(key.product_id, lot): None})
        await uow.stock.apply(BalanceChange(key, stocked.warehouse_id, 1, 0, guarded=False), recorded_at)
        await uow.stock.append([movement])
        criteria = MovementFilter(command_id=movement.command_id)
        listed = await uow.stock.movement_page_json(criteria, MovementSort.OCCURRED_AT, None, 10)
        kept = await uow.stock.movements_of(movement.command_id)
    assert records(Movement, listed) == kept == [replace(movement, sku=kept[0].sku)]


@pytest.fixture(scope="session")
async def stocked(ledger: Ledger) -> BalanceChange:
    """What a balance may be made of."""
    product, location = await ledger.stocked(1)
    return BalanceChange(BalanceKey(product.id, location.id, NO_LOT), location.warehouse_id, 1, 0, guarded=True)


async def test_what_expired_reservations_hold_is_not_reserved(ledger: Ledger) -> None:
    """The one value that is computed from another table, in sums that are fractions on MySQL."""
    product, location = await ledger.stocked(5)
    for quantity in (2, 1):
        await ledger.lapse(await ledger.reserve(line(product, quantity, location)))
    await ledger.reserve(line(product, 1, location))
    [balance] = await ledger.balance_page(BalanceFilter(product_id=product.id), None, 10)
    assert (balance.on_hand, balance.reserved, balance.available) == (5, 1, 4)


def test_a_type_without_a_form_is_refused() -> None:
    with pytest.raises(TypeError, match="Boolean"):
        json_object({"flag": column("flag", Boolean())})
