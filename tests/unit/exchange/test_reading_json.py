import pytest

from tests.unit.exchange.files import COMPRESSIONS, rows, table, values
from warehouse.errors import TooLarge
from warehouse.exchange.tables import ReadingLimits, Row, RowError


def fault(line: bytes | str, limits: ReadingLimits | None = None) -> str:
    """The code of the error of a bad line between two good ones."""
    data = line.encode() if isinstance(line, str) else line
    found = rows(b'{"sku":"A"}\n' + data + b'\n{"sku":"C"}\n', "file.ndjson", limits or ReadingLimits())
    assert [row.line for row in found] == [1, 2, 3]
    bad = found[1]
    assert isinstance(bad, RowError)
    assert isinstance(found[2], Row)
    return bad.code


@pytest.mark.parametrize("name", ["a.ndjson", "a.jsonl", "A.NDJSON", "a.ndjson.gz", "a.jsonl.zst", "-", "data"])
@pytest.mark.parametrize("suffix", COMPRESSIONS)
def test_objects_line_by_line(name: str, suffix: str) -> None:
    content = COMPRESSIONS[suffix](b'\xef\xbb\xbf{"sku":"A","size":1.5}\r\n\r\n {"sku":"B","on":true}')
    assert values(content, name) == [{"sku": "A", "size": 1.5}, {"sku": "B", "on": True}]


def test_there_is_no_header() -> None:
    assert table('{"sku":"A"}', "file.ndjson").columns is None


def test_the_name_counts_more_than_the_content() -> None:
    assert table('{"sku"\n', "file.csv").columns == ('{"sku"',)


def test_without_a_telling_name_text_is_csv() -> None:
    assert values("sku\nA\n", "-") == [{"sku": "A"}]


@pytest.mark.parametrize(
    ("line", "code"),
    [
        ("{", "malformed_json"),
        ("[1]", "malformed_json"),
        ('"text"', "malformed_json"),
        ('{"sku":NaN}', "malformed_json"),
        ('{"sku":"\\ud800"}', "malformed_json"),
        ('{"sku":"a\0b"}', "malformed_json"),
        ("[" * 100_000, "malformed_json"),
        ('{"sku":"café"}'.encode("latin-1"), "not_utf8"),
    ],
)
def test_a_bad_line_is_reported_and_the_others_are_read(line: str | bytes, code: str) -> None:
    assert fault(line) == code


def test_an_object_of_too_many_fields_is_reported() -> None:
    assert fault('{"a":1,"b":2,"c":3}', ReadingLimits(columns=2)) == "too_many"


def test_a_long_line_ends_the_file() -> None:
    with pytest.raises(TooLarge):
        rows('{"sku":"' + "x" * 200 + '"}', "file.ndjson", ReadingLimits(record=100))
