from tests.unit.exchange.files import values
from tests.unit.exchange.tables import HOSTILE, PRODUCT, file_of, product
from warehouse.exchange.ndjson_writing import NdjsonWriter


def test_each_row_is_a_line() -> None:
    rows = [product(name=text) for text in HOSTILE]
    content = file_of(NdjsonWriter(), rows[:3], rows[3:])
    assert content.count(b"\n") == len(rows)
    assert values(content, "file.ndjson") == [{**PRODUCT, "name": text} for text in HOSTILE]


def test_without_rows_there_is_nothing() -> None:
    assert file_of(NdjsonWriter()) == b""
