from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from tests.unit.exchange.files import COMPRESSIONS, rows, table, values
from tests.unit.exchange.workbooks import (
    CUSTOM_DATE,
    DATE,
    DATE_TIME,
    ELAPSED,
    EURO,
    MAIN,
    header,
    number,
    of_sheets,
    packed,
    parts,
    row,
    sheet,
    strings,
    text,
    workbook,
)
from warehouse.errors import Invalid
from warehouse.exchange.columns import Column, Content
from warehouse.exchange.reading import open_table
from warehouse.exchange.renaming import Renaming
from warehouse.exchange.sheet_cells import column_index, column_letters
from warehouse.exchange.tables import Flaw, ReadingLimits, Row, RowError
from warehouse.exchange.xlsx_writing import XlsxWriter

DATA = Path(__file__).parent / "data"
NEW_YEAR = datetime(2026, 1, 1)  # noqa: DTZ001 (a sheet's times have no zone)
NEW_YEAR_SERIAL = 46023


def cell(content: str, **options: Any) -> object:
    """What is read of a cell."""
    (found,) = values(workbook(header("value", "other"), row(content, text("x")), **options), "file.xlsx")
    return found["value"]


def flaw(content: str, **options: Any) -> str:
    found = cell(content, **options)
    assert isinstance(found, Flaw)
    return found.code


@pytest.mark.parametrize("writer", ["openpyxl.xlsx", "xlsxwriter.xlsx"])
def test_what_others_write_is_read(writer: str) -> None:
    bread, milk, merged = values((DATA / writer).read_bytes(), writer)
    note, total = milk.pop("note"), bread.pop("sum")
    assert bread == {
        "sku": "12345",
        "name": "Bread",
        "qty": "5",
        "when": datetime(2026, 1, 2, 3, 4, 5),  # noqa: DTZ001
        "day": datetime(2027, 3, 31),  # noqa: DTZ001
        "on": "true",
        "note": "rich text",
    }
    assert (milk["sku"], milk["qty"], milk["on"]) == ("00123", "2.5", "false")
    assert isinstance(note, str)
    assert note.startswith("a\nb ")
    assert milk["sum"] == Flaw("cell_error", "The cell holds the error #N/A.")
    # openpyxl computes nothing.
    assert total == "10" if writer == "xlsxwriter.xlsx" else isinstance(total, Flaw) and total.code == "formula"
    assert {name: value for name, value in merged.items() if value} == {"sku": "merged", "qty": "-7"}


def test_a_row_is_its_columns_and_its_number() -> None:
    content = workbook(
        row(),
        row(text(" ")),
        header("sku", " name "),
        row(text("A"), attributes='r="7"'),
        row('<c r="B8" t="inlineStr"><is><t>Milk</t></is></c>', '<c r="A8"><v>5</v></c>', attributes='r="8"'),
        row(),
        row(number("")),
        row(text(" ")),
        row(text("B"), attributes='spans="1:2"'),
    )
    assert rows(content, "file.xlsx") == [
        Row(7, {"sku": "A", "name": ""}),
        Row(8, {"sku": "5", "name": "Milk"}),
        Row(12, {"sku": "B", "name": ""}),
    ]


def test_the_header_is_the_first_row_with_anything_in_it() -> None:
    assert table(workbook(row(), header("", "sku", "", number_name := "2026")), "a.xlsx").columns == (
        "sku",
        number_name,
    )


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (number(5), "5"),
        (number("5.0"), "5"),
        (number("-3"), "-3"),
        (number("12345"), "12345"),
        (number("1E3"), "1000"),
        (number("2.5"), "2.5"),
        (number("0.30000000000000004"), "0.3"),
        (number("999999999999999"), "999999999999999"),
        (number("1234.5", EURO), "1234.5"),
        (number("1.5", ELAPSED), "1.5"),
        (number("5", 99), "5"),
        ('<c t="b"><v>1</v></c>', "true"),
        ('<c t="b"><v>0</v></c>', "false"),
        ('<c t="str"><f>A1</f><v>text</v></c>', "text"),
        ('<c t="str"><f>A1</f><v></v></c>', ""),
        ("<c><f>2+3</f><v>5</v></c>", "5"),
        ('<c t="inlineStr"><is><r><t>rich </t></r><r><rPr/><t>text</t></r></is></c>', "rich text"),
        ('<c t="inlineStr"><is><t>漢</t><rPh sb="0" eb="1"><t>kan</t></rPh></is></c>', "漢"),
        (text("a_x000D_b_x005F_x000D_"), "a\rb_x000D_"),
        (text("=1+1"), "=1+1"),
        (number(NEW_YEAR_SERIAL, DATE), NEW_YEAR),
        (number(NEW_YEAR_SERIAL, CUSTOM_DATE), NEW_YEAR),
        (number(NEW_YEAR_SERIAL + 0.5, DATE_TIME), NEW_YEAR.replace(hour=12)),
        (number("46023.00001157408", DATE_TIME), NEW_YEAR.replace(second=1)),
        ('<c t="d"><v>2026-01-01T00:00:00Z</v></c>', NEW_YEAR),
        (number(NEW_YEAR_SERIAL), str(NEW_YEAR_SERIAL)),
    ],
)
def test_a_cell_is_read_as_what_it_shows(content: str, expected: object) -> None:
    assert cell(content) == expected


@pytest.mark.parametrize(
    ("content", "code"),
    [
        ("<c><f>A1</f></c>", "formula"),
        ("<c><f>A1</f><v></v></c>", "formula"),
        ('<c t="e"><v>#N/A</v></c>', "cell_error"),
        ('<c t="e"><f>1/0</f><v>#DIV/0!</v></c>', "cell_error"),
        (number("12345678901234567"), "imprecise"),
        (number("1.2345678901234501E+17"), "imprecise"),
        (number("nan"), "malformed_cell"),
        (number("1e999"), "malformed_cell"),
        (number("five"), "malformed_cell"),
        ('<c t="nonsense"><v>5</v></c>', "malformed_cell"),
        ('<c t="s"><v>7</v></c>', "malformed_cell"),
        ('<c t="s"><v>-1</v></c>', "malformed_cell"),
        (number("1e300", DATE), "invalid"),
        (number("nan", DATE), "invalid"),
        ('<c t="d"><v>soon</v></c>', "invalid"),
    ],
)
def test_a_cell_without_a_value_says_why(content: str, code: str) -> None:
    assert flaw(content) == code


def test_texts_may_be_shared() -> None:
    shared = strings("<t>one</t>", "<r><t>rich </t></r><r><t>text</t></r>", "", "<t>é</t><rPh><t>no</t></rPh>")
    cells = [f'<c t="s"><v>{index}</v></c>' for index in range(4)]
    (found,) = values(workbook(header("a", "b", "c", "d"), row(*cells), shared=shared), "a.xlsx")
    assert list(found.values()) == ["one", "rich text", "", "é"]


def test_days_may_be_counted_from_1904() -> None:
    assert cell(number(NEW_YEAR_SERIAL - 1462, DATE), properties='<workbookPr date1904="1"/>') == NEW_YEAR


def test_a_value_without_a_column_is_reported_and_the_others_are_read() -> None:
    content = workbook(
        header("sku", "", "name"),
        row(text("A"), text("x"), text("Bread")),
        row(text("B"), "<c/>", text("Milk"), "<c/>"),
    )
    assert rows(content, "file.xlsx") == [
        RowError(2, None, "ragged", "Column B has a value, but no name in the header."),
        Row(3, {"sku": "B", "name": "Milk"}),
    ]


def test_the_first_sheet_in_sight_is_read_or_the_one_that_is_named() -> None:
    content = of_sheets(Hidden="hidden", Deep="veryHidden", One="visible", Two="visible")
    assert values(content, "file.xlsx") == [{"sku": "One"}]
    for name in ("Two", "Hidden", "two"):
        assert list(table(content, "file.xlsx", sheet=name)) == [Row(2, {"sku": name.capitalize()})]
    with pytest.raises(Invalid) as refused:
        table(content, "file.xlsx", sheet="Three")
    assert refused.value.errors[0].pointer == "/sheet"
    assert "'One', 'Two'" in refused.value.detail


def test_only_workbooks_have_sheets() -> None:
    with pytest.raises(Invalid) as refused:
        table("sku\nA\n", "file.csv", sheet="One")
    assert refused.value.errors[0].code == "no_sheets"


def test_namespaces_may_have_any_prefix_and_be_the_strict_ones() -> None:
    content = sheet(header("sku"), row(number(5)))
    prefixed = content.replace("<", "<x:").replace("<x:/", "</x:").replace("xmlns=", "xmlns:x=")
    strict = content.replace(MAIN, "http://purl.oclc.org/ooxml/spreadsheetml/main")
    for written in (prefixed, strict):
        assert values(packed(parts(written)), "file.xlsx") == [{"sku": "5"}]


@pytest.mark.parametrize("name", ["file.xlsx", "FILE.XLSM", "-", "file", "file.dat"])
def test_a_workbook_is_told_by_its_name_or_its_first_bytes(name: str) -> None:
    assert values(workbook(header("sku"), row(number(5))), name) == [{"sku": "5"}]


@pytest.mark.parametrize("suffix", [".gz", ".zst"])
@pytest.mark.parametrize("name", ["file.xlsx", "-"])
def test_a_workbook_is_not_compressed_once_more(name: str, suffix: str) -> None:
    content = COMPRESSIONS[suffix](workbook(header("sku")))
    with pytest.raises(Invalid) as refused:
        table(content, name + suffix)
    assert refused.value.errors[0].code == "compressed"


@pytest.mark.parametrize(
    ("names", "code"), [((), "empty"), (("sku", "name", "sku"), "duplicate"), (("x",) * 1001, "too_many")]
)
def test_a_header_that_cannot_be_is_refused(names: tuple[str, ...], code: str) -> None:
    with pytest.raises(Invalid) as refused:
        table(workbook(header(*names)), "file.xlsx")
    assert refused.value.errors[0].code == code


def test_a_header_with_an_error_in_it_is_refused() -> None:
    with pytest.raises(Invalid) as refused:
        table(workbook(row(text("sku"), '<c t="e"><v>#REF!</v></c>')), "file.xlsx")
    assert refused.value.errors[0].code == "cell_error"
    assert "column B" in refused.value.detail


def test_columns_get_our_names() -> None:
    content = workbook(header("Artikelnummer", "Farbe", "name"), row(number(5), text("rot"), text("Bread")))
    renaming = Renaming({"Artikelnummer": "sku", "Farbe": ""}, 10)
    found = table(content, "file.xlsx", renaming=renaming)
    assert found.columns == ("sku", "name")
    assert list(found) == [Row(2, {"sku": "5", "name": "Bread"})]


def test_columns_are_counted_in_letters() -> None:
    assert [column_letters(index) for index in (0, 25, 26, 701, 702, 16_383)] == ["A", "Z", "AA", "ZZ", "AAA", "XFD"]
    assert all(column_index(column_letters(index)) == index for index in range(16_384))
    for letters in ("", "a", "XFE", "AAAA", "Ä", "1"):
        with pytest.raises(Invalid):
            column_index(letters)


def test_a_workbook_is_read_from_where_the_stream_stands(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"something before" + packed(parts(sheet(header("sku"), row(number(5))))))
    with path.open("rb") as stream:
        stream.seek(len(b"something before"))
        assert list(open_table(stream, "a.xlsx", ReadingLimits())) == [Row(2, {"sku": "5"})]


def test_what_is_exported_is_read() -> None:
    contents = {"sku": Content.TEXT, "quantity": Content.WHOLE, "expires_on": Content.DAY, "timestamp": Content.MOMENT}
    writer = XlsxWriter([Column(name, content) for name, content in contents.items()], "movements")
    row_of = '{"sku": "=1", "quantity": -5, "expires_on": "2026-01-01", "timestamp": "2026-01-01T12:00:00.250000Z"}'
    exported = writer.begin() + writer.write([row_of]) + writer.end()
    moment = NEW_YEAR.replace(hour=12, microsecond=250_000)
    assert values(exported, "file.xlsx") == [
        {"sku": "=1", "quantity": "-5", "expires_on": NEW_YEAR, "timestamp": moment}
    ]
