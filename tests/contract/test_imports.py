"""Files on every database."""

import asyncio
import io
from typing import Any

import pytest

from tests.contract.ledger import HOUR, Ledger, code, line
from tests.contract.rows import records
from warehouse.catalogue.model import Product
from warehouse.errors import Invalid
from warehouse.exchange.importing import Importer, ImportKind, ImportReport
from warehouse.exchange.tables import ReadingLimits
from warehouse.locations.model import CodeSort, Location, Warehouse
from warehouse.stock.model import MovementKind
from warehouse.unit_of_work import UnitOfWorkFactory

PRODUCTS, LOCATIONS, MOVEMENTS = ImportKind.PRODUCTS, ImportKind.LOCATIONS, ImportKind.MOVEMENTS
NEW_YEAR = "2017-01-01T00:00:00Z"


@pytest.fixture
def importer(uow_factory: UnitOfWorkFactory) -> Importer:
    return Importer(uow_factory, ReadingLimits(record=10_000))


async def load(importer: Importer, kind: ImportKind, *lines: str, **options: Any) -> ImportReport:
    content = "\n".join(lines).encode()
    return await importer.run(kind, io.BytesIO(content), "-", **options)


async def load_movements(importer: Importer, *lines: str, **options: Any) -> ImportReport:
    return await load(importer, MOVEMENTS, "timestamp,type,sku,location,qty,lot,expires_on", *lines, **options)


def counts(report: ImportReport) -> dict[str, int]:
    """But for those that are 0."""
    names = ("created", "updated", "unchanged", "posted", "repeated", "failed")
    found = {name: getattr(report, name) for name in names if getattr(report, name)}
    assert sum(found.values()) == report.rows
    return found


def faults(report: ImportReport) -> list[tuple[int, str | None, str]]:
    assert report.error_count == len(report.errors)
    return [(error.line, error.column, error.code) for error in report.errors]


def sale(product: Product, location: Location, quantity: int, lot: str = "", expires_on: str = "") -> str:
    return movement("sale", product, location, quantity, lot, expires_on)


def receipt(product: Product, location: Location, quantity: int, lot: str = "", expires_on: str = "") -> str:
    return movement("receipt", product, location, quantity, lot, expires_on)


def movement(
    kind: str, product: Product, location: Location, quantity: int, lot: str = "", expires_on: str = ""
) -> str:
    return f"{NEW_YEAR},{kind},{product.sku},{location.code},{quantity},{lot},{expires_on}"


async def by_sku(ledger: Ledger, sku: str) -> Product | None:
    async with ledger.uow(read_only=True) as uow:
        return await uow.products.by_sku(sku)


async def site(ledger: Ledger, warehouse: str) -> tuple[Warehouse, dict[str, Location]]:
    """The warehouse and its locations by code."""
    async with ledger.uow(read_only=True) as uow:
        found = await uow.warehouses.by_code(warehouse)
        assert found is not None
        rows = await uow.locations.page_json(found.id, None, None, CodeSort.CODE, None, 100)
    return found, {place.code: place for place in records(Location, rows)}


async def on_hand(ledger: Ledger, product: Product) -> int:
    return sum(quantity for quantity, _ in (await ledger.held(product)).values())


class TestProducts:
    async def test_a_file_makes_products_and_its_repetition_changes_nothing(
        self, importer: Importer, ledger: Ledger
    ) -> None:
        sku = code("SKU")
        lines = ("sku,name,brand,size", f"{sku},Bread,Own,12", f"{sku}-2,Milk,,1 l")
        assert counts(await load(importer, PRODUCTS, *lines)) == {"created": 2}
        made = await by_sku(ledger, sku)
        assert made is not None
        assert (made.name, made.attributes, made.version) == ("Bread", {"brand": "Own", "size": "12"}, 1)
        assert counts(await load(importer, PRODUCTS, *lines)) == {"unchanged": 2}
        assert await by_sku(ledger, sku) == made

    async def test_a_row_changes_what_it_names_and_keeps_the_rest(self, importer: Importer, ledger: Ledger) -> None:
        product = await ledger.product(description="sour", attributes={"brand": "Own", "size": 5})
        report = await load(importer, PRODUCTS, "sku,name,size,colour", f"{product.sku},Rye,6,")
        assert counts(report) == {"updated": 1}
        changed = await by_sku(ledger, product.sku)
        assert changed is not None
        assert (changed.name, changed.description, changed.version) == ("Rye", "sour", 2)
        assert changed.attributes == {"brand": "Own", "size": "6"}

    async def test_a_json_null_removes(self, importer: Importer, ledger: Ledger) -> None:
        product = await ledger.product(description="sour", attributes={"brand": "Own", "fresh": True})
        row = f'{{"sku": "{product.sku}", "description": null, "brand": null, "fresh": 1}}'
        assert counts(await load(importer, PRODUCTS, row)) == {"updated": 1}
        changed = await by_sku(ledger, product.sku)
        assert changed is not None
        assert (changed.description, changed.attributes) == (None, {"fresh": 1})

    @pytest.mark.parametrize("batch_size", [1, 1000])
    async def test_a_sku_named_again_is_the_same_product(
        self, importer: Importer, ledger: Ledger, batch_size: int
    ) -> None:
        sku = code("sku")
        lines = ("sku,name,unit,brand", f"{sku},Bread,,a", f"{sku.upper()},,g,b", f"{sku},Bread,,b")
        report = await load(importer, PRODUCTS, *lines, batch_size=batch_size)
        assert counts(report) == {"created": 1, "updated": 1, "unchanged": 1}
        product = await by_sku(ledger, sku)
        assert product is not None
        assert (product.sku, product.name, product.unit, product.attributes) == (sku, "Bread", "g", {"brand": "b"})

    async def test_bad_rows_are_named_and_the_others_go_in(self, importer: Importer, ledger: Ledger) -> None:
        product, sku = await ledger.product(), code("SKU")
        report = await load(
            importer,
            PRODUCTS,
            "sku,name,tracking,reorder_point",
            f"{sku}-1,Bread,none,5",
            f"{sku}-2,,none,5",
            f"{product.sku},Milk,lot,5",
            f"{sku}-3,Butter,some,-5",
            f"{sku}-4",
            " ,Salt,,",
            f"{sku}-5,Honey,,",
        )
        assert counts(report) == {"created": 2, "failed": 5}
        assert faults(report) == [
            (3, "name", "missing"),
            (4, "tracking", "immutable"),
            (5, "reorder_point", "out_of_range"),
            (5, "tracking", "invalid"),
            (6, None, "ragged"),
            (7, "sku", "missing"),
        ]
        assert await by_sku(ledger, f"{sku}-2") is None
        assert await by_sku(ledger, product.sku) == product

    async def test_no_product_gets_too_many_attributes(self, importer: Importer, ledger: Ledger) -> None:
        product = await ledger.product(attributes={f"a{number}": "x" for number in range(40)})
        names = ",".join(f"b{number}" for number in range(30))
        report = await load(importer, PRODUCTS, f"sku,{names}", product.sku + ",x" * 30)
        assert faults(report) == [(2, "attributes", "too_many")]

    async def test_two_imports_of_the_same_new_products_make_each_once(
        self, importer: Importer, ledger: Ledger
    ) -> None:
        skus = [code("SKU") for _ in range(30)]
        files = [[f"{sku},Bread" for sku in order] for order in (skus, reversed(skus), skus)]
        reports = await asyncio.gather(*(load(importer, PRODUCTS, "sku,name", *lines, batch_size=5) for lines in files))
        assert sum(report.created for report in reports) == 30
        assert sum(report.unchanged for report in reports) == 60

    async def test_an_atomic_file_goes_in_whole_or_not_at_all(self, importer: Importer, ledger: Ledger) -> None:
        sku = code("SKU")
        lines = ["sku,name", *(f"{sku}-{number},Bread" for number in range(5))]
        report = await load(importer, PRODUCTS, *lines, f"{sku}-5,", f"{sku}-6", atomic=True, batch_size=2)
        assert (report.rows, report.created, report.failed) == (7, 0, 2)
        assert faults(report) == [(7, "name", "missing"), (8, None, "ragged")]
        assert await by_sku(ledger, f"{sku}-0") is None
        assert counts(await load(importer, PRODUCTS, *lines, atomic=True, batch_size=2)) == {"created": 5}

    async def test_a_file_without_its_header_changes_nothing(self, importer: Importer, ledger: Ledger) -> None:
        sku = code("SKU")
        with pytest.raises(Invalid) as refused:
            await load(importer, PRODUCTS, f"{sku},Bread", f"{sku}-2,Milk")
        assert refused.value.errors[0].pointer == "/sku"

    async def test_a_file_that_breaks_off_says_where(self, importer: Importer, ledger: Ledger) -> None:
        sku = code("SKU")
        report = await load(importer, PRODUCTS, "sku,name", f"{sku},Bread", "x" * 20_000, f"{sku}-2,Milk")
        assert not report.complete
        assert (report.created, report.failed) == (1, 1)
        assert faults(report) == [(3, None, "too_long")]
        assert await by_sku(ledger, f"{sku}-2") is None

    async def test_errors_beyond_the_first_thousand_are_counted(self, importer: Importer) -> None:
        report = await load(importer, PRODUCTS, "sku,name", *["x"] * 1500, batch_size=400)
        assert (report.failed, report.error_count, len(report.errors)) == (1500, 1500, 1000)
        assert [error.line for error in report.errors] == list(range(2, 1002))

    async def test_progress_counts_the_rows_done(self, importer: Importer) -> None:
        done: list[tuple[int, int | None]] = []
        await load(importer, PRODUCTS, "sku,name", *["x"] * 25, batch_size=10, progress=lambda *rows: done.append(rows))
        assert done == [(10, 25), (20, 25), (25, 25)]


class TestLocations:
    HEADER = "warehouse,warehouse_name,address,code,name,kind,parent"

    async def load(self, importer: Importer, *lines: str, **options: Any) -> ImportReport:
        return await load(importer, LOCATIONS, self.HEADER, *lines, **options)

    @pytest.mark.parametrize("batch_size", [1, 1000])
    async def test_a_file_makes_a_tree_and_its_repetition_changes_nothing(
        self, importer: Importer, ledger: Ledger, batch_size: int
    ) -> None:
        name = code("W")
        lines = (
            f"{name},Harbour,1 Quay,,,,",
            f"{name},,,A,Zone A,storage,",
            f"{name},,,A-1,,,A",
            f"{name.lower()},,,a-1-1,,quarantine,a-1",
        )
        assert counts(await self.load(importer, *lines, batch_size=batch_size)) == {"created": 4}
        warehouse, places = await site(ledger, name)
        assert (warehouse.name, warehouse.address) == ("Harbour", "1 Quay")
        assert places["A-1"].parent_id == places["A"].id
        assert places["a-1-1"].parent_id == places["A-1"].id
        assert counts(await self.load(importer, *lines, batch_size=batch_size)) == {"unchanged": 4}
        assert await site(ledger, name) == (warehouse, places)

    async def test_a_warehouse_is_called_by_its_code_until_it_is_named(
        self, importer: Importer, ledger: Ledger
    ) -> None:
        name = code("W")
        await self.load(importer, f"{name},,,A,,,")
        assert (await site(ledger, name))[0].name == name
        assert counts(await self.load(importer, f"{name},Harbour,,A,,,")) == {"updated": 1}
        assert (await site(ledger, name))[0].name == "Harbour"

    async def test_a_parent_comes_first_and_from_the_same_warehouse(self, importer: Importer, ledger: Ledger) -> None:
        name = code("W")
        report = await self.load(
            importer, f"{name},,,A-1,,,A", f"{name},,,A,,,", f"{name}-2,,,B,,,A", f"{name},,,C,,,C"
        )
        assert counts(report) == {"created": 1, "failed": 3}
        assert faults(report) == [(line, "parent", "unknown_location") for line in (2, 4, 5)]
        async with ledger.uow(read_only=True) as uow:
            assert await uow.warehouses.by_code(f"{name}-2") is None

    @pytest.mark.parametrize("batch_size", [1, 1000])
    async def test_no_location_comes_to_lie_in_itself(
        self, importer: Importer, ledger: Ledger, batch_size: int
    ) -> None:
        name = code("W")
        await self.load(importer, f"{name},,,A,,,", f"{name},,,B,,,A", f"{name},,,C,,,B", f"{name},,,D,,,")
        moves = (f"{name},,,A,,,C", f"{name},,,A,,,A", f"{name},,,A,,,D", f"{name},,,D,,,C")
        report = await self.load(importer, *moves, batch_size=batch_size)
        assert counts(report) == {"updated": 1, "failed": 3}
        assert faults(report) == [(line, "parent", "cycle") for line in (2, 3, 5)]

    async def test_an_archived_warehouse_gets_no_new_location(self, importer: Importer, ledger: Ledger) -> None:
        location = await ledger.location()
        async with ledger.uow(read_only=True) as uow:
            (warehouse,) = await uow.warehouses.find([location.warehouse_id])
        await ledger.archive(warehouse)
        report = await self.load(importer, f"{warehouse.code},,,{location.code},Shelf,,", f"{warehouse.code},,,NEW,,,")
        assert counts(report) == {"updated": 1, "failed": 1}
        assert faults(report) == [(3, "warehouse", "archived")]

    async def test_two_imports_of_the_same_tree_make_it_once(self, importer: Importer) -> None:
        name = code("W")
        lines = [f"{name},,,A{number},,,{f'A{number - 1}' if number else ''}" for number in range(10)]
        reports = await asyncio.gather(*(self.load(importer, *lines, batch_size=3) for _ in range(3)))
        assert sum(report.created for report in reports) == 10
        assert sum(report.unchanged for report in reports) == 20


class TestMovements:
    async def test_a_file_moves_stock_and_its_repetition_moves_none(self, importer: Importer, ledger: Ledger) -> None:
        product, location = await ledger.product(), await ledger.location()
        lines = [receipt(product, location, 10), *[sale(product, location, 3)] * 2]
        assert counts(await load_movements(importer, *lines)) == {"posted": 3}
        assert await on_hand(ledger, product) == 4
        assert counts(await load_movements(importer, *lines)) == {"repeated": 3}
        assert await on_hand(ledger, product) == 4
        movements = await ledger.movements(product_id=product.id)
        assert [each.delta for each in movements] == [10, -3, -3]
        assert [each.kind for each in movements] == [MovementKind.RECEIPT, MovementKind.SHIPMENT, MovementKind.SHIPMENT]
        assert {(each.line, each.actor, each.occurred_at.year) for each in movements} == {(1, "import", 2017)}

    @pytest.mark.parametrize("batch_size", [1, 1000])
    async def test_rows_are_decided_in_their_order(self, importer: Importer, ledger: Ledger, batch_size: int) -> None:
        product, location = await ledger.product(), await ledger.location()
        lines = [
            sale(product, location, 1),
            receipt(product, location, 5),
            sale(product, location, 6),
            sale(product, location, 5),
            movement("adjustment", product, location, -1),
            movement("adjustment", product, location, 2),
        ]
        report = await load_movements(importer, *lines, batch_size=batch_size)
        assert counts(report) == {"posted": 3, "failed": 3}
        assert faults(report) == [(line, "qty", "insufficient_stock") for line in (2, 4, 6)]
        assert await on_hand(ledger, product) == 2

    async def test_what_was_refused_goes_in_once_there_is_stock(self, importer: Importer, ledger: Ledger) -> None:
        product, location = await ledger.product(), await ledger.location()
        lines = [sale(product, location, 2), receipt(product, location, 5)]
        assert counts(await load_movements(importer, *lines)) == {"posted": 1, "failed": 1}
        assert counts(await load_movements(importer, *lines)) == {"posted": 1, "repeated": 1}
        assert await on_hand(ledger, product) == 3

    async def test_a_product_that_may_go_below_zero_does(self, importer: Importer, ledger: Ledger) -> None:
        product, location = await ledger.overdrawable(), await ledger.location()
        assert counts(await load_movements(importer, sale(product, location, 2))) == {"posted": 1}
        assert await on_hand(ledger, product) == -2

    async def test_what_is_reserved_is_not_sold_until_the_reservation_expires(
        self, importer: Importer, ledger: Ledger
    ) -> None:
        product, location = await ledger.stocked(5)
        reservation = await ledger.reserve(line(product, 4, location), hold=HOUR)
        report = await load_movements(importer, sale(product, location, 2))
        assert faults(report) == [(2, "qty", "insufficient_stock")]
        await ledger.lapse(reservation)
        assert counts(await load_movements(importer, sale(product, location, 2))) == {"posted": 1}
        assert await ledger.stored(product) == {(location.id, None): (3, 0)}

    async def test_unknown_names_are_named(self, importer: Importer, ledger: Ledger) -> None:
        product, location = await ledger.product(), await ledger.location()
        rows = [f"{NEW_YEAR},receipt,{code()},{code()},1,,", f"{NEW_YEAR},receipt,{product.sku},{code()},1,,"]
        report = await load_movements(importer, *rows, receipt(product, location, 1))
        assert counts(report) == {"posted": 1, "failed": 2}
        assert faults(report) == [
            (2, "sku", "unknown_product"),
            (2, "location", "unknown_location"),
            (3, "location", "unknown_location"),
        ]

    async def test_a_location_of_two_warehouses_needs_the_warehouse(self, importer: Importer, ledger: Ledger) -> None:
        product, shelf = await ledger.product(), code("L")
        first, second, empty = await ledger.warehouse(), await ledger.warehouse(), await ledger.warehouse()
        place = await ledger.location(first, name=shelf)
        await ledger.location(second, name=shelf.lower())
        header = "timestamp,type,sku,warehouse,location,quantity"
        start = f"{NEW_YEAR},receipt,{product.sku}"
        report = await load(
            importer,
            MOVEMENTS,
            header,
            f"{start},,{shelf},1",
            f"{start},{first.code.lower()},{shelf.lower()},2",
            f"{start},{empty.code},{shelf},4",
            f"{start},{code()},{shelf},8",
        )
        assert faults(report) == [
            (2, "location", "ambiguous"),
            (4, "location", "unknown_location"),
            (5, "warehouse", "unknown_warehouse"),
        ]
        assert await ledger.held(product) == {(place.id, None): (2, 0)}

    async def test_lots_are_named_where_they_are_kept(self, importer: Importer, ledger: Ledger) -> None:
        plain, tracked, place = await ledger.product(), await ledger.tracked(), await ledger.location()
        report = await load_movements(
            importer,
            receipt(tracked, place, 5),
            receipt(plain, place, 5, "L1"),
            receipt(plain, place, 5, "", "2027-01-01"),
            receipt(tracked, place, 5, "L1"),
            sale(tracked, place, 1),
            sale(tracked, place, 1, "L2"),
            sale(tracked, place, 1, "L1"),
        )
        assert counts(report) == {"posted": 2, "failed": 5}
        assert faults(report) == [
            (2, "lot", "lot_required"),
            (3, "lot", "lot_not_tracked"),
            (4, "expires_on", "lot_not_tracked"),
            (6, "lot", "lot_required"),
            (7, "qty", "insufficient_stock"),
        ]
        assert await ledger.held(tracked) == {(place.id, "L1"): (4, 0)}

    @pytest.mark.parametrize("batch_size", [1, 1000])
    async def test_a_lot_expires_on_one_day(self, importer: Importer, ledger: Ledger, batch_size: int) -> None:
        product, place = await ledger.tracked(), await ledger.location()
        report = await load_movements(
            importer,
            receipt(product, place, 1, "L1"),
            receipt(product, place, 2, "L1", "2027-01-01"),
            receipt(product, place, 4, "L1", "2027-01-02"),
            receipt(product, place, 8, "L2", "2027-01-02"),
            batch_size=batch_size,
        )
        assert faults(report) == [(4, "expires_on", "lot_mismatch")]
        assert await ledger.held(product) == {(place.id, "L1"): (3, 0), (place.id, "L2"): (8, 0)}

    async def test_nothing_more_of_an_archived_product_comes_in(self, importer: Importer, ledger: Ledger) -> None:
        product, location = await ledger.stocked(5)
        await ledger.archive(product)
        report = await load_movements(importer, receipt(product, location, 1), sale(product, location, 2))
        assert faults(report) == [(2, "sku", "archived")]
        assert await on_hand(ledger, product) == 3

    async def test_nothing_moves_in_an_archived_warehouse(self, importer: Importer, ledger: Ledger) -> None:
        product, warehouse = await ledger.product(), await ledger.warehouse()
        location = await ledger.location(warehouse)
        posted = receipt(product, location, 5)
        await load_movements(importer, posted)
        await ledger.archive(warehouse)
        report = await load_movements(importer, posted, sale(product, location, 1), receipt(product, location, 1))
        assert counts(report) == {"repeated": 1, "failed": 2}
        assert faults(report) == [(3, "location", "archived"), (4, "location", "archived")]

    async def test_an_atomic_file_moves_all_or_nothing(self, importer: Importer, ledger: Ledger) -> None:
        product, location = await ledger.product(), await ledger.location()
        lines = [receipt(product, location, 4), sale(product, location, 3), sale(product, location, 2)]
        report = await load_movements(importer, *lines, atomic=True, batch_size=1)
        assert (report.rows, report.posted, report.failed) == (3, 0, 1)
        assert faults(report) == [(4, "qty", "insufficient_stock")]
        assert await ledger.held(product) == {}
        assert counts(await load_movements(importer, *lines[:2], atomic=True, batch_size=1)) == {"posted": 2}
        assert await on_hand(ledger, product) == 1

    async def test_two_imports_of_one_file_move_its_stock_once(self, importer: Importer, ledger: Ledger) -> None:
        products, location = [await ledger.product() for _ in range(12)], await ledger.location()
        lines = [receipt(product, location, 5) for product in products] + [sale(p, location, 5) for p in products]
        reports = await asyncio.gather(*(load_movements(importer, *lines, batch_size=4) for _ in range(3)))
        assert sum(report.posted for report in reports) == 24
        assert sum(report.repeated for report in reports) == 48
        assert [await on_hand(ledger, product) for product in products] == [0] * 12

    async def test_other_columns_are_named_once(self, importer: Importer, ledger: Ledger) -> None:
        report = await load(importer, MOVEMENTS, "timestamp,type,sku,location,qty,value,till")
        assert list(report.ignored_columns) == ["value", "till"]
        assert counts(report) == {}
