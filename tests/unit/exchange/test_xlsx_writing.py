import gc
import io
import re
from datetime import datetime
from typing import Any
from xml.etree import ElementTree
from zipfile import ZipFile

import openpyxl
import pytest

from tests.unit.exchange.tables import HOSTILE, NAMES, file_of, product
from warehouse.errors import Invalid
from warehouse.exchange.columns import PRODUCT_COLUMNS, Column, Content
from warehouse.exchange.xlsx_writing import XlsxWriter

TEXT = [Column("text", Content.TEXT)]


def sheets(content: bytes) -> dict[str, list[list[Any]]]:
    """The cells' values, as a program for spreadsheets sees them."""
    book = openpyxl.load_workbook(io.BytesIO(content))
    return {sheet.title: [[_value(cell) for cell in row] for row in sheet.iter_rows()] for sheet in book}


def _value(cell: Any) -> Any:
    assert cell.data_type != "f"
    assert cell.hyperlink is None
    # openpyxl leaves this spelling as it is.
    if isinstance(cell.value, str):
        return re.sub("_x([0-9A-Fa-f]{4})_", lambda code: chr(int(code[1], 16)), cell.value)
    return cell.value


def test_cells_have_types() -> None:
    [(title, [header, row])] = sheets(file_of(XlsxWriter(PRODUCT_COLUMNS, "products"), [product()])).items()
    assert (title, header) == ("products", NAMES)
    values = dict(zip(NAMES, row, strict=True))
    assert (values["sku"], values["reorder_point"], values["version"]) == ("CJ-1", 5, 3)
    assert (values["description"], values["barcodes"], values["attributes"]) == (None, "1|2", '{"brand":"Own"}')
    assert values["created_at"] == datetime(2026, 11, 25, 20, 30)  # noqa: DTZ001 (a workbook knows no time zones)


def test_texts_are_texts_whatever_they_look_like() -> None:
    [(_, [_, *rows])] = sheets(
        file_of(XlsxWriter(PRODUCT_COLUMNS, "p"), [product(name=text) for text in HOSTILE])
    ).items()
    assert [row[NAMES.index("name")] for row in rows] == HOSTILE


def test_days_are_days_where_the_format_knows_them() -> None:
    columns = [Column("day", Content.DAY), Column("much", Content.WHOLE)]
    rows = [
        '{"day":"2027-03-31","much":-9007199254740991}',
        '{"day":"1900-02-28","much":0}',
        '{"day":null,"much":null}',
    ]
    content = file_of(XlsxWriter(columns, "days"), rows)
    [(_, [_, *found])] = sheets(content).items()
    assert found[:2] == [[datetime(2027, 3, 31), -9007199254740991], ["1900-02-28", 0]]  # noqa: DTZ001
    assert found[2:] in ([], [[None, None]])


def test_a_long_table_goes_on_in_the_next_sheet() -> None:
    rows = [f'{{"text":"{number}"}}' for number in range(8)]
    content = file_of(XlsxWriter(TEXT, "stock", sheet_rows=4), rows[:2], rows[2:])
    assert sheets(content) == {
        "stock": [["text"], ["0"], ["1"], ["2"]],
        "stock 2": [["text"], ["3"], ["4"], ["5"]],
        "stock 3": [["text"], ["6"], ["7"]],
    }


def test_a_table_that_fits_needs_no_further_sheet() -> None:
    rows = [f'{{"text":"{number}"}}' for number in range(3)]
    assert sheets(file_of(XlsxWriter(TEXT, "stock", sheet_rows=4), rows)) == {"stock": [["text"], ["0"], ["1"], ["2"]]}


def test_a_sheet_with_long_texts_ends_before_it_is_full() -> None:
    rows = [f'{{"text":"{"x" * 1000}"}}' for _ in range(3)]
    content = file_of(XlsxWriter(TEXT, "stock", sheet_bytes=1500), *[[row] for row in rows])
    assert [len(found) for found in sheets(content).values()] == [2, 2, 2]


def test_without_rows_there_is_the_header() -> None:
    assert sheets(file_of(XlsxWriter(PRODUCT_COLUMNS, "products"))) == {"products": [NAMES]}


def test_a_text_that_no_cell_can_hold_is_refused() -> None:
    content = file_of(XlsxWriter(TEXT, "t"), [f'{{"text":"{"x" * 32_767}"}}', f'{{"text":"{chr(0x1F35E) * 16_383}"}}'])
    assert [len(text) for [text] in sheets(content)["t"][1:]] == [32_767, 16_383]
    for text in ("x" * 32_768, chr(0x1F35E) * 16_384):
        with pytest.raises(Invalid) as refused:
            file_of(XlsxWriter(TEXT, "t"), [f'{{"text":"{text}"}}'])
        assert [error.pointer for error in refused.value.errors] == ["/format"]


def test_every_part_is_xml_and_has_a_type() -> None:
    with ZipFile(io.BytesIO(file_of(XlsxWriter(PRODUCT_COLUMNS, "products", sheet_rows=2), [product()] * 2))) as parts:
        assert parts.testzip() is None
        names = set(parts.namelist())
        for name in names:
            ElementTree.fromstring(parts.read(name))  # noqa: S314 (our own)
        types = ElementTree.fromstring(parts.read("[Content_Types].xml"))  # noqa: S314
        typed = {str(each.get("PartName")).lstrip("/") for each in types if each.get("PartName")}
    assert typed == {name for name in names if name.startswith("xl/") and not name.endswith(".rels")}


def test_what_is_written_goes_out_at_once() -> None:
    writer = XlsxWriter(PRODUCT_COLUMNS, "products")
    sizes = [len(writer.begin()), *[len(writer.write([product()] * 2000)) for _ in range(20)], len(writer.end())]
    assert max(sizes) < sum(sizes) / 2


def test_one_that_is_given_up_says_nothing() -> None:
    writer = XlsxWriter(PRODUCT_COLUMNS, "products")
    writer.begin()
    writer.write([product()])
    del writer
    assert gc.collect() >= 0
