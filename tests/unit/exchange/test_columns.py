import pytest

from warehouse.catalogue.model import Product
from warehouse.exchange.columns import (
    BALANCE_COLUMNS,
    MOVEMENT_COLUMNS,
    PRODUCT_COLUMNS,
    Column,
    list_text,
    object_text,
)
from warehouse.exchange.fields import barcodes, json_object
from warehouse.exchange.rows import NOT_IMPORTED, PRODUCT_READERS
from warehouse.stock.model import Balance, Movement


@pytest.mark.parametrize(
    ("columns", "record"), [(PRODUCT_COLUMNS, Product), (BALANCE_COLUMNS, Balance), (MOVEMENT_COLUMNS, Movement)]
)
def test_columns_have_the_names_and_the_order_of_the_wire(columns: list[Column], record: type[Product]) -> None:
    assert [column.name for column in columns] == list(record.__dataclass_fields__)


def test_imports_know_every_column_of_products() -> None:
    assert {column.name for column in PRODUCT_COLUMNS} == {*PRODUCT_READERS, *NOT_IMPORTED, "attributes"}


@pytest.mark.parametrize(
    "texts", [(), ("123",), ("1", "2"), ("a|b",), ("a|b", "c"), ("[1]", "2"), ('["1"]',), ("|",), ("=1", "x"), ("[",)]
)
def test_a_list_comes_back_out_of_its_cell(texts: tuple[str, ...]) -> None:
    assert barcodes(list_text(list(texts))) == texts


def test_a_list_is_written_plainly_where_it_can_be() -> None:
    assert list_text(["1", "2"]) == "1|2"
    assert list_text(["a|b"]) == '["a|b"]'
    assert list_text([]) == ""


def test_an_object_comes_back_out_of_its_cell_with_its_types() -> None:
    members = {"size": 5, "vegan": True, "weight": 0.5, "note": " =1\n", "none": ""}
    assert json_object(object_text(members)) == members
    assert object_text({}) == ""
    assert json_object("") == {}
