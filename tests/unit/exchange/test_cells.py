import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.exchange.files import csv_text, values
from warehouse.exchange.cells import neutralised, restored

FORMULAS = ["=1+1", "+1", "-1", "@SUM(A1)", "\tx", "\rx", "=cmd|' /C calc'!A0", "-", "'=1", "''@x"]


@pytest.mark.parametrize("text", FORMULAS)
def test_what_looks_like_a_formula_begins_with_an_apostrophe(text: str) -> None:
    assert neutralised(text) == f"'{text}"


@pytest.mark.parametrize("text", ["", "bread", "'tis bread", "''", "1-1", " =1", '{"a": "=1"}', "é=1"])
def test_other_text_stays_as_it_is(text: str) -> None:
    assert neutralised(text) == text
    assert restored(text) == text


@given(st.text(alphabet="'=+-@\t\rab", max_size=6) | st.text(max_size=6))
def test_every_text_comes_back_and_none_is_taken_for_another(text: str) -> None:
    assert restored(neutralised(text)) == text
    assert neutralised(text)[:1] not in ("=", "+", "-", "@", "\t", "\r")


def test_a_csv_file_is_read_as_what_it_was_before() -> None:
    assert values(csv_text(["sku", "name"], ["'=x", "'''-5"], ["'x", "-5"])) == [
        {"sku": "=x", "name": "''-5"},
        {"sku": "'x", "name": "-5"},
    ]


def test_json_has_no_such_cells() -> None:
    assert values('{"sku": "\'=x"}', "file.ndjson") == [{"sku": "'=x"}]
