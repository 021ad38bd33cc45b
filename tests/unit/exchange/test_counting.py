import io

import pytest

from tests.unit.exchange.files import COMPRESSIONS
from tests.unit.exchange.workbooks import SHEET, header, of_sheets, packed, parts, row, sheet, text
from warehouse.exchange import compression
from warehouse.exchange.reading import count_rows
from warehouse.exchange.tables import ReadingLimits


def count(content: bytes, name: str = "file.csv", sheet: str | None = None) -> int | None:
    stream = io.BytesIO(b"before" + content)
    stream.seek(6)
    counted = count_rows(stream, name, ReadingLimits(bytes=10_000), sheet)
    assert stream.tell() == 6
    return counted


@pytest.mark.parametrize("chunk", [1, 3, 64 * 1024])
@pytest.mark.parametrize("suffix", COMPRESSIONS)
@pytest.mark.parametrize(
    ("content", "name", "expected"),
    [
        (b"", "file.csv", 0),
        (b"sku", "file.csv", 0),
        (b"sku\n", "file.csv", 0),
        (b"sku\nA", "file.csv", 1),
        (b"sku\nA\nB\n", "file.csv", 2),
        (b"sku\r\nA\r\nB\r\n", "file.csv", 2),
        (b'sku,name\nA,"two\nlines"\nB,"a ""quoted\n"" one"\n', "file.csv", 2),
        (b'{"sku":"A"}\n{"sku":"\\""}\n{"sku":"C"}', "file.ndjson", 3),
        (b'{"sku":"A"}\n{"sku":"B"}\n', "-", 2),
    ],
)
def test_rows_are_counted(
    content: bytes, name: str, expected: int, suffix: str, chunk: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(compression, "CHUNK", chunk)
    assert count(COMPRESSIONS[suffix](content), name) == expected


def test_lines_may_end_as_they_did_on_old_computers() -> None:
    assert count(b"sku\rA\rB\r") == 2


def test_a_workbook_says_how_many_it_has() -> None:
    rows = header("sku"), row(text("A"))
    for reference, expected in (("A1:B7", 6), ("A3:XFD9", 6), ("A1", None), ("", None), ("A9:A1", None)):
        content = packed(parts(sheet(*rows, before=f'<dimension ref="{reference}"/>')))
        assert count(content, "file.xlsx") == expected
    assert count(packed(parts(sheet(*rows))), "file.xlsx") is None


@pytest.mark.parametrize(
    ("content", "name"),
    [
        (b"x" * 20_000, "file.csv"),
        (COMPRESSIONS[".gz"](b"sku\nA\n")[:-9], "file.csv.gz"),
        (b"sku", "file.xlsx"),
        (packed({**parts(sheet()), SHEET: "<"}), "file.xlsx"),
        (COMPRESSIONS[".gz"](packed(parts(sheet()))), "file.xlsx.gz"),
    ],
)
def test_what_cannot_be_read_is_not_counted(content: bytes, name: str) -> None:
    assert count(content, name) is None


def test_of_a_sheet_that_is_not_there_nothing_is_counted() -> None:
    assert count(of_sheets(One="visible"), "file.xlsx", "Two") is None
