"""What stands in the columns of an exported table. Names and order are those of the wire."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum, auto
from typing import Any

import orjson


class Content(Enum):
    """None can stand in every column."""

    IDENTIFIER = auto()
    TEXT = auto()
    CHOICE = auto()
    """A text of a few."""
    WHOLE = auto()
    DAY = auto()
    """As in 2027-03-31."""
    MOMENT = auto()
    """As in 2027-03-31T12:00:00.123456Z; without a fraction where that is 0."""
    TEXTS = auto()
    """A list."""
    OBJECT = auto()
    """Of scalars."""


@dataclass(frozen=True, slots=True)
class Column:
    name: str
    content: Content


def _columns(contents: Mapping[str, Content]) -> Sequence[Column]:
    return tuple(Column(name, content) for name, content in contents.items())


PRODUCT_COLUMNS = _columns(
    {
        "id": Content.IDENTIFIER,
        "sku": Content.TEXT,
        "name": Content.TEXT,
        "description": Content.TEXT,
        "category": Content.TEXT,
        "unit": Content.TEXT,
        "barcodes": Content.TEXTS,
        "reorder_point": Content.WHOLE,
        "tracking": Content.CHOICE,
        "negative_stock": Content.CHOICE,
        "attributes": Content.OBJECT,
        "status": Content.CHOICE,
        "version": Content.WHOLE,
        "created_at": Content.MOMENT,
        "updated_at": Content.MOMENT,
    }
)
BALANCE_COLUMNS = _columns(
    {
        "product_id": Content.IDENTIFIER,
        "sku": Content.TEXT,
        "warehouse_id": Content.IDENTIFIER,
        "location_id": Content.IDENTIFIER,
        "lot": Content.TEXT,
        "expires_on": Content.DAY,
        "on_hand": Content.WHOLE,
        "reserved": Content.WHOLE,
        "available": Content.WHOLE,
        "version": Content.WHOLE,
        "updated_at": Content.MOMENT,
    }
)
MOVEMENT_COLUMNS = _columns(
    {
        "id": Content.IDENTIFIER,
        "command_id": Content.IDENTIFIER,
        "line": Content.WHOLE,
        "product_id": Content.IDENTIFIER,
        "sku": Content.TEXT,
        "warehouse_id": Content.IDENTIFIER,
        "location_id": Content.IDENTIFIER,
        "lot": Content.TEXT,
        "delta": Content.WHOLE,
        "kind": Content.CHOICE,
        "reason": Content.TEXT,
        "reference": Content.TEXT,
        "actor": Content.TEXT,
        "occurred_at": Content.MOMENT,
        "recorded_at": Content.MOMENT,
    }
)


def values_by_column(columns: Sequence[Column], rows: Sequence[str]) -> list[list[Any]]:
    """Of rows that are texts of JSON objects."""
    records = orjson.loads(f"[{','.join(rows)}]")
    return [[record[column.name] for record in records] for column in columns]


def list_text(texts: Sequence[str]) -> str:
    """In one cell, as imports read it: side by side with `|` between them; as JSON where that would be ambiguous."""
    joined = "|".join(texts)
    is_ambiguous = joined.count("|") != max(len(texts) - 1, 0) or joined.startswith("[")
    return orjson.dumps(texts).decode() if is_ambiguous else joined


def object_text(members: Mapping[str, Any]) -> str:
    """In one cell, as imports read it: JSON, or nothing where there is none."""
    return orjson.dumps(members).decode() if members else ""
