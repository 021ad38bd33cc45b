from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Any, Protocol
from uuid import UUID

from warehouse.catalogue.model import Product, ProductDraft, ProductFilter, ProductSort, StockTerms


class ProductRepository(Protocol):
    """Products by id and by SKU. SKUs compare without regard to case."""

    async def get(self, product_id: UUID) -> Product | None: ...

    async def by_sku(self, sku: str) -> Product | None: ...

    async def find(self, ids: Collection[UUID], skus: Collection[str]) -> list[Product]:
        """Every product that has one of the ids or one of the SKUs, once, in no order."""
        ...

    async def terms(self, skus: Collection[str]) -> list[StockTerms]:
        """Those of every product that has one of the SKUs, once, in no order; in less time than the products take."""
        ...

    async def are_unchanged(self, versions: Mapping[UUID, int]) -> bool:
        """Whether each of these products, by id, still is there at the version it is known by."""
        ...

    async def add(self, product_id: UUID, draft: ProductDraft, at: datetime) -> Product:
        """Raises `Conflict(DUPLICATE_SKU)`."""
        ...

    async def replace(self, product: Product, draft: ProductDraft, at: datetime) -> Product | None:
        """Write `draft` over `product` if its version still is the stored one; else None.
        Raises `Conflict(DUPLICATE_SKU)`."""
        ...

    async def delete(self, product: Product) -> bool:
        """Whether the row of exactly this version was deleted. Raises `Conflict(IN_USE)` where stock refers to it."""
        ...

    async def lock_by_sku(self, skus: Collection[str]) -> Mapping[str, Product]:
        """The products of these SKUs by `sku_key`, their rows locked in key order until the end of the transaction."""
        ...

    async def add_all(self, drafts: Sequence[tuple[UUID, ProductDraft]], at: datetime) -> None:
        """Insert many. Raises `TransactionConflict` where a SKU came into being meanwhile."""
        ...

    async def replace_all(self, changes: Sequence[tuple[Product, ProductDraft]], at: datetime) -> None:
        """Write drafts over locked products; versions go up by one."""
        ...

    async def page_json(
        self, criteria: ProductFilter, sort: ProductSort, after: Sequence[Any] | None, limit: int
    ) -> Sequence[str]:
        """At most `limit` products behind the position `after`, each as the text of its JSON, in the total order (sku
        key) or (sort column, id); `after` holds these values of the last product seen."""
        ...

    async def segments_json(self, segments: Collection[int]) -> Mapping[int, Sequence[str]]:
        """The products of each of these segments (see `warehouse.cache.tags`), as the texts of their JSON, by id; all
        as of one moment."""
        ...
