"""Products, and what may be said of them."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from uuid import UUID

from warehouse.text import compare_key, words

Attribute = str | int | float | bool
MAX_SEARCH_WORDS = 16


class Tracking(StrEnum):
    """Whether stock of the product is told apart by lot."""

    NONE = "none"
    LOT = "lot"


class NegativeStock(StrEnum):
    """Whether more may leave than is on hand (`allow`), as where sales are recorded before receipts."""

    FORBID = "forbid"
    ALLOW = "allow"


class ProductStatus(StrEnum):
    """An archived product keeps its history and its stock can leave, but nothing more of it comes in."""

    ACTIVE = "active"
    ARCHIVED = "archived"


class ProductSort(StrEnum):
    SKU = "sku"
    SKU_DESCENDING = "-sku"
    NAME = "name"
    NAME_DESCENDING = "-name"
    CREATED_AT = "created_at"
    CREATED_AT_DESCENDING = "-created_at"
    UPDATED_AT = "updated_at"
    UPDATED_AT_DESCENDING = "-updated_at"


@dataclass(frozen=True, slots=True)
class ProductDraft:
    """A product as its author describes it. Quantities count whole `unit`s."""

    sku: str
    name: str
    description: str | None = None
    category: str | None = None
    unit: str = "each"
    barcodes: tuple[str, ...] = ()
    reorder_point: int | None = None
    tracking: Tracking = Tracking.NONE
    negative_stock: NegativeStock = NegativeStock.FORBID
    attributes: Mapping[str, Attribute] = field(default_factory=dict)
    status: ProductStatus = ProductStatus.ACTIVE


@dataclass(frozen=True, slots=True)
class Product:
    """A product as kept. Field names and order are those of the wire."""

    id: UUID
    sku: str
    name: str
    description: str | None
    category: str | None
    unit: str
    barcodes: tuple[str, ...]
    reorder_point: int | None
    tracking: Tracking
    negative_stock: NegativeStock
    attributes: Mapping[str, Attribute]
    status: ProductStatus
    version: int
    created_at: datetime
    updated_at: datetime

    @property
    def allows_negative(self) -> bool:
        return self.negative_stock is NegativeStock.ALLOW

    def draft(self) -> ProductDraft:
        """What an author would have to write to get this product."""
        return ProductDraft(
            sku=self.sku,
            name=self.name,
            description=self.description,
            category=self.category,
            unit=self.unit,
            barcodes=self.barcodes,
            reorder_point=self.reorder_point,
            tracking=self.tracking,
            negative_stock=self.negative_stock,
            attributes=self.attributes,
            status=self.status,
        )


@dataclass(frozen=True, slots=True)
class StockTerms:
    """Of a product, what decides about its stock."""

    id: UUID
    sku: str
    is_archived: bool
    tracking: Tracking
    allows_negative: bool
    version: int


@dataclass(frozen=True, slots=True)
class ProductFilter:
    """`q` is text to search for in SKU, name and barcodes: every word of it must begin a word there."""

    q: str | None = None
    status: ProductStatus | None = None
    category: str | None = None
    tracking: Tracking | None = None


def search_text(sku: str, name: str, barcodes: tuple[str, ...]) -> str:
    """The words by which a product is found, separated by single spaces."""
    return " ".join(words(" ".join((sku, name, *barcodes))))


def search_words(q: str) -> list[str]:
    """The words of a query; at most `MAX_SEARCH_WORDS` count."""
    return words(q)[:MAX_SEARCH_WORDS]


def sku_key(sku: str) -> str:
    """SKUs that differ in case alone are one SKU."""
    return compare_key(sku)
