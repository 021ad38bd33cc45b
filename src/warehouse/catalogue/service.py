"""The use cases of the catalogue."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any
from uuid import UUID

from warehouse.cache import tags
from warehouse.catalogue.model import Product, ProductDraft, ProductFilter, ProductSort, sku_key
from warehouse.catalogue.upserting import ProductChange, UpsertResult, merged, upsert_products
from warehouse.clock import utc_now
from warehouse.commands.model import Command, Outcome
from warehouse.commands.service import CommandRunner
from warehouse.errors import NotFound
from warehouse.ids import new_id
from warehouse.unit_of_work import UnitOfWork, UnitOfWorkFactory, replayed_on_conflict
from warehouse.versions import check_version, overtaken


class CatalogueService:
    """`expected` is the versions of a record that the caller knows; None stands for any version."""

    def __init__(self, uow: UnitOfWorkFactory, commands: CommandRunner) -> None:
        self._uow = uow
        self._commands = commands

    async def get(self, product_id: UUID) -> Product:
        """Raises `NotFound`."""
        async with self._uow(read_only=True) as uow:
            return _known(await uow.products.get(product_id))

    async def by_sku(self, sku: str) -> Product:
        """Raises `NotFound`."""
        async with self._uow(read_only=True) as uow:
            return _known(await uow.products.by_sku(sku))

    async def page(
        self, criteria: ProductFilter, sort: ProductSort, after: Sequence[Any] | None, limit: int
    ) -> Sequence[str]:
        """The products as texts of JSON."""
        async with self._uow(read_only=True) as uow:
            return await uow.products.page_json(criteria, sort, after, limit)

    async def snapshot_segments(self, segments: Collection[int]) -> Mapping[int, Sequence[str]]:
        """The products of each of these segments of the catalogue, as texts of JSON, by id."""
        async with self._uow(read_only=True) as uow:
            return await uow.products.segments_json(segments)

    async def create(self, command: Command, draft: ProductDraft) -> Outcome[Product]:
        """Raises `Conflict(DUPLICATE_SKU)`."""

        async def create(uow: UnitOfWork) -> Product:
            return await uow.products.add(new_id(), draft, utc_now())

        return await self._commands.run(command, create)

    async def upsert(self, command: Command, changes: Sequence[ProductChange]) -> Outcome[Sequence[UpsertResult]]:
        """Create or change products by SKU; each row fares by itself."""

        async def upsert(uow: UnitOfWork) -> Sequence[UpsertResult]:
            return await upsert_products(uow, changes, utc_now())

        return await self._commands.run(command, upsert)

    @replayed_on_conflict
    async def update(self, product_id: UUID, fields: Mapping[str, Any], expected: Collection[int] | None) -> Product:
        """Change the fields given. Raises `NotFound`, `StaleVersion`, `Conflict(DUPLICATE_SKU)`."""
        async with self._uow() as uow:
            product = _known(await uow.products.get(product_id))
            check_version(product, expected)
            draft = merged(product.draft(), fields)
            if draft == product.draft():
                # Whoever made it so may not have released it yet.
                uow.release(tags.written_product(product.id, sku_key(product.sku)))
                return product
            updated = await uow.products.replace(product, draft, utc_now())
            if updated is None:
                raise overtaken(_known(await uow.products.get(product_id)), expected)
            await uow.commit()
            return updated

    @replayed_on_conflict
    async def delete(self, product_id: UUID, expected: Collection[int] | None) -> None:
        """Raises `NotFound`, `StaleVersion`, `Conflict(IN_USE)`."""
        async with self._uow() as uow:
            product = _known(await uow.products.get(product_id))
            check_version(product, expected)
            if not await uow.products.delete(product):
                raise overtaken(_known(await uow.products.get(product_id)), expected)
            await uow.commit()


def _known(product: Product | None) -> Product:
    if product is None:
        raise NotFound("There is no such product.")
    return product
