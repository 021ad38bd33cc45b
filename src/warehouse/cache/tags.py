"""What cached values depend on. Whoever writes names the tags of what was written, whoever reads those of what is read.

Every value that a write can change has at least one of the write's tags.
"""

from collections.abc import Callable, Iterable
from uuid import UUID

Touch = Callable[[Iterable[str]], None]
"""Takes the tags of what a repository has written, to be released with the transaction."""

PRODUCTS = "products"
WAREHOUSES = "warehouses"
STOCK = "stock"

SEGMENTS = 256
"""The parts into which the catalogue is divided."""


def is_whole(tag: str) -> bool:
    """Whether it stands for all records of a kind. A release ends with such tags: whoever finds one that is still there
    finds that nothing has been released of what belongs to it."""
    return ":" not in tag


def segment_of(product_id: UUID) -> int:
    """The last byte of an id is random, so the segments are of one size."""
    return product_id.bytes[-1]


def product(product_id: UUID) -> str:
    return f"product:{product_id}"


def sku(sku_key: str) -> str:
    return f"sku:{sku_key}"


def segment(number: int) -> str:
    return f"segment:{number}"


def warehouse(warehouse_id: UUID) -> str:
    return f"warehouse:{warehouse_id}"


def locations_of(warehouse_id: UUID) -> str:
    return f"locations:{warehouse_id}"


def location(location_id: UUID) -> str:
    return f"location:{location_id}"


def stock_of(product_id: UUID) -> str:
    return f"stock:{product_id}"


def written_product(product_id: UUID, *sku_keys: str) -> tuple[str, ...]:
    """`sku_keys` are those that it has and had."""
    return PRODUCTS, product(product_id), segment(segment_of(product_id)), *map(sku, sku_keys)


def written_warehouse(warehouse_id: UUID) -> tuple[str, ...]:
    return WAREHOUSES, warehouse(warehouse_id)


def written_location(location_id: UUID, warehouse_id: UUID) -> tuple[str, ...]:
    return location(location_id), locations_of(warehouse_id)


def written_stock(product_id: UUID) -> tuple[str, ...]:
    return STOCK, stock_of(product_id)
