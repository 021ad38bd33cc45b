"""The catalogue on every database."""

import asyncio
import random
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest

from tests.contract.ledger import CALLER, Ledger, code, command, line
from tests.contract.rows import records
from warehouse import lengths
from warehouse.cache.tags import SEGMENTS, segment_of
from warehouse.catalogue.model import (
    NegativeStock,
    Product,
    ProductDraft,
    ProductFilter,
    ProductSort,
    ProductStatus,
    StockTerms,
    Tracking,
)
from warehouse.catalogue.upserting import ProductChange, UpsertResult
from warehouse.clock import utc_now
from warehouse.commands.model import Answer, Command
from warehouse.errors import Code, Conflict, FieldError, Invalid, NotFound, StaleVersion, TransactionConflict
from warehouse.ids import new_id
from warehouse.upserts import UpsertStatus

FULL: Mapping[str, Any] = {
    "name": "Crème brûlée 🍮 / 焦糖布丁",
    "description": "Two lines:\n\twith 'quotes', \"more\", \\ and %s ; -- DROP TABLE",
    "category": "Dessert > Süß",
    "unit": "ml",
    "barcodes": ("4006381333931", "ÄÖ-1", "4006381333931"),
    "reorder_point": 10**12,
    "tracking": Tracking.LOT,
    "negative_stock": NegativeStock.ALLOW,
    "attributes": {"ünit": "ß", "n": 2**53, "half": 0.5, "yes": True, "no": False, "empty": "", "neg": -1},
    "status": ProductStatus.ARCHIVED,
}


class TestCreating:
    async def test_reads_back_as_it_was_made(self, ledger: Ledger) -> None:
        product = await ledger.product(**FULL)
        assert product.draft() == ProductDraft(product.sku, **FULL)
        assert (product.version, product.created_at) == (1, product.updated_at)
        assert abs(product.created_at - utc_now()) < timedelta(minutes=1)
        assert await ledger.catalogue.get(product.id) == product
        assert {type(value) for value in product.attributes.values()} == {str, int, float, bool}

    async def test_needs_no_more_than_a_sku_and_a_name(self, ledger: Ledger) -> None:
        product = await ledger.catalogue.get((await ledger.product()).id)
        assert product.draft() == ProductDraft(product.sku, "Rye bread")

    async def test_takes_texts_of_the_greatest_length(self, ledger: Ledger) -> None:
        wide = "\N{LATIN SMALL LIGATURE FFI}"  # which folds to three characters
        product = await ledger.product(
            sku=code() + wide * (lengths.SKU - len(code())),
            name="🍞" * lengths.PRODUCT_NAME,
            description="🍞" * lengths.DESCRIPTION,
            category="🍞" * lengths.CATEGORY,
            unit="🍞" * lengths.UNIT,
            barcodes=tuple(f"{number:02}" + "🍞" * (lengths.BARCODE - 2) for number in range(lengths.BARCODES)),
            attributes={
                f"{number:02}" + "🍞" * (lengths.ATTRIBUTE_KEY - 2): "🍞" * lengths.ATTRIBUTE_VALUE
                for number in range(lengths.ATTRIBUTES)
            },
        )
        assert await ledger.catalogue.by_sku(product.sku) == product

    async def test_is_found_by_its_sku_in_any_case_and_either_normal_form(self, ledger: Ledger) -> None:
        product = await ledger.product(sku=code("Caf\N{LATIN SMALL LETTER E WITH ACUTE}-Straße"))
        for spelling in (
            product.sku.upper(),
            product.sku.lower(),
            product.sku.replace("é", "e\N{COMBINING ACUTE ACCENT}"),
        ):
            assert await ledger.catalogue.by_sku(spelling) == product
        for other in (product.sku.replace("é", "e"), product.sku + "x", product.sku[:-1]):
            with pytest.raises(NotFound):
                await ledger.catalogue.by_sku(other)

    async def test_skus_that_differ_in_case_alone_are_one_sku(self, ledger: Ledger) -> None:
        product = await ledger.product()
        with pytest.raises(Conflict) as refusal:
            await ledger.product(sku=product.sku.lower())
        assert_duplicate_sku(refusal.value)

    async def test_many_creations_of_one_sku_at_once_make_one_product(self, ledger: Ledger) -> None:
        sku = code()
        results = await asyncio.gather(*[ledger.product(sku=sku) for _ in range(10)], return_exceptions=True)
        assert sum(isinstance(result, Product) for result in results) == 1
        assert {result.code for result in results if isinstance(result, Conflict)} == {Code.DUPLICATE_SKU}

    async def test_a_repeated_creation_under_one_key_gets_the_first_answer(self, ledger: Ledger) -> None:
        draft, key = ProductDraft(code(), "Rye bread"), str(new_id())
        first, second = [await ledger.catalogue.create(command(key), draft) for _ in range(2)]
        assert (second.replayed, second.answer) == (True, first.answer)


class TestFinding:
    async def test_many_by_id_and_sku_at_once_and_each_once(self, ledger: Ledger) -> None:
        one, other = await ledger.product(), await ledger.product()
        ids = [one.id, *[new_id() for _ in range(1500)]]
        skus = [one.sku.lower(), other.sku, *[code() for _ in range(1500)]]
        async with ledger.uow(read_only=True) as uow:
            found = await uow.products.find(ids, skus)
            assert await uow.products.find([], []) == []
        assert Counter(product.id for product in found) == {one.id: 1, other.id: 1}

    async def test_what_decides_about_the_stock_of_many_by_sku(self, ledger: Ledger) -> None:
        plain = await ledger.product()
        tracked = await ledger.product(tracking=Tracking.LOT, negative_stock=NegativeStock.ALLOW)
        await ledger.change(tracked, status=ProductStatus.ARCHIVED)
        skus = [plain.sku.lower(), plain.sku, tracked.sku, *[code() for _ in range(1500)]]
        async with ledger.uow(read_only=True) as uow:
            found = await uow.products.terms(skus)
            assert await uow.products.terms([]) == []
        assert {each.id: each for each in found} == {
            plain.id: StockTerms(plain.id, plain.sku, False, Tracking.NONE, False, 1),
            tracked.id: StockTerms(tracked.id, tracked.sku, True, Tracking.LOT, True, 2),
        }
        assert len(found) == 2

    async def test_what_is_not_there_is_not_found(self, ledger: Ledger) -> None:
        for work in (
            ledger.catalogue.get(new_id()),
            ledger.catalogue.by_sku(code()),
            ledger.catalogue.update(new_id(), {"name": "X"}, None),
            ledger.catalogue.delete(new_id(), None),
        ):
            with pytest.raises(NotFound):
                await work


class TestChanging:
    async def test_takes_the_fields_given_and_raises_the_version(self, ledger: Ledger) -> None:
        product = await ledger.product(category="Bread", reorder_point=5)
        changed = await ledger.catalogue.update(product.id, {"name": "Spelt bread", "reorder_point": None}, {1})
        assert (changed.name, changed.category, changed.reorder_point) == ("Spelt bread", "Bread", None)
        assert (changed.version, changed.created_at) == (2, product.created_at)
        assert changed.updated_at > product.updated_at
        assert await ledger.catalogue.get(product.id) == changed

    async def test_to_what_it_is_keeps_the_version(self, ledger: Ledger) -> None:
        product = await ledger.product(attributes={"size": 1})
        fields = {"name": product.name, "attributes": {"size": 1, "gone": None}}
        assert await ledger.catalogue.update(product.id, fields, None) == product
        assert await ledger.catalogue.get(product.id) == product

    async def test_patches_attributes_one_by_one(self, ledger: Ledger) -> None:
        product = await ledger.product(attributes={"keep": 1, "drop": "x", "change": 0.5})
        changed = await ledger.catalogue.update(
            product.id, {"attributes": {"drop": None, "change": True, "new": "n"}}, None
        )
        assert changed.attributes == {"keep": 1, "change": True, "new": "n"}

    async def test_null_takes_a_field_back_to_its_default(self, ledger: Ledger) -> None:
        product = await ledger.product(**{**FULL, "tracking": Tracking.NONE})
        fields = {name: None for name in FULL if name not in ("name", "tracking")}
        changed = await ledger.catalogue.update(product.id, fields, None)
        assert changed.draft() == ProductDraft(product.sku, product.name)

    async def test_there_is_an_end_to_attributes(self, ledger: Ledger) -> None:
        product = await ledger.product(attributes={f"a{number}": number for number in range(lengths.ATTRIBUTES)})
        with pytest.raises(Invalid) as refusal:
            await ledger.catalogue.update(product.id, {"attributes": {"one more": 1}}, None)
        assert [(error.pointer, error.code) for error in refusal.value.errors] == [("/attributes", "too_many")]
        await ledger.catalogue.update(product.id, {"attributes": {"one more": 1, "a0": None}}, None)

    async def test_tracking_is_settled(self, ledger: Ledger) -> None:
        product = await ledger.product()
        with pytest.raises(Invalid) as refusal:
            await ledger.catalogue.update(product.id, {"tracking": Tracking.LOT}, None)
        assert [(error.pointer, error.code) for error in refusal.value.errors] == [("/tracking", "immutable")]

    async def test_may_change_the_case_of_its_sku_but_not_take_that_of_another(self, ledger: Ledger) -> None:
        one, other = await ledger.product(), await ledger.product()
        assert (await ledger.change(one, sku=one.sku.lower())).sku == one.sku.lower()
        with pytest.raises(Conflict) as refusal:
            await ledger.change(one, sku=other.sku.lower())
        assert_duplicate_sku(refusal.value)
        assert (await ledger.catalogue.by_sku(other.sku)).id == other.id

    async def test_of_a_hundred_at_one_version_one_wins(self, ledger: Ledger) -> None:
        product = await ledger.product()
        results = await asyncio.gather(
            *[ledger.catalogue.update(product.id, {"name": f"N{n}"}, {1}) for n in range(100)], return_exceptions=True
        )
        assert sum(isinstance(result, Product) for result in results) == 1
        stale = [result.current_version for result in results if isinstance(result, StaleVersion)]
        assert stale == [2] * 99

    async def test_at_any_version_all_come_through(self, ledger: Ledger) -> None:
        product = await ledger.product()
        await asyncio.gather(*[ledger.change(product, name=f"N{n}") for n in range(8)])
        assert (await ledger.catalogue.get(product.id)).version == 9


class TestDeleting:
    async def test_is_gone(self, ledger: Ledger) -> None:
        product = await ledger.product()
        await ledger.catalogue.delete(product.id, {1})
        with pytest.raises(NotFound):
            await ledger.catalogue.get(product.id)
        assert (await ledger.product(sku=product.sku)).id != product.id

    async def test_at_a_stale_version_deletes_nothing(self, ledger: Ledger) -> None:
        product = await ledger.product()
        with pytest.raises(StaleVersion):
            await ledger.catalogue.delete(product.id, {2})
        assert await ledger.catalogue.get(product.id) == product

    async def test_stays_once_it_has_had_stock(self, ledger: Ledger) -> None:
        product, location = await ledger.stocked(1)
        await ledger.ship(line(product, 1, location))
        with pytest.raises(Conflict) as refusal:
            await ledger.catalogue.delete(product.id, None)
        assert refusal.value.code is Code.IN_USE
        assert await ledger.catalogue.get(product.id) == product

    async def test_while_stock_comes_in_one_of_the_two_fails(self, ledger: Ledger) -> None:
        location = await ledger.location()
        for _ in range(5):
            product = await ledger.product()
            receipt, deletion = await asyncio.gather(
                ledger.receive(line(product, 1, location)),
                ledger.catalogue.delete(product.id, None),
                return_exceptions=True,
            )
            if deletion is None:
                assert isinstance(receipt, Invalid)
            else:
                assert isinstance(deletion, Conflict)
                assert await ledger.held(product) == {(location.id, None): (1, 0)}


def change(sku: str, **fields: Any) -> ProductChange:
    return ProductChange(sku, fields)


def batch(key: str | None = None) -> Command:
    return Command(
        CALLER,
        "tester",
        key,
        bytes(32),
        lambda results: Answer(200, repr(results).encode()),
        lambda _: Answer(409, b""),
    )


class TestUpserting:
    async def upserted(self, ledger: Ledger, *changes: ProductChange) -> Sequence[UpsertResult]:
        results = (await ledger.catalogue.upsert(batch(), changes)).result
        assert results is not None
        return results

    async def test_makes_changes_and_leaves_products_by_their_skus(self, ledger: Ledger) -> None:
        old, same, new = await ledger.product(category="A"), await ledger.product(), code()
        results = await self.upserted(
            ledger,
            change(old.sku.lower(), name="Spelt bread"),
            change(same.sku, name=same.name),
            change(new, **FULL),
        )
        assert [(result.index, result.status, result.version) for result in results] == [
            (0, UpsertStatus.UPDATED, 2),
            (1, UpsertStatus.UNCHANGED, 1),
            (2, UpsertStatus.CREATED, 1),
        ]
        updated = await ledger.catalogue.get(old.id)
        assert (updated.name, updated.category, updated.sku) == ("Spelt bread", "A", old.sku)
        assert await ledger.catalogue.get(same.id) == same
        created = await ledger.catalogue.by_sku(new)
        assert (created.id, created.draft()) == (results[2].id, ProductDraft(new, **FULL))

    async def test_rows_see_what_the_rows_before_them_did(self, ledger: Ledger) -> None:
        sku = code()
        results = await self.upserted(
            ledger,
            change(sku, name="One"),
            change(sku.lower(), category="C"),
            change(sku, name="One"),
            change(sku, attributes={"n": 1}),
        )
        assert [result.status for result in results] == [
            UpsertStatus.CREATED,
            UpsertStatus.UPDATED,
            UpsertStatus.UNCHANGED,
            UpsertStatus.UPDATED,
        ]
        product = await ledger.catalogue.by_sku(sku)
        assert (product.sku, product.name, product.category, product.attributes) == (sku, "One", "C", {"n": 1})
        assert {result.id for result in results} == {product.id}
        assert (product.version, results[-1].version) == (1, 1)

    async def test_a_row_at_fault_keeps_no_other_out(self, ledger: Ledger) -> None:
        old, nameless, fine = await ledger.product(), code(), code()
        results = await self.upserted(
            ledger,
            change(old.sku, tracking=Tracking.LOT),
            change(nameless, category="C"),
            change(fine, name="Fine"),
        )
        assert [result.status for result in results] == [
            UpsertStatus.FAILED,
            UpsertStatus.FAILED,
            UpsertStatus.CREATED,
        ]
        assert [[(error.pointer, error.code) for error in result.errors] for result in results] == [
            [("/tracking", "immutable")],
            [("/name", "missing")],
            [],
        ]
        assert await ledger.catalogue.get(old.id) == old
        assert (results[1].id, results[1].version) == (None, None)

    async def test_the_same_again_changes_nothing(self, ledger: Ledger) -> None:
        changes = [change(code(), **FULL) for _ in range(20)]
        await self.upserted(ledger, *changes)
        before = [await ledger.catalogue.by_sku(each.sku) for each in changes]
        results = await self.upserted(ledger, *changes)
        assert {result.status for result in results} == {UpsertStatus.UNCHANGED}
        assert [await ledger.catalogue.by_sku(each.sku) for each in changes] == before

    async def test_true_is_not_one(self, ledger: Ledger) -> None:
        product = await ledger.product(attributes={"n": 1})
        [result] = await self.upserted(ledger, change(product.sku, attributes={"n": True}))
        assert result.status is UpsertStatus.UPDATED
        assert (await ledger.catalogue.get(product.id)).attributes["n"] is True

    async def test_takes_five_thousand_rows_in_one_transaction(self, ledger: Ledger) -> None:
        skus = [code(f"N{number:04}") for number in range(5000)]
        results = await self.upserted(ledger, *[change(sku, name="Bread") for sku in skus])
        assert Counter(result.status for result in results) == {UpsertStatus.CREATED: 5000}
        again = await self.upserted(ledger, *[change(sku, category="B") for sku in reversed(skus)])
        assert Counter(result.status for result in again) == {UpsertStatus.UPDATED: 5000}
        assert [result.id for result in again] == [result.id for result in reversed(results)]

    async def test_batches_of_the_same_rows_at_once_make_each_product_once(self, ledger: Ledger) -> None:
        skus = [code() for _ in range(20)]
        batches = [
            [change(sku, name=f"Bread {number}") for sku in skus[:: 1 - 2 * (number % 2)]] for number in range(6)
        ]
        results = await asyncio.gather(*[self.upserted(ledger, *each) for each in batches])
        statuses = Counter(result.status for each in results for result in each)
        assert statuses == {UpsertStatus.CREATED: 20, UpsertStatus.UPDATED: 100}
        products = [await ledger.catalogue.by_sku(sku) for sku in skus]
        assert {product.version for product in products} == {6}
        assert len({product.name for product in products}) == 1

    async def test_a_repeated_batch_under_one_key_gets_the_first_answer(self, ledger: Ledger) -> None:
        key, changes = str(new_id()), [change(code(), name="Bread")]
        first, second = [await ledger.catalogue.upsert(batch(key), changes) for _ in range(2)]
        assert (second.replayed, second.answer) == (True, first.answer)

    async def test_who_finds_that_another_made_the_product_is_replayed(self, ledger: Ledger) -> None:
        product = await ledger.product()
        with pytest.raises(TransactionConflict):
            async with ledger.uow() as uow:
                await uow.products.add_all([(new_id(), ProductDraft(product.sku.lower(), "X"))], utc_now())


class TestSnapshot:
    async def test_holds_every_product_once_in_its_segment_in_the_order_of_ids(self, ledger: Ledger) -> None:
        for _ in range(3):
            await ledger.product()
        segments = await self.segments(ledger, range(SEGMENTS))
        assert list(segments) == list(range(SEGMENTS))
        for segment, found in segments.items():
            ids = [product.id for product in found]
            assert ids == sorted(set(ids))
            assert {segment_of(product_id) for product_id in ids} <= {segment}
        listed: list[Product] = []
        while found := await ledger.product_page(ProductFilter(), ProductSort.CREATED_AT, position(listed), 1000):
            listed += found
        every = [product for found in segments.values() for product in found]
        assert sorted(every, key=by_id) == sorted(listed, key=by_id)

    @pytest.mark.parametrize("count", [0, 1, 7, 169, 170, 255])
    async def test_gives_the_segments_asked_for_and_no_others(self, ledger: Ledger, count: int) -> None:
        asked = random.sample(range(SEGMENTS), count)
        every = await self.segments(ledger, range(SEGMENTS))
        found = await self.segments(ledger, asked)
        assert list(found) == asked
        assert found == {segment: every[segment] for segment in asked}

    async def test_a_product_is_in_the_segment_of_its_id_however_it_was_written(self, ledger: Ledger) -> None:
        made, changed, sku = await ledger.product(), await ledger.product(), code()
        await ledger.change(changed, name="Spelt bread")
        await ledger.catalogue.upsert(batch(), [change(sku, name="One"), change(made.sku, name="Two")])
        for product in (
            await ledger.catalogue.get(made.id),
            await ledger.catalogue.get(changed.id),
            await ledger.catalogue.by_sku(sku),
        ):
            segment = segment_of(product.id)
            assert product in (await self.segments(ledger, [segment]))[segment]

    async def segments(self, ledger: Ledger, asked: Collection[int]) -> dict[int, list[Product]]:
        found = await ledger.catalogue.snapshot_segments(asked)
        return {segment: records(Product, rows) for segment, rows in found.items()}


def position(listed: Sequence[Product]) -> Sequence[Any] | None:
    return (listed[-1].created_at, listed[-1].id) if listed else None


def by_id(product: Product) -> UUID:
    return product.id


def assert_duplicate_sku(refusal: Conflict) -> None:
    assert refusal.code is Code.DUPLICATE_SKU
    assert refusal.errors == (FieldError("/sku", Code.DUPLICATE_SKU, refusal.detail),)
