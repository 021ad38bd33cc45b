import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime, timedelta
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.exchange.files import csv_text, table
from warehouse.errors import Invalid
from warehouse.exchange.rows import MovementRows
from warehouse.exchange.tables import Row, RowError
from warehouse.stock.bulk import LedgerRow
from warehouse.stock.model import MovementKind

NOW = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
HEADER = ("timestamp", "type", "sku", "location", "qty")
SALE = ("2017-01-01T12:26:30Z", "sale", "A", "S1", "2")


@contextmanager
def reading(columns: list[str] | None) -> Iterator[MovementRows]:
    reader = MovementRows(columns, NOW)
    try:
        yield reader
    finally:
        reader.close()


def read(content: str, name: str = "movements.csv") -> list[LedgerRow | list[RowError]]:
    found = table(content, name)
    with reading(None if found.columns is None else list(found.columns)) as reader:
        return [reader.read(row) for row in found if isinstance(row, Row)]


def posted(content: str, name: str = "movements.csv") -> list[LedgerRow]:
    """Of a file without a fault."""
    rows = read(content, name)
    assert all(isinstance(row, LedgerRow) for row in rows), rows
    return [row for row in rows if isinstance(row, LedgerRow)]


def faults(**values: object) -> list[tuple[str | None, str]]:
    """Of a row that is a sale but for these values."""
    row = dict(zip(HEADER, SALE, strict=True)) | values
    (found,) = read(json.dumps(row), "movements.ndjson")
    assert isinstance(found, list), found
    return [(error.column, error.code) for error in found]


def test_every_field_has_a_column() -> None:
    columns = (*HEADER, "warehouse", "lot", "expires_on", "reason", "reference")
    values = ("2017-01-01T13:00:00+01:00", "receipt", "A", "A-01", "7", "N", "L1", "2027-03-31", "opening", "PO-1")
    (row,) = posted(csv_text(columns, values))
    assert row == LedgerRow(
        row.command_id,
        MovementKind.RECEIPT,
        "A",
        "N",
        "A-01",
        "L1",
        date(2027, 3, 31),
        7,
        "opening",
        "PO-1",
        datetime(2017, 1, 1, 12, 0, tzinfo=UTC),
    )
    assert row.command_id.version == 8


def test_a_sale_is_a_shipment_and_takes_away() -> None:
    (row,) = posted(csv_text(HEADER, SALE))
    assert row.kind is MovementKind.SHIPMENT
    assert row.delta == -2


def test_a_time_without_an_offset_is_utc() -> None:
    (row,) = posted(csv_text(HEADER, ("2017-01-01 12:26:30", *SALE[1:])))
    assert row.occurred_at == datetime(2017, 1, 1, 12, 26, 30, tzinfo=UTC)


def test_quantity_may_be_called_by_its_full_name() -> None:
    header = ("timestamp", "type", "sku", "location", "quantity")
    with reading(list(header)) as reader:
        assert reader.column("quantity") == "quantity"
    assert posted(csv_text(header, SALE)) == posted(csv_text(HEADER, SALE))


def test_the_same_file_gives_the_same_ids_and_equal_rows_differ() -> None:
    content = csv_text(HEADER, SALE, SALE, ("2017-01-02T00:00:00Z", *SALE[1:]), SALE)
    ids = [row.command_id for row in posted(content)]
    assert len(set(ids)) == 4
    assert [row.command_id for row in posted(content)] == ids


def test_ids_stay_the_same_from_release_to_release() -> None:
    columns = (*HEADER, "warehouse", "lot", "expires_on", "reason", "reference")
    full = "2017-01-01T13:00:00.25+01:00", "receipt", "Æ-1", "A-01", "+07", "N", "L1", "2027-03-31", "opening", "PO-1"
    bare = "2017-01-01 12:26:30", "adjustment", " A ", "S1", "-2", "", "", "", "", ""
    assert [str(row.command_id) for row in posted(csv_text(columns, full, bare, bare, bare))] == [
        "42ee7977-4eee-8088-8ee8-dbf8c6bf1869",
        "53461b67-4550-8048-b510-0e258a884a4d",
        "e01714c3-1fcf-8535-83a2-36efd829105a",
        "c165505f-d825-8e33-889b-c1fe74354913",
    ]


def test_an_id_depends_on_what_a_row_says_and_not_on_how() -> None:
    as_csv = posted(csv_text(("value", *HEADER), ("1.43", *SALE)))
    as_json = posted(
        '{"sku":"A","qty":2,"location":" S1","type":"shipment","timestamp":"2017-01-01T13:26:30+01:00"}',
        "movements.ndjson",
    )
    assert as_csv == as_json


@given(rows=st.lists(st.tuples(st.sampled_from("AB"), st.integers(1, 2)), max_size=12))
def test_a_longer_file_repeats_the_ids_of_the_shorter(rows: list[tuple[str, int]]) -> None:
    records = [(SALE[0], "sale", sku, "S1", str(quantity)) for sku, quantity in rows]
    ids = [row.command_id for row in posted(csv_text(HEADER, *records, SALE))]
    assert len(set(ids)) == len(ids)
    assert ids[: len(rows)] == [row.command_id for row in posted(csv_text(HEADER, *records))]


def test_no_part_of_a_row_can_pass_for_another() -> None:
    columns = (*HEADER, "lot", "reason", "reference")
    variants = [("x", "", ""), ("", "x", ""), ("", "", "x"), ("x", "x", "")]
    ids = {row.command_id for row in posted(csv_text(columns, *[(*SALE, *variant) for variant in variants]))}
    assert len(ids) == len(variants)
    assert UUID(int=0) not in ids


@pytest.mark.parametrize(
    ("field", "value", "code"),
    [
        ("timestamp", "yesterday", "invalid"),
        ("timestamp", (NOW + timedelta(minutes=6)).isoformat(), "out_of_range"),
        ("type", "transfer", "invalid"),
        ("sku", "   ", "missing"),
        ("sku", None, "missing"),
        ("sku", "a\0", "control_character"),
        ("location", "", "missing"),
        ("qty", "0", "out_of_range"),
        ("qty", "-1", "out_of_range"),
        ("qty", "1.5", "invalid"),
        ("qty", str(10**30), "out_of_range"),
        ("qty", 10**30, "out_of_range"),
        ("qty", 10**12 + 1, "out_of_range"),
        ("qty", None, "missing"),
        ("qty", "", "missing"),
        ("expires_on", "soon", "invalid"),
        ("reference", "x" * 129, "too_long"),
    ],
)
def test_a_bad_value_is_named(field: str, value: object, code: str) -> None:
    assert faults(**{field: value}) == [(field, code)]


def test_all_that_is_wrong_with_a_row_is_told_at_once() -> None:
    assert faults(timestamp="x", sku="", qty="x", lot="x" * 65) == [
        ("timestamp", "invalid"),
        ("qty", "invalid"),
        ("lot", "too_long"),
        ("sku", "missing"),
    ]


def test_a_clock_may_be_a_little_ahead() -> None:
    (row,) = posted(csv_text(HEADER, ((NOW + timedelta(minutes=4)).isoformat(), *SALE[1:])))
    assert row.occurred_at > NOW


def test_an_adjustment_goes_both_ways_and_not_nowhere() -> None:
    up, down = posted(csv_text(HEADER, *[(SALE[0], "adjustment", "A", "S1", quantity) for quantity in ("3", "-3")]))
    assert (up.delta, down.delta) == (3, -3)
    assert faults(type="adjustment", qty=0) == [("qty", "out_of_range")]


@pytest.mark.parametrize("absent", HEADER)
def test_a_missing_column_is_named(absent: str) -> None:
    with pytest.raises(Invalid) as refused:
        MovementRows([column for column in HEADER if column != absent], NOW)
    assert [error.pointer for error in refused.value.errors] == [f"/{absent}"]


def test_two_columns_for_the_quantity_are_refused() -> None:
    with pytest.raises(Invalid):
        MovementRows([*HEADER, "quantity"], NOW)


def test_other_columns_are_ignored_and_noted() -> None:
    with reading([*HEADER, "value", "till"]) as reader:
        assert list(reader.ignored) == ["value", "till"]
