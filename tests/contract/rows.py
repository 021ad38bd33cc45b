"""Lists come as texts of JSON, made by the database: here they become records again."""

from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

import orjson
from pydantic import TypeAdapter

from warehouse.catalogue.model import Product
from warehouse.http.json import encode
from warehouse.locations.model import Location, Warehouse
from warehouse.stock.model import Balance, Movement

T = TypeVar("T")

ADAPTERS: Mapping[type[Any], TypeAdapter[Any]] = {
    Product: TypeAdapter(list[Product]),
    Warehouse: TypeAdapter(list[Warehouse]),
    Location: TypeAdapter(list[Location]),
    Balance: TypeAdapter(list[Balance]),
    Movement: TypeAdapter(list[Movement]),
}


def records(kind: type[T], rows: Sequence[str]) -> list[T]:
    """The texts must be what the records themselves are encoded as: the same members, in order, of the same types."""
    text = f"[{','.join(rows)}]"
    found: list[T] = ADAPTERS[kind].validate_json(text)
    assert encode(found) == orjson.dumps(orjson.loads(text))
    return found
