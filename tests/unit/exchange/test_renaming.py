import pytest

from tests.unit.exchange.files import rows, table
from warehouse.errors import Invalid
from warehouse.exchange.renaming import Renaming
from warehouse.exchange.tables import ReadingLimits, Row, RowError

LIMITS = ReadingLimits()


def refusal(columns: dict[str, str], header: str = "a,b,c") -> list[tuple[str, str]]:
    """Pointers and codes of the errors with which the mapping is refused."""
    with pytest.raises(Invalid) as refused:
        table(f"{header}\n1,2,3\n", renaming=Renaming(columns, 5))
    return [(error.pointer, error.code) for error in refused.value.errors]


def read(content: str, columns: dict[str, str], name: str = "file.csv") -> list[Row | RowError]:
    return list(table(content, name, LIMITS, Renaming(columns, 5)))


def test_columns_get_our_names_and_some_are_left_out() -> None:
    renaming = Renaming({" Artikelnummer ": "sku", "Farbe": "", "Preis": ""}, 5)
    found = table("Artikelnummer, Farbe,name,Preis\nA,rot,Bread,5\n", renaming=renaming)
    assert found.columns == ("sku", "name")
    assert list(found) == [Row(2, {"sku": "A", "name": "Bread"})]
    assert (renaming.theirs("sku"), renaming.theirs("name")) == ("Artikelnummer", "name")


def test_a_ragged_row_is_counted_with_the_columns_that_are_left_out() -> None:
    assert read("a,b\n1,2\n1\n", {"b": ""}) == [
        Row(2, {"a": "1"}),
        RowError(3, None, "ragged", "The row has 1 fields, the header 2."),
    ]


def test_two_columns_may_change_their_names() -> None:
    assert read("a,b\n1,2\n", {"a": "b", "b": "a"}) == [Row(2, {"b": "1", "a": "2"})]
    assert read("a,b\n1,2\n", {"a": "a"}) == rows("a,b\n1,2\n")


def test_a_name_is_free_when_its_column_is_left_out() -> None:
    assert read("sku,number\n1,2\n", {"sku": "", "number": "sku"}) == [Row(2, {"sku": "2"})]


@pytest.mark.parametrize(
    ("columns", "errors"),
    [
        ({"x": "sku", "y~/": ""}, [("/columns/x", "unknown_column"), ("/columns/y~0~1", "unknown_column")]),
        ({"a": "sku", "b": "sku"}, [("/columns/a", "duplicate"), ("/columns/b", "duplicate")]),
        ({"a": "sku", " a": "name"}, [("/columns", "duplicate")]),
        ({"a": "b"}, [("/columns/a", "duplicate")]),
        ({"a": "x" * 256}, [("/columns/a", "too_long")]),
        ({"x" * 256: "a"}, [("/columns/" + "x" * 255, "too_long")]),
        ({" ": "sku"}, [("/columns/", "missing")]),
        ({str(number): str(number) for number in range(6)}, [("/columns", "too_many")]),
    ],
)
def test_a_mapping_that_cannot_be_is_refused(columns: dict[str, str], errors: list[tuple[str, str]]) -> None:
    assert refusal(columns) == errors


def test_objects_get_our_names_as_far_as_they_have_the_columns() -> None:
    content = '{"nr":1,"":2,"x":3}\n{"name":"Bread"}\n{"nr":1,"sku":2}\n'
    assert read(content, {"nr": "sku", "x": ""}, "file.ndjson") == [
        Row(1, {"sku": 1, "": 2}),
        Row(2, {"name": "Bread"}),
        RowError(3, "nr", "duplicate", "The row has a column of this one's new name too."),
    ]
