import pytest

from tests.unit.exchange.files import table
from warehouse.errors import Invalid
from warehouse.exchange.rows import PlaceRows
from warehouse.exchange.tables import Row, RowError
from warehouse.locations.model import LocationKind
from warehouse.locations.upserting import PlaceChange

HEADER = "warehouse,warehouse_name,address,code,name,kind,parent\n"


def read(content: str, name: str = "locations.csv") -> list[PlaceChange | list[RowError]]:
    found = table(content, name)
    reader = PlaceRows(found.columns)
    return [reader.read(row) for row in found if isinstance(row, Row)]


def test_a_row_describes_a_warehouse_and_a_location_in_it() -> None:
    content = HEADER + 'N,North,"1 Quay\nTown",A-01,Aisle 1,storage,A\n'
    fields = {"name": "Aisle 1", "kind": LocationKind.STORAGE, "parent": "A"}
    assert read(content) == [PlaceChange("N", {"name": "North", "address": "1 Quay\nTown"}, "A-01", fields)]


def test_a_row_without_a_code_describes_the_warehouse_alone() -> None:
    assert read(HEADER + "N,North,,,,,\n") == [PlaceChange("N", {"name": "North"}, None, {})]


def test_a_location_needs_a_code_and_a_warehouse() -> None:
    (row,) = read(HEADER + ",North,,,,storage,A\n")
    assert row == [
        RowError(2, "warehouse", "missing", "The row needs a value here."),
        RowError(2, "code", "missing", "The row needs a value here."),
    ]


def test_a_json_null_takes_away_what_is_there() -> None:
    (row,) = read('{"warehouse":"N","address":null,"code":"A","parent":null}', "locations.ndjson")
    assert row == PlaceChange("N", {"address": None}, "A", {"parent": None})


def test_columns_that_mean_nothing_are_noted() -> None:
    assert list(PlaceRows(["warehouse", "area", "code"]).ignored) == ["area"]
    reader = PlaceRows(None)
    reader.read(Row(1, {"warehouse": "N", "area": 5}))
    assert list(reader.ignored) == ["area"]


def test_a_header_without_warehouse_is_refused_and_says_so() -> None:
    with pytest.raises(Invalid) as refused:
        read("code\nA\n")
    assert refused.value.errors[0].pointer == "/warehouse"
