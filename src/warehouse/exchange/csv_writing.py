"""Tables as CSV (RFC 4180), in UTF-8, with a header. Imports read it."""

import csv
import io
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from warehouse.exchange.cells import neutralised
from warehouse.exchange.columns import Column, Content, list_text, object_text, values_by_column


class CsvWriter:
    """What is no text, as a negative number, is never taken for a formula, and stands as it is."""

    def __init__(self, columns: Sequence[Column]) -> None:
        self._columns = columns

    def begin(self) -> bytes:
        return _lines([[column.name for column in self._columns]])

    def write(self, rows: Sequence[str]) -> bytes:
        cells = [
            _cells(column.content, values)
            for column, values in zip(self._columns, values_by_column(self._columns, rows), strict=True)
        ]
        return _lines(zip(*cells, strict=True))

    def end(self) -> bytes:
        return b""


_TEXTS: Mapping[Content, Callable[[Any], str]] = {
    Content.TEXT: neutralised,
    Content.TEXTS: lambda texts: neutralised(list_text(texts)),
    Content.OBJECT: object_text,
}


def _cells(content: Content, values: list[Any]) -> list[Any]:
    text = _TEXTS.get(content)
    return values if text is None else [None if value is None else text(value) for value in values]


def _lines(records: Iterable[Sequence[Any]]) -> bytes:
    text = io.StringIO()
    csv.writer(text).writerows(records)
    return text.getvalue().encode()
