"""Cells of SpreadsheetML (ECMA-376, part 1, 18.3): what stands in an element `c` behind its reference."""

import re
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any
from xml.sax.saxutils import escape

from warehouse.errors import field_error
from warehouse.exchange.columns import Content, list_text, object_text

LONGEST_TEXT = 32_767
"""UTF-16 units in one cell."""
HEADER_STYLE, MOMENT_STYLE, DAY_STYLE = 1, 2, 3
"""In the workbook's styles."""

_EPOCH = datetime(1899, 12, 30, tzinfo=UTC)
_DAY = timedelta(days=1)
_FIRST_DAY = date(1900, 3, 1)
"""Excel takes 1900 for a leap year."""
_ESCAPED = re.compile(r"_(?=x[0-9A-Fa-f]{4}_)|[\x00-\x08\x0b-\x1f\ufffe\uffff]")


def cells(content: Content, values: Sequence[Any]) -> list[str]:
    """Of one column; nothing where there is no value. Raises `Invalid` for a text that no cell can hold."""
    cell = _CELLS[content]
    return ["" if value is None else cell(value) for value in values]


def header_cell(name: str) -> str:
    return f' t="inlineStr" s="{HEADER_STYLE}"><is><t>{name}</t></is></c>'


def _text(value: str) -> str:
    if len(value) > LONGEST_TEXT // 2 and len(value.encode("utf-16-le")) // 2 > LONGEST_TEXT:
        detail = f"A cell of XLSX holds {LONGEST_TEXT} characters, which {value[:40]!r}… exceeds; take another format."
        raise field_error("/format", "too_long", detail)
    # So it is spelt here what XML has no character for, and what would be taken for such a spelling.
    spelt = _ESCAPED.sub(lambda match: f"_x{ord(match[0]):04X}_", value)
    return f' t="inlineStr"><is><t xml:space="preserve">{escape(spelt)}</t></is></c>'


def _plain(value: str) -> str:
    """Of our own words and ids, in which nothing has to be escaped."""
    return f' t="inlineStr"><is><t>{value}</t></is></c>'


def _number(value: int) -> str:
    return f"><v>{value}</v></c>"


def _moment(value: str) -> str:
    return f' s="{MOMENT_STYLE}"><v>{(datetime.fromisoformat(value) - _EPOCH) / _DAY}</v></c>'


def _day(value: str) -> str:
    day = date.fromisoformat(value)
    return _plain(value) if day < _FIRST_DAY else f' s="{DAY_STYLE}"><v>{(day - _EPOCH.date()).days}</v></c>'


_CELLS: Mapping[Content, Callable[[Any], str]] = {
    Content.IDENTIFIER: _plain,
    Content.TEXT: _text,
    Content.CHOICE: _plain,
    Content.WHOLE: _number,
    Content.DAY: _day,
    Content.MOMENT: _moment,
    Content.TEXTS: lambda texts: _text(list_text(texts)),
    Content.OBJECT: lambda members: _text(object_text(members)),
}
