"""Files as the tests write them."""

import csv
import gzip
import io
from collections.abc import Callable, Sequence

import zstandard

from warehouse.exchange.reading import open_table
from warehouse.exchange.renaming import Renaming
from warehouse.exchange.tables import ReadingLimits, Row, RowError, Table

LIMITS = ReadingLimits()
COMPRESSIONS: dict[str, Callable[[bytes], bytes]] = {
    "": lambda content: content,
    ".gz": gzip.compress,
    ".zst": lambda content: zstandard.compress(content),
}


def table(
    content: bytes | str,
    name: str = "file.csv",
    limits: ReadingLimits = LIMITS,
    renaming: Renaming | None = None,
    sheet: str | None = None,
) -> Table:
    data = content.encode() if isinstance(content, str) else content
    return open_table(io.BytesIO(data), name, limits, renaming, sheet)


def rows(content: bytes | str, name: str = "file.csv", limits: ReadingLimits = LIMITS) -> list[Row | RowError]:
    return list(table(content, name, limits))


def values(content: bytes | str, name: str = "file.csv") -> list[dict[str, object]]:
    """Of a file without a fault."""
    found = []
    for row in rows(content, name):
        assert isinstance(row, Row), row
        found.append(row.values)
    return found


def csv_text(*records: Sequence[str], ending: str = "\n") -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator=ending).writerows(records)
    return text.getvalue()
