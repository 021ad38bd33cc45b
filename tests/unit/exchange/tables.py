"""Rows as the database gives them, and files made of them."""

from typing import Any

import orjson

from warehouse.exchange.columns import PRODUCT_COLUMNS
from warehouse.exchange.exporting import TableWriter

PRODUCT: dict[str, Any] = {
    "id": "01940000-0000-7000-8000-000000000001",
    "sku": "CJ-1",
    "name": "Rye bread",
    "description": None,
    "category": None,
    "unit": "each",
    "barcodes": ["1", "2"],
    "reorder_point": 5,
    "tracking": "lot",
    "negative_stock": "forbid",
    "attributes": {"brand": "Own"},
    "status": "active",
    "version": 3,
    "created_at": "2026-11-25T20:30:00Z",
    "updated_at": "2026-11-25T20:30:00.000001Z",
}
NAMES = [column.name for column in PRODUCT_COLUMNS]
HOSTILE = [
    "=1+1",
    "@SUM(1)",
    "'=1",
    '"quoted", and, commas',
    "two\r\nlines\n",
    "a\rb",
    "<b>&amp;</b>",
    "_x0041_",
    "__x0041_x0042_",
    "\ufffe\uffff",
    "\U0001f35e é",
    "http://example.com",
    "12",
    "1e5",
    "TRUE",
    "#REF!",
    "  blanks  ",
]


def product(**changes: Any) -> str:
    return orjson.dumps({**PRODUCT, **changes}).decode()


def file_of(writer: TableWriter, *batches: list[str]) -> bytes:
    return b"".join([writer.begin(), *[writer.write(rows) for rows in batches], writer.end()])
