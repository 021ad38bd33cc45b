import contextlib
import io
import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.exchange.files import COMPRESSIONS, csv_text, rows, table, values
from tests.unit.exchange.test_compression import gigabyte_of_zeros
from warehouse.errors import Invalid, TooLarge
from warehouse.exchange import compression
from warehouse.exchange.reading import open_table
from warehouse.exchange.tables import ReadingLimits, Row, RowError

cells = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=20)


def faults(content: bytes | str) -> list[tuple[int, str]]:
    return [(row.line, row.code) for row in rows(content) if isinstance(row, RowError)]


def refusal(content: bytes | str, limits: ReadingLimits | None = None) -> tuple[str, str]:
    """The code and the detail with which the file is given up."""
    with pytest.raises((Invalid, TooLarge)) as refused:
        rows(content, limits=limits or ReadingLimits())
    return refused.value.errors[0].code, refused.value.detail


def test_a_row_is_its_columns_and_the_line_it_begins_in() -> None:
    content = 'sku,name\nA,"two\nlines"\n\nB,one\n'
    assert rows(content) == [Row(2, {"sku": "A", "name": "two\nlines"}), Row(5, {"sku": "B", "name": "one"})]


@pytest.mark.parametrize("ending", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("mark", ["", "\ufeff"])
def test_line_endings_and_a_byte_order_mark_are_not_content(ending: str, mark: str) -> None:
    content = mark + csv_text(["sku", "name"], ["A", "bread"], ["B", "milk"], ending=ending)
    assert values(content) == [{"sku": "A", "name": "bread"}, {"sku": "B", "name": "milk"}]


@pytest.mark.parametrize("chunk", [1, 7, 64])
@given(records=st.lists(st.tuples(cells, cells), max_size=8), suffix=st.sampled_from(sorted(COMPRESSIONS)))
def test_what_a_csv_writer_writes_is_read(chunk: int, records: list[tuple[str, str]], suffix: str) -> None:
    content = COMPRESSIONS[suffix](csv_text(["one", "other"], *records, ending="\r\n").encode())
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(compression, "CHUNK", chunk)
        assert values(content, f"file.csv{suffix}") == [{"one": one, "other": other} for one, other in records]


@given(content=st.binary(max_size=300) | st.text('",\r\n\0aé', max_size=60).map(lambda text: text.encode("latin-1")))
def test_whatever_is_in_it_a_file_is_read_or_refused(content: bytes) -> None:
    with contextlib.suppress(Invalid, TooLarge):
        assert all(isinstance(row, Row | RowError) for row in rows(b"sku,name\n" + content))


def test_a_ragged_row_is_reported_and_the_others_are_read() -> None:
    content = "sku,name\nA\nB,milk\nC,a,b\n"
    assert faults(content) == [(2, "ragged"), (4, "ragged")]
    assert Row(3, {"sku": "B", "name": "milk"}) in rows(content)


def test_bytes_of_latin_1_are_reported_with_their_place() -> None:
    content = b"sku,name\nA,bread\nB,caf\xe9\nC,milk\n"
    found = rows(content)
    assert [row.line for row in found] == [2, 3, 4]
    assert found[1] == RowError(
        3, None, "not_utf8", f"Byte 0xE9 at position {content.index(0xE9)} of the text is not UTF-8."
    )
    assert isinstance(found[2], Row)


def test_a_nul_is_reported_and_the_others_are_read() -> None:
    assert faults("sku,name\nA,br\0ead\nB,milk\n") == [(2, "control_character")]


def test_a_flaw_in_a_later_line_of_a_row_is_the_rows() -> None:
    assert faults(b'sku,name\nA,"one\ntwo \xe9"\nB,milk\n') == [(2, "not_utf8")]


def test_a_quote_out_of_place_is_reported_and_the_others_are_read() -> None:
    content = 'sku,name\nA,"bread"x\nB,milk\n'
    assert faults(content) == [(2, "malformed_csv")]
    assert values('sku,name\nB,5 inch"\n') == [{"sku": "B", "name": '5 inch"'}]


def test_a_quote_that_is_never_closed_is_reported() -> None:
    assert faults('sku,name\nA,bread\nB,"milk\nC,x\n') == [(3, "malformed_csv")]


def test_a_quote_that_swallows_the_file_ends_it() -> None:
    content = 'sku,name\nA,"bread\n' + "B,milk\n" * 50_000
    assert refusal(content)[0] == "malformed_csv"


def test_a_huge_field_is_reported_and_the_others_are_read() -> None:
    assert faults(f"sku,name\nA,{'x' * 200_000}\nB,milk\n") == [(2, "malformed_csv")]


@pytest.mark.parametrize(
    ("header", "code"),
    [
        ("", "empty"),
        ("\n\n", "empty"),
        ("sku,name,sku", "duplicate"),
        ("sku, sku ", "duplicate"),
        ("sku,,name", "missing"),
        ("sku,name,", "missing"),
        ('sku,"name', "malformed_csv"),
        ("sku,na\0me", "control_character"),
        ("sku,näme".encode("latin-1"), "not_utf8"),
        ("sku,name\nA,bread\n".encode("utf-16"), "not_utf8"),
        (",".join(map(str, range(1001))), "too_many"),
    ],
)
def test_a_header_that_cannot_be_is_refused(header: str | bytes, code: str) -> None:
    assert refusal(header)[0] == code


@pytest.mark.parametrize(("columns", "code"), [(1_000_000, "too_long"), (400_000, "too_many")])
def test_a_million_columns_cost_little_memory(columns: int, code: str) -> None:
    header = ",".join(["xy"] * columns if code == "too_long" else ["x"] * columns)
    tracemalloc.start()
    assert refusal(header)[0] == code
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 32 * 1024**2


def test_a_row_of_a_million_columns_is_reported_and_the_others_are_read() -> None:
    assert faults("sku,name\nA" + "," * 1_000_000 + "\nB,milk\n") == [(2, "ragged")]


def test_a_header_may_be_all_there_is() -> None:
    found = table("sku , name\n")
    assert found.columns == ("sku", "name")
    assert list(found) == []


def test_a_long_line_ends_the_file_and_is_named() -> None:
    limits = ReadingLimits(record=100)
    code, detail = refusal(f"sku,name\nA,bread\nB,{'x' * 100}\n", limits)
    assert code == "too_long"
    assert "line 3" in detail


def test_a_row_of_many_lines_is_as_long_as_all_of_them() -> None:
    code, detail = refusal('sku,name\n"\n' + '","\n' * 100, ReadingLimits(record=100))
    assert code == "too_long"
    assert "line 2" in detail


def test_a_gigabyte_of_zeros_ends_at_once() -> None:
    bomb = io.BytesIO(gigabyte_of_zeros())
    with pytest.raises(TooLarge):
        open_table(bomb, "products.csv.zst", ReadingLimits())
    assert bomb.tell() < 1024


def test_a_gigabyte_of_zeros_behind_a_good_row_ends_at_once() -> None:
    compressor_frame = COMPRESSIONS[".zst"](b"sku,name\nA,bread\n")
    found = open_table(io.BytesIO(compressor_frame + gigabyte_of_zeros()), "products.csv.zst", ReadingLimits())
    with pytest.raises(TooLarge):
        list(found)
    assert found.line <= 3


def test_more_than_is_allowed_behind_the_compression_ends_the_file() -> None:
    content = COMPRESSIONS[".zst"](b"sku,name\n" + b"A,bread\n" * 10_000)
    assert refusal(content, ReadingLimits(bytes=1000))[0] == "too_long"
