from collections.abc import Sequence

from warehouse.catalogue.upserting import ProductChange
from warehouse.clock import utc_now
from warehouse.demo import DEMO_FILES, DEMO_ROWS
from warehouse.exchange.importing import ImportKind
from warehouse.exchange.reading import open_table
from warehouse.exchange.rows import MovementRows, PlaceRows, ProductRows, RowReader
from warehouse.exchange.tables import ReadingLimits, Row
from warehouse.locations.upserting import PlaceChange
from warehouse.stock.bulk import LedgerRow


def reader_of(kind: ImportKind, columns: Sequence[str] | None) -> RowReader[object]:
    if kind is ImportKind.MOVEMENTS:
        return MovementRows(columns, utc_now())
    return ProductRows(columns) if kind is ImportKind.PRODUCTS else PlaceRows(columns)


def read(kind: ImportKind) -> list[object]:
    (file,) = [each for each in DEMO_FILES if each.kind is kind]
    with file.open() as stream:
        table = open_table(stream, file.name, ReadingLimits())
        reader = reader_of(kind, table.columns)
        items = [reader.read(row) for row in table if isinstance(row, Row)]
        reader.close()
    assert len(items) == file.rows
    return items


def test_its_files_hold_what_they_promise() -> None:
    places = [item for item in read(ImportKind.LOCATIONS) if isinstance(item, PlaceChange)]
    products = [item for item in read(ImportKind.PRODUCTS) if isinstance(item, ProductChange)]
    receipts = [item for item in read(ImportKind.MOVEMENTS) if isinstance(item, LedgerRow)]

    assert len(places) + len(products) + len(receipts) == DEMO_ROWS
    assert len({place.warehouse for place in places}) == 4
    assert len({product.sku for product in products}) == 92_331
    known = {(place.warehouse, place.code) for place in places}
    assert {(receipt.warehouse, receipt.location) for receipt in receipts} <= known
    assert {receipt.sku for receipt in receipts} <= {product.sku for product in products}
    assert len({(receipt.sku, receipt.location, receipt.warehouse) for receipt in receipts}) >= 30_000


def test_a_parent_comes_before_its_children() -> None:
    seen: set[tuple[str, str | None]] = set()
    for place in read(ImportKind.LOCATIONS):
        assert isinstance(place, PlaceChange)
        assert "parent" not in place.fields or (place.warehouse, place.fields["parent"]) in seen
        seen.add((place.warehouse, place.code))


def test_locations_come_first_and_movements_last() -> None:
    order = [ImportKind.LOCATIONS, ImportKind.PRODUCTS, ImportKind.MOVEMENTS]
    assert [file.kind for file in DEMO_FILES] == order
