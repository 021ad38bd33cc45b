"""Rows of files, posted in one transaction after the other by one who remembers what they share."""

from datetime import UTC, datetime
from uuid import UUID

import pytest

from tests.contract.ledger import Ledger, code
from warehouse.catalogue.model import Product
from warehouse.catalogue.sql import SqlProductRepository
from warehouse.clock import utc_now
from warehouse.errors import TransactionConflict
from warehouse.ids import new_id
from warehouse.locations.model import Location
from warehouse.quantities import MAX_ON_HAND
from warehouse.stock import accounts
from warehouse.stock.accounts import RowStatus
from warehouse.stock.bulk import LedgerRow, Posting
from warehouse.stock.model import BalanceKey, MovementKind
from warehouse.storage import inserting

MOMENT = datetime(2024, 2, 29, 23, 59, 59, 999999, UTC)
POSTED, REPEATED, REFUSED = RowStatus.POSTED, RowStatus.REPEATED, RowStatus.REFUSED


def row(product: Product, location: Location, quantity: int = 1, reference: str | None = None) -> LedgerRow:
    kind = MovementKind.RECEIPT if quantity > 0 else MovementKind.SHIPMENT
    names = (product.sku, None, location.code, None, None)
    return LedgerRow(new_id(), kind, *names, abs(quantity), None, reference, MOMENT)


async def post(ledger: Ledger, posting: Posting, *rows: LedgerRow) -> list[RowStatus]:
    async with ledger.uow() as uow:
        outcomes = await posting.post(uow, rows, "tester", utc_now())
        await uow.commit()
    return [outcome.status for outcome in outcomes]


async def changed(ledger: Ledger, product: Product, change: dict[str, object]) -> None:
    await ledger.catalogue.update(product.id, change, None)


async def on_hand(ledger: Ledger, product: Product) -> int:
    return sum(quantity for quantity, _ in (await ledger.stored(product)).values())


class TestRepetitions:
    async def test_are_found_by_the_database_and_looked_for_from_then_on(self, ledger: Ledger) -> None:
        product, location = await ledger.product(), await ledger.location()
        done, new = row(product, location, 5), row(product, location, 2)
        assert await post(ledger, Posting(), done) == [POSTED]
        posting = Posting()
        with pytest.raises(TransactionConflict):
            await post(ledger, posting, new, done)
        assert await on_hand(ledger, product) == 5
        assert await post(ledger, posting, new, done) == [POSTED, REPEATED]
        assert await post(ledger, posting, new, done) == [REPEATED, REPEATED]
        assert await on_hand(ledger, product) == 7

    async def test_are_looked_for_at_once_with_care(self, ledger: Ledger) -> None:
        product, location = await ledger.product(), await ledger.location()
        rows = [row(product, location) for _ in range(3)]
        posting = Posting(careful=True)
        for _ in range(2):
            assert await post(ledger, posting, row(product, location)) == [POSTED]
            assert len(set(await post(ledger, posting, *rows))) == 1
        assert await on_hand(ledger, product) == 5

    async def test_that_cannot_be_posted_again_are_no_refusals(self, ledger: Ledger) -> None:
        product, location = await ledger.stocked(3)
        sale = row(product, location, -3)
        assert await post(ledger, Posting(), sale) == [POSTED]
        assert await post(ledger, Posting(), sale, row(product, location, -1)) == [REPEATED, REFUSED]

    async def test_within_the_rows_are_seen_too(self, ledger: Ledger) -> None:
        product, location = await ledger.product(), await ledger.location()
        twice = row(product, location)
        assert await post(ledger, Posting(), twice, twice) == [POSTED, REPEATED]


class TestRanges:
    async def test_what_is_beyond_is_refused_by_the_database_and_then_row_by_row(self, ledger: Ledger) -> None:
        product, location = await ledger.product(), await ledger.location()
        posting = Posting()
        assert await post(ledger, posting, row(product, location, MAX_ON_HAND - 5)) == [POSTED]
        rows = [row(product, location, quantity) for quantity in (3, 3, 2)]
        with pytest.raises(TransactionConflict):
            await post(ledger, posting, *rows)
        assert await post(ledger, posting, *rows) == [POSTED, REFUSED, POSTED]
        assert await on_hand(ledger, product) == MAX_ON_HAND
        assert await post(ledger, posting, row(product, location, -1)) == [POSTED]

    async def test_a_balance_below_zero_comes_back(self, ledger: Ledger) -> None:
        product, location = await ledger.overdrawable(), await ledger.location()
        posting = Posting()
        assert await post(ledger, posting, row(product, location, -3)) == [POSTED]
        await changed(ledger, product, {"negative_stock": "forbid"})
        assert await post(ledger, posting, row(product, location, 2)) == [POSTED]
        assert await post(ledger, posting, row(product, location, -1)) == [REFUSED]
        assert await post(ledger, posting, row(product, location, 2), row(product, location, -1)) == [POSTED] * 2
        assert await on_hand(ledger, product) == 0


class TestRemembering:
    async def test_products_are_asked_for_once(self, ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
        products = [await ledger.product() for _ in range(3)]
        location = await ledger.location()
        posting = Posting()
        assert await post(ledger, posting, *(row(each, location) for each in products)) == [POSTED] * 3
        monkeypatch.setattr(SqlProductRepository, "terms", None)  # It would be called for a product that is new.
        assert await post(ledger, posting, *(row(each, location) for each in products)) == [POSTED] * 3

    async def test_what_is_said_of_a_product_meanwhile_counts(self, ledger: Ledger) -> None:
        product, location = await ledger.product(), await ledger.location()
        other = await ledger.product()
        posting = Posting()
        assert await post(ledger, posting, row(product, location), row(other, location)) == [POSTED] * 2
        await changed(ledger, product, {"status": "archived"})
        assert await post(ledger, posting, row(other, location), row(product, location)) == [POSTED, REFUSED]
        await changed(ledger, product, {"status": "active", "negative_stock": "allow"})
        assert await post(ledger, posting, row(product, location, -3)) == [POSTED]
        assert await on_hand(ledger, product) == -2

    async def test_a_product_that_is_gone_is_unknown(self, ledger: Ledger) -> None:
        product, location = await ledger.product(), await ledger.location()
        posting = Posting()
        assert await post(ledger, posting, row(product, location, -1)) == [REFUSED]
        await ledger.catalogue.delete(product.id, None)
        assert await post(ledger, posting, row(product, location)) == [REFUSED]

    async def test_no_more_products_than_there_is_room_for(
        self, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(accounts, "MOST_REMEMBERED", 2)
        products = [await ledger.product() for _ in range(5)]
        location = await ledger.location()
        posting = Posting()
        for some in (products[:2], products[1:3], products, products[4:]):
            assert set(await post(ledger, posting, *(row(each, location) for each in some))) == {POSTED}
        assert [await on_hand(ledger, each) for each in products] == [2, 3, 2, 1, 2]


class TestUnchanged:
    async def test_only_where_each_still_is_at_its_version(self, ledger: Ledger) -> None:
        one, other = await ledger.product(), await ledger.product()
        versions = {one.id: 1, other.id: 1}
        assert await are_unchanged(ledger, {})
        assert await are_unchanged(ledger, versions)
        await changed(ledger, other, {"name": "Another name"})
        assert not await are_unchanged(ledger, versions)
        assert await are_unchanged(ledger, {one.id: 1, other.id: 2})
        await ledger.catalogue.delete(one.id, None)
        assert not await are_unchanged(ledger, {one.id: 1, other.id: 2})

    async def test_of_more_than_one_statement_takes(self, ledger: Ledger) -> None:
        product = await ledger.product()
        assert not await are_unchanged(ledger, {product.id: 1, **{new_id(): 1 for _ in range(1500)}})


async def are_unchanged(ledger: Ledger, versions: dict[UUID, int]) -> bool:
    async with ledger.uow(read_only=True) as uow:
        return await uow.products.are_unchanged(versions)


class TestManyRows:
    async def test_of_any_text_over_many_statements(self, ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(inserting, "STATEMENT_CHARACTERS", 2000)
        product, location = await ledger.product(), await ledger.location()
        texts = ["100 %", "%s", "%%", "a'b", 'a"b', "\\", "\\'", "'; DROP TABLE movements --", "😀", "NULL", "é" * 128]
        rows = [row(product, location, reference=text) for text in texts * 3]
        assert set(await post(ledger, Posting(), *rows)) == {POSTED}
        movements = await ledger.movements(product_id=product.id)
        assert sorted(str(each.reference) for each in movements) == sorted(texts * 3)
        assert {(each.occurred_at, each.reason, each.actor) for each in movements} == {(MOMENT, None, "tester")}

    async def test_as_many_balances_as_one_statement_takes_are_locked(self, ledger: Ledger) -> None:
        product, locations = await ledger.product(), [await ledger.location() for _ in range(30)]
        rows = [row(product, location, 7) for location in locations]
        await post(ledger, Posting(), *rows)
        there = [BalanceKey(product.id, location.id, "") for location in locations]
        absent = [BalanceKey(new_id(), location.id, code()) for location in locations for _ in range(50)]
        async with ledger.uow() as uow:
            held = await uow.stock.lock([*absent, *there])
            assert await uow.stock.lock(absent[:1]) == {}
        assert [each.key for each in held.values()] == sorted(there)
        places = {each.key.location_id: each.warehouse_id for each in held.values()}
        assert places == {location.id: location.warehouse_id for location in locations}
        assert {(each.on_hand, each.reserved, each.version) for each in held.values()} == {(7, 0, 1)}
