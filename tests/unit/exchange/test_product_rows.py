import json
from typing import Any

import pytest

from tests.unit.exchange.files import csv_text, table
from warehouse.catalogue.model import NegativeStock, ProductStatus, Tracking
from warehouse.catalogue.upserting import ProductChange
from warehouse.errors import Invalid
from warehouse.exchange.rows import ProductRows
from warehouse.exchange.tables import Row, RowError


def read(content: str, name: str = "products.csv") -> list[ProductChange | list[RowError]]:
    found = table(content, name)
    reader = ProductRows(found.columns)
    return [reader.read(row) for row in found if isinstance(row, Row)]


def read_json(**values: Any) -> ProductChange | list[RowError]:
    (row,) = read(json.dumps(values), "products.ndjson")
    return row


def codes(row: ProductChange | list[RowError]) -> dict[str | None, str]:
    assert isinstance(row, list)
    return {error.column: error.code for error in row}


def test_every_field_has_a_column() -> None:
    content = csv_text(
        [
            "sku",
            "name",
            "description",
            "category",
            "unit",
            "barcodes",
            "reorder_point",
            "tracking",
            "negative_stock",
            "status",
        ],
        ["A", "Bread", "one\ntwo", "BAKERY", "each", "1|2", "12", "lot", "allow", "archived"],
    )
    expected = {
        "name": "Bread",
        "description": "one\ntwo",
        "category": "BAKERY",
        "unit": "each",
        "barcodes": ("1", "2"),
        "reorder_point": 12,
        "tracking": Tracking.LOT,
        "negative_stock": NegativeStock.ALLOW,
        "status": ProductStatus.ARCHIVED,
    }
    assert read(content) == [ProductChange("A", expected)]


def test_an_unknown_column_is_an_attribute_and_an_empty_cell_is_absent() -> None:
    content = "sku,name,brand,size\n A ,,National,\nB, ,, 12 \n"
    assert read(content) == [
        ProductChange("A", {"attributes": {"brand": "National"}}),
        ProductChange("B", {"attributes": {"size": "12"}}),
    ]


def test_a_cell_stays_text_and_a_json_scalar_stays_what_it_is() -> None:
    assert read("sku,size\nA,012\n") == [ProductChange("A", {"attributes": {"size": "012"}})]
    row = read_json(sku="A", size=12, vegan=True, weight=0.5)
    assert row == ProductChange("A", {"attributes": {"size": 12, "vegan": True, "weight": 0.5}})


def test_a_json_null_takes_away_what_is_there() -> None:
    row = read_json(sku="A", description=None, brand=None)
    assert row == ProductChange("A", {"description": None, "attributes": {"brand": None}})


def test_json_attributes_may_stand_together() -> None:
    assert read_json(sku="A", attributes={"brand": "x"}) == ProductChange("A", {"attributes": {"brand": "x"}})
    assert codes(read_json(sku="A", attributes=["x"])) == {"attributes": "invalid"}


def test_attributes_in_an_object_are_exactly_what_they_are() -> None:
    exact = {"size": 5, "vegan": True, "note": " two\nlines ", "none": "", "gone": None}
    assert read_json(sku="A", attributes=exact) == ProductChange("A", {"attributes": exact})
    assert codes(read_json(sku="A", attributes={"x": "y" * 1025, "": 1, "list": []})) == {
        "x": "too_long",
        "": "missing",
        "list": "invalid",
    }


def test_a_cell_can_hold_an_object_of_attributes() -> None:
    content = 'sku,attributes,brand\nA,"{""size"": 5, ""sku"": ""x""}",Own\nB,,\nC,{},\n'
    assert read(content) == [
        ProductChange("A", {"attributes": {"brand": "Own", "size": 5, "sku": "x"}}),
        ProductChange("B", {}),
        ProductChange("C", {}),
    ]
    for text in ("Own", "[1]", "5"):
        assert codes(ProductRows(["sku", "attributes"]).read(Row(2, {"sku": "A", "attributes": text}))) == {
            "attributes": "invalid"
        }


def test_what_the_service_itself_gives_a_product_is_ignored_and_no_attribute() -> None:
    reader = ProductRows(["sku", "version", "brand", "id"])
    assert list(reader.ignored) == ["id", "version"]
    values = {"sku": "A", "version": "7", "brand": "Own", "id": "x"}
    assert reader.read(Row(2, values)) == ProductChange("A", {"attributes": {"brand": "Own"}})
    reader = ProductRows(None)
    row = {"sku": "A", "created_at": "x", "attributes": {"id": 5}}
    assert reader.read(Row(1, row)) == ProductChange("A", {"attributes": {"id": 5}})
    assert list(reader.ignored) == ["created_at"]


def test_all_that_is_wrong_with_a_row_is_told_at_once() -> None:
    content = "sku,name,unit,reorder_point,tracking,brand\n  ,br\0ead,a very long unit name,-5,maybe,x\x01\n"
    reader = ProductRows(["sku", "name", "unit", "reorder_point", "tracking", "brand"])
    values = dict(
        zip(
            ["sku", "name", "unit", "reorder_point", "tracking", "brand"],
            content.split("\n")[1].split(","),
            strict=True,
        )
    )
    assert codes(reader.read(Row(7, values))) == {
        "sku": "missing",
        "name": "control_character",
        "unit": "too_long",
        "reorder_point": "out_of_range",
        "tracking": "invalid",
        "brand": "control_character",
    }


@pytest.mark.parametrize("sku", ["", "   ", None])
def test_a_sku_of_nothing_is_missing(sku: str | None) -> None:
    assert codes(read_json(sku=sku, name="Bread")) == {"sku": "missing"}


@pytest.mark.parametrize(
    ("field", "value", "code"),
    [
        ("sku", 5, "invalid"),
        ("sku", "x" * 65, "too_long"),
        ("name", None, "missing"),
        ("name", "x" * 256, "too_long"),
        ("description", "x" * 4001, "too_long"),
        ("category", "x" * 129, "too_long"),
        ("barcodes", "1234", None),
        ("barcodes", 1234, "invalid"),
        ("reorder_point", 10**12, None),
        ("reorder_point", 10**30, "out_of_range"),
        ("reorder_point", 1.5, "invalid"),
        ("reorder_point", True, "invalid"),
        ("status", "gone", "invalid"),
        ("brand", [1], "invalid"),
        ("b" * 65, "x", "too_long"),
        ("br\0and", "x", "control_character"),
    ],
)
def test_the_limits_of_fields(field: str, value: Any, code: str | None) -> None:
    row = read_json(**{"sku": "A", field: value})
    if code is None:
        assert isinstance(row, ProductChange)
    else:
        assert codes(row) == {field[:64]: code}


def test_a_header_without_sku_is_refused_and_says_so() -> None:
    with pytest.raises(Invalid) as refused:
        read("SKU,name\nA,Bread\n")
    assert [(error.pointer, error.code) for error in refused.value.errors] == [("/sku", "missing")]


def test_a_column_that_cannot_name_an_attribute_is_refused() -> None:
    with pytest.raises(Invalid):
        read(f"sku,{'x' * 65}\nA,1\n")
