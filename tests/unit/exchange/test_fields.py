from datetime import UTC, date, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from warehouse.catalogue.model import Tracking
from warehouse.clock import EARLIEST
from warehouse.exchange.fields import Fault, Reader, attribute, barcodes, day, member, moment, text, whole

NOW = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)


def fault(read: Reader, raw: Any) -> str:
    with pytest.raises(Fault) as refused:
        read(raw)
    return refused.value.code


def test_text_is_stripped_and_normalised() -> None:
    assert text(10)("  Cafe\u0301 ") == "Caf\u00e9"


def test_text_is_as_long_as_it_is_kept() -> None:
    assert text(3)("e\u0301ab ") == "\u00e9ab"
    assert fault(text(3), "abcd") == "too_long"


@pytest.mark.parametrize(
    "raw", ["a\0b", "a\x1fb", "a\x7fb", "a\x85b", "a\nb", "a\tb", "a\u2028b", "a\ud800b", "\udfff"]
)
def test_control_characters_and_lone_surrogates_are_refused(raw: str) -> None:
    assert fault(text(10), raw) == "control_character"


def test_text_of_lines_may_hold_line_ends_and_tabs() -> None:
    lines = text(20, lines=True)
    assert lines("one\r\n\ttwo") == "one\r\n\ttwo"
    assert fault(lines, "one\0two") == "control_character"


@pytest.mark.parametrize("raw", [5, True, ["a"], {"a": 1}])
def test_text_is_not_made_of_something_else(raw: Any) -> None:
    assert fault(text(10), raw) == "invalid"


@given(number=st.integers(-1000, 1000))
def test_a_whole_number_is_read_from_digits_and_from_json(number: int) -> None:
    read = whole(-1000, 1000)
    assert read(str(number)) == read(number) == read(f" {number:+} ") == number


@pytest.mark.parametrize("raw", ["0", "11", "-1", str(10**30), "9" * 100_000, 11, -(10**18), 1e30, -1e30])
def test_a_number_beyond_its_range_is_refused(raw: Any) -> None:
    assert fault(whole(1, 10), raw) == "out_of_range"


@pytest.mark.parametrize("raw", ["1.5", "1e3", "x", "1_000", "\u0663", "--1", "0x10", 1.5, 2.0, True, [1], {}])
def test_what_is_not_a_whole_number_is_refused(raw: Any) -> None:
    assert fault(whole(1, 10), raw) == "invalid"


@given(microseconds=st.integers(0, 1_790_000_000_000_000), hours=st.integers(-14, 14))
def test_an_instant_is_the_same_in_every_offset(microseconds: int, hours: int) -> None:
    read, expected = moment(NOW), EARLIEST + timedelta(microseconds=microseconds)
    elsewhere = expected.astimezone(timezone(timedelta(hours=hours)))
    bare = expected.isoformat().removesuffix("+00:00")
    assert read(elsewhere.isoformat()) == read(bare + "Z") == read(bare.replace("T", " ")) == expected
    assert read(elsewhere.isoformat()).tzinfo is UTC


@pytest.mark.parametrize(
    "raw",
    [
        "", "yesterday", "2017-01-01", "2017-13-01T00:00:00Z", "2017-02-30T00:00:00Z", "2017-01-01T24:01:00Z",
        "2017-01-01T00:00:60Z", "2017-W01-1T00:00:00Z", "20170101T000000Z", "2017-01-01T00:00Z",
        "2017-01-01T00:00:00+25:00",
        "0001-01-01T00:00:00+14:00", 1483228800, None, [],
    ],
)  # fmt: skip
def test_what_is_not_rfc_3339_is_refused(raw: Any) -> None:
    assert fault(moment(NOW), raw) == "invalid"


@pytest.mark.parametrize("raw", ["1969-12-31T23:59:59Z", "2026-11-23T12:00:01Z", "9999-12-31T23:59:59Z"])
def test_what_happened_is_neither_ancient_nor_to_come(raw: str) -> None:
    assert fault(moment(NOW), raw) == "out_of_range"


def test_a_day_is_a_date() -> None:
    assert day(" 2027-03-31 ") == date(2027, 3, 31)
    for raw in ("2027-02-30", "31.3.2027", "20270331", "2027-W01-1", "2027-03-31T00:00:00", 5):
        assert fault(day, raw) == "invalid"


def test_barcodes_stand_side_by_side() -> None:
    assert barcodes(" 123 | 456||123 ") == barcodes(["123", "456", "123"]) == ("123", "456")
    assert barcodes("|") == ()


@pytest.mark.parametrize(
    ("raw", "code"),
    [
        ("x" * 65, "too_long"),
        ("|".join(map(str, range(21))), "too_many"),
        ("1|2\0", "control_character"),
        ([5], "invalid"),
    ],
)
def test_barcodes_that_cannot_be_are_refused(raw: Any, code: str) -> None:
    assert fault(barcodes, raw) == code


def test_a_choice_is_one_of_its_names() -> None:
    assert member(Tracking)(" lot ") is Tracking.LOT
    for raw in ("LOT", "lots", "", 1, ["lot"]):
        assert fault(member(Tracking), raw) == "invalid"


def test_an_attribute_is_text_or_a_json_scalar() -> None:
    assert [attribute(raw) for raw in (" a ", 1, 1.5, False)] == ["a", 1, 1.5, False]
    assert fault(attribute, ["a"]) == fault(attribute, {}) == "invalid"
    assert fault(attribute, "x" * 1025) == "too_long"
