"""Workbooks that were made to hurt."""

import io
import struct
import tracemalloc
import zipfile
from collections.abc import Callable

import pytest

from tests.unit.exchange.files import rows
from tests.unit.exchange.workbooks import (
    MAIN,
    SHEET,
    STRINGS,
    STYLES,
    header,
    number,
    packed,
    parts,
    row,
    sheet,
    strings,
    text,
    workbook,
)
from warehouse.errors import Invalid, TooLarge
from warehouse.exchange.reading import open_table
from warehouse.exchange.tables import ReadingLimits, Row, RowError

GOOD = parts(sheet(header("sku"), row(text("A"))), strings("<t>x</t>"))
BOMB_SIZE = 64 * 1024**2


def refusal(content: bytes, limits: ReadingLimits | None = None, name: str = "file.xlsx") -> tuple[str, str]:
    """The code and the detail with which the file is given up."""
    with pytest.raises((Invalid, TooLarge)) as refused:
        rows(content, name, limits or ReadingLimits())
    return refused.value.errors[0].code, refused.value.detail


def with_part(name: str, content: str | bytes) -> bytes:
    return packed({**GOOD, name: content})


def cheap(work: Callable[[], object]) -> bool:
    """Whether it needs little memory."""
    tracemalloc.start()
    work()
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return peak < 8 * 1024**2


@pytest.mark.parametrize("part", sorted(GOOD))
@pytest.mark.parametrize(
    "declaration",
    [
        '<!DOCTYPE x [<!ENTITY a SYSTEM "file:///etc/passwd">]>',
        '<!DOCTYPE x [<!ENTITY a "lol"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;&a;&a;">]>',
        '<!DOCTYPE x SYSTEM "http://127.0.0.1/x.dtd">',
        "<!DOCTYPE x>",
    ],
)
def test_no_part_may_have_a_document_type(part: str, declaration: str) -> None:
    code, detail = refusal(with_part(part, declaration + GOOD[part]))
    assert code == "malformed_xml"
    assert "document type" in detail


@pytest.mark.parametrize("part", sorted(GOOD))
@pytest.mark.parametrize("content", ["", "<", "no XML", "<a>", "<a>&b;</a>", "<a></b>", "\0"])
def test_what_is_not_well_formed_is_refused(part: str, content: str) -> None:
    assert refusal(with_part(part, content))[0] == "malformed_xml"


@pytest.mark.parametrize("part", [SHEET, STRINGS, STYLES])
def test_elements_do_not_nest_without_end(part: str) -> None:
    assert refusal(with_part(part, f"<x>{'<a>' * 1000}"))[0] == "malformed_xml"


@pytest.mark.parametrize("part", [SHEET, STRINGS, STYLES])
def test_names_are_not_new_without_end(part: str) -> None:
    content = f"<x>{''.join(f'<a{index}/>' for index in range(50_000))}</x>"
    assert refusal(with_part(part, content))[0] == "malformed_xml"


@pytest.mark.parametrize("limit", [1000, 100_000])
@pytest.mark.parametrize(
    ("part", "content"),
    [
        (SHEET, sheet(header("sku"), row(text("x" * 200_000)))),
        (SHEET, sheet(header("sku"), row(*[number(5)] * 20_000))),
        (SHEET, sheet(header("sku"), before=f'<a b="{"x" * 200_000}"/>')),
        (SHEET, sheet(header("sku"), before=f"<!--{'x' * 200_000}-->")),
        (SHEET, sheet(header("sku"), before=f"<?a {'x' * 200_000}?>")),
        (STRINGS, strings("<t>x</t>", f"<t>{'x' * 200_000}</t>")),
        (STRINGS, strings("<r><t>xxxxxxxxxxxxxxxxxxxx</t></r>" * 5000)),
    ],
)
def test_nothing_is_longer_than_a_row_may_be(part: str, content: str, limit: int) -> None:
    assert refusal(with_part(part, content), ReadingLimits(record=limit))[0] == "too_long"


def test_a_row_is_as_long_as_the_texts_that_it_shares() -> None:
    cells = ['<c t="s"><v>0</v></c>'] * 20
    content = workbook(header("sku"), row(*cells), shared=strings(f"<t>{'x' * 900}</t>"))
    code, detail = refusal(content, ReadingLimits(record=10_000))
    assert code == "too_long"
    assert "line 2" in detail


def test_a_workbook_shares_so_many_texts_and_no_more() -> None:
    content = workbook(header("sku"), shared=strings(*["<t>x</t>"] * 100))
    assert rows(content, "file.xlsx", ReadingLimits(strings=100)) == []
    assert refusal(content, ReadingLimits(strings=99))[0] == "too_long"


@pytest.mark.parametrize("part", [SHEET, STRINGS, STYLES, "xl/workbook.xml", "docProps/unread.xml"])
def test_a_bomb_is_refused_before_it_is_unpacked(part: str) -> None:
    content = with_part(part, b" " * BOMB_SIZE)
    assert refusal(content, ReadingLimits(bytes=BOMB_SIZE - 1))[0] == "too_long"


@pytest.mark.parametrize("part", [SHEET, STRINGS, STYLES])
def test_a_bomb_that_lies_of_its_size_is_noticed(part: str) -> None:
    content = bytearray(with_part(part, b" " * 10_000_000))
    for signature, offset in ((b"PK\x01\x02", 24), (b"PK\x03\x04", 22)):
        at = (
            content.index(part.encode(), content.index(signature))
            if signature == b"PK\x03\x04"
            else content.rindex(part.encode())
        )
        start = content.rindex(signature, 0, at)
        content[start + offset : start + offset + 4] = struct.pack("<I", 1000)
    assert refusal(bytes(content), ReadingLimits(bytes=1_000_000))[0] in ("damaged", "too_long")


def test_what_is_unpacked_is_counted_over_all_parts() -> None:
    shared = strings(*[f"<t>{'x' * 100}</t>"] * 3000)
    content = workbook(header("sku"), *[row(text("y" * 100))] * 3000, shared=shared)
    assert len(rows(content, "file.xlsx", ReadingLimits(bytes=1_500_000))) == 3000
    assert refusal(content, ReadingLimits(bytes=500_000))[0] == "too_long"


def test_an_index_is_kept_in_memory_and_therefore_small() -> None:
    content = with_part(STYLES, f'<styleSheet xmlns="{MAIN}"><cellXfs>{"<xf/>" * 4_000_000}</cellXfs></styleSheet>')
    assert refusal(content)[0] == "too_long"


def test_the_table_of_contents_is_small() -> None:
    content = packed({**GOOD, **{f"a{index}{'x' * 60}": b"" for index in range(12_000)}})
    code, detail = refusal(content)
    assert code == "too_long"
    assert "contents" in detail


def test_a_bomb_costs_no_memory() -> None:
    content = with_part(SHEET, sheet(header("sku"), before=" " * BOMB_SIZE))
    assert cheap(lambda: rows(content, "file.xlsx"))
    content = with_part(SHEET, sheet(header("sku"), row(text("x" * BOMB_SIZE))))
    assert cheap(lambda: refusal(content))


def test_a_million_columns_cost_no_memory() -> None:
    content = with_part(SHEET, sheet(row(*[text("x")] * 1_000_000)))
    assert cheap(lambda: refusal(content))
    assert refusal(content)[0] == "too_long"
    assert refusal(with_part(SHEET, sheet(header(*map(str, range(1001))))))[0] == "too_many"


@pytest.mark.parametrize(
    ("bad", "code"),
    [
        ('<c r="XFE1"><v>5</v></c>', "too_many"),
        ('<c r="AAAAAAAAAA1"><v>5</v></c>', "malformed_xml"),
        ('<c r="é1"><v>5</v></c>', "malformed_xml"),
    ],
)
def test_a_cell_is_in_a_column_that_there_may_be(bad: str, code: str) -> None:
    assert refusal(workbook(header("sku"), row(bad)))[0] == code


@pytest.mark.parametrize("line", ["", "x", "-1", "1" * 5000, "٣"])
def test_a_row_has_a_number(line: str) -> None:
    assert refusal(workbook(header("sku"), row(number(5), attributes=f'r="{line}"')))[0] == "malformed_xml"


def test_rows_before_the_fault_are_read() -> None:
    content = with_part(SHEET, sheet(header("sku"), row(text("A")), row(text("B"))).replace("</sheetData>", "<"))
    found = open_table(io.BytesIO(content), "file.xlsx", ReadingLimits())
    read: list[Row | RowError] = []
    with pytest.raises(Invalid):
        read.extend(found)
    found.close()
    assert read == [Row(2, {"sku": "A"}), Row(3, {"sku": "B"})]
    assert found.line == 4


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_only_the_packing_of_workbooks_is_unpacked(method: int) -> None:
    assert refusal(packed(GOOD, method))[0] == "not_a_workbook"
    assert len(rows(packed(GOOD, zipfile.ZIP_STORED), "file.xlsx")) == 1


def ole(stream: str) -> bytes:
    """The beginning of a compound file with one stream (MS-CFB)."""
    head = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1".ljust(30, b"\0") + struct.pack("<H", 9)
    directory = "Root Entry".encode("utf-16-le").ljust(128, b"\0") + stream.encode("utf-16-le").ljust(128, b"\0")
    return (head.ljust(48, b"\0") + struct.pack("<I", 1)).ljust(1024, b"\0") + directory


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (ole("EncryptedPackage"), "encrypted"),
        (ole("Workbook"), "not_a_workbook"),
        (ole("Workbook")[:20], "not_a_workbook"),
        (b"", "not_a_workbook"),
        (b"sku,name\nA,Bread\n", "not_a_workbook"),
        (b"<html>", "not_a_workbook"),
        (packed({"mimetype": "application/vnd.oasis.opendocument.spreadsheet"}), "not_a_workbook"),
        (packed({}), "not_a_workbook"),
        (packed(parts(sheet()))[:-30], "damaged"),
        (packed(parts(sheet()))[:100], "damaged"),
        (b"PK\x03\x04" + b"\0" * 100, "damaged"),
    ],
)
@pytest.mark.parametrize("name", ["file.xlsx", "file.xls"])
def test_what_is_no_workbook_is_refused(content: bytes, code: str, name: str) -> None:
    assert refusal(content, name=name)[0] == code


@pytest.mark.parametrize("missing", ["_rels/.rels", "xl/workbook.xml", "xl/_rels/workbook.xml.rels", SHEET])
def test_a_workbook_without_a_part_that_it_needs_is_refused(missing: str) -> None:
    assert refusal(packed({name: part for name, part in GOOD.items() if name != missing}))[0] == "not_a_workbook"


@pytest.mark.parametrize("missing", [STYLES, STRINGS])
def test_what_a_workbook_can_do_without_may_be_missing(missing: str) -> None:
    content = packed({name: part for name, part in GOOD.items() if name != missing})
    assert rows(content, "file.xlsx") == [Row(2, {"sku": "A"})]


def test_a_binary_workbook_is_refused() -> None:
    files = {name: part.replace("workbook.xml", "workbook.bin") for name, part in GOOD.items()}
    assert refusal(packed({**files, "xl/workbook.bin": b"\0"}))[0] == "not_a_workbook"


def test_an_encrypted_part_is_refused() -> None:
    content = bytearray(packed(GOOD))
    at = 0
    while (at := content.find(b"PK\x01\x02", at)) >= 0:
        content[at + 8] |= 1
        at += 4
    assert refusal(bytes(content))[0] == "encrypted"


def test_damaged_packing_ends_the_file() -> None:
    content = bytearray(packed(parts(sheet(header("sku"), *[row(text(str(index))) for index in range(1000)]))))
    content[content.index(SHEET.encode()) + 2000] ^= 0xFF
    assert refusal(bytes(content))[0] in ("damaged", "malformed_xml")


@pytest.mark.parametrize("start", range(0, 1500, 7))
def test_whatever_byte_is_wrong_a_workbook_is_read_or_refused(start: int) -> None:
    content = bytearray(packed(GOOD))
    content[start % len(content)] ^= 0x55
    try:
        found: list[object] = list(rows(bytes(content), "file.xlsx"))
    except (Invalid, TooLarge) as error:
        found = [error]
    assert len(found) <= 1
