import asyncio
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from functools import cache
from typing import Any
from uuid import UUID

import orjson
from sqlalchemy import ColumnElement, Row, Select, bindparam, delete, func, insert, select, union, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.sql.dml import Update

from warehouse.cache import tags
from warehouse.catalogue.model import (
    NegativeStock,
    Product,
    ProductDraft,
    ProductFilter,
    ProductSort,
    ProductStatus,
    StockTerms,
    Tracking,
    search_text,
    search_words,
    sku_key,
)
from warehouse.errors import Code, Conflict, FieldError, TransactionConflict
from warehouse.storage.connection import Connection
from warehouse.storage.dialects import (
    MYSQL_NAMES,
    Statement,
    common,
    for_update,
    full_text,
    joined_as_written,
    listed,
    searchable,
)
from warehouse.storage.json_rows import json_object
from warehouse.storage.paging import page_parameters, paged
from warehouse.storage.tables import products

CHUNK = 1000
"""Values in one IN list."""
USUAL = (ProductStatus.ACTIVE, Tracking.NONE)
"""What most products are."""
LAST_CHARACTER = "\U0010ffff"
FILTERS = ("status", "category", "tracking")
MANY_SEGMENTS = 170
"""From so many on, reading the whole catalogue is faster than finding them by their index."""
SEGMENT_DIGITS = slice(41, 43)
"""Where in a product's JSON, which begins with its id, the last byte of that is."""

Filters = tuple[tuple[str, bool], ...]
"""The columns that have to have a given value, and whether it is that of most products."""

COLUMNS = [products.c[name] for name in Product.__dataclass_fields__]
JSON = json_object({column.name: column for column in COLUMNS})
ORDERS: Mapping[str, Sequence[ColumnElement[Any]]] = {
    # Unique by itself; with the id behind it, MariaDB would sort and not walk the index.
    "sku": (products.c.sku_key,),
    "name": (products.c.name, products.c.id),
    "created_at": (products.c.created_at, products.c.id),
    "updated_at": (products.c.updated_at, products.c.id),
}


class SqlProductRepository:
    def __init__(self, connection: Connection, touch: tags.Touch) -> None:
        self._connection = connection
        self._touch = touch
        self._dialect = connection.dialect.name

    async def get(self, product_id: UUID) -> Product | None:
        return await self._one(_by(products.c.id), product_id)

    async def by_sku(self, sku: str) -> Product | None:
        return await self._one(_by(products.c.sku_key), sku_key(sku))

    async def find(self, ids: Collection[UUID], skus: Collection[str]) -> list[Product]:
        keys = list({sku_key(sku) for sku in skus})
        found: dict[UUID, Product] = {}
        for column, values in ((products.c.id, list(ids)), (products.c.sku_key, keys)):
            for start in range(0, len(values), CHUNK):
                rows = await self._connection.execute(_among(column), {"some": values[start : start + CHUNK]})
                found.update((row.id, _product(row)) for row in rows)
        return list(found.values())

    async def terms(self, skus: Collection[str]) -> list[StockTerms]:
        keys = list({sku_key(sku) for sku in skus})
        found: list[StockTerms] = []
        for start in range(0, len(keys), CHUNK):
            rows = await self._connection.execute(_TERMS, {"some": keys[start : start + CHUNK]})
            found += [_terms(*row) for row in rows]
        return found

    async def are_unchanged(self, versions: Mapping[UUID, int]) -> bool:
        # Versions only go up, so that a sum tells.
        ids, count, total = list(versions), 0, 0
        for start in range(0, len(ids), CHUNK):
            some = ids[start : start + CHUNK]
            given = orjson.dumps([[each.hex] for each in some]).decode() if self._dialect in MYSQL_NAMES else some
            ((found, versions_of_some),) = await self._connection.execute(_totals(self._dialect), {"some": given})
            count, total = count + found, total + int(versions_of_some or 0)
        return count == len(ids) and total == sum(versions.values())

    async def add(self, product_id: UUID, draft: ProductDraft, at: datetime) -> Product:
        self._touch(tags.written_product(product_id, sku_key(draft.sku)))
        with _unique_sku(draft.sku):
            await self._connection.execute(_INSERT, self._values(draft, product_id, 1, at, at))
        return _made(product_id, draft, 1, at, at)

    async def replace(self, product: Product, draft: ProductDraft, at: datetime) -> Product | None:
        self._touch(tags.written_product(product.id, sku_key(product.sku), sku_key(draft.sku)))
        values = self._values(draft, product.id, product.version + 1, product.created_at, at)
        with _unique_sku(draft.sku):
            unchanged = {"row_id": product.id, "row_version": product.version}
            result = await self._connection.execute(_replace(), values | unchanged)
        if result.rowcount == 0:
            return None
        return _made(product.id, draft, product.version + 1, product.created_at, at)

    async def delete(self, product: Product) -> bool:
        self._touch(tags.written_product(product.id, sku_key(product.sku)))
        statement = delete(products).where(products.c.id == product.id, products.c.version == product.version)
        try:
            result = await self._connection.execute(statement)
        except IntegrityError as error:
            detail = f"Product {product.sku} has stock or a history; archive it instead."
            raise Conflict(detail, code=Code.IN_USE) from error
        return result.rowcount == 1

    async def lock_by_sku(self, skus: Collection[str]) -> Mapping[str, Product]:
        keys = sorted({sku_key(sku) for sku in skus})
        locked: dict[str, Product] = {}
        for start in range(0, len(keys), CHUNK):
            statement = (
                select(*COLUMNS, products.c.sku_key)
                .where(products.c.sku_key.in_(keys[start : start + CHUNK]))
                .order_by(products.c.sku_key)
            )
            rows = await self._connection.execute(for_update(self._dialect, statement, products))
            locked.update((row.sku_key, _product(row)) for row in rows)
        return locked

    async def add_all(self, drafts: Sequence[tuple[UUID, ProductDraft]], at: datetime) -> None:
        for product_id, draft in drafts:
            self._touch(tags.written_product(product_id, sku_key(draft.sku)))
        rows = [self._values(draft, product_id, 1, at, at) for product_id, draft in drafts]
        if not rows:
            return
        try:
            await self._connection.execute(_INSERT, rows)
        except IntegrityError as error:
            raise TransactionConflict("Another caller is creating the same products; try again.") from error

    async def replace_all(self, changes: Sequence[tuple[Product, ProductDraft]], at: datetime) -> None:
        for product, draft in changes:
            self._touch(tags.written_product(product.id, sku_key(product.sku), sku_key(draft.sku)))
        statement = update(products).where(products.c.id == bindparam("row_id"))
        rows = [
            {"row_id": product.id, **self._values(draft, product.id, product.version + 1, product.created_at, at)}
            for product, draft in changes
        ]
        if rows:
            await self._connection.execute(
                statement.values({name: bindparam(name) for name in rows[0] if name != "row_id"}), rows
            )

    async def page_json(
        self, criteria: ProductFilter, sort: ProductSort, after: Sequence[Any] | None, limit: int
    ) -> Sequence[str]:
        filters, values = asked(criteria)
        statement = searched(_page(self._dialect, sort, filters, after is not None), criteria.q, self._dialect)
        rows = await self._connection.execute(statement, values | page_parameters(after, limit))
        return rows.scalars().all()

    async def segments_json(self, segments: Collection[int]) -> Mapping[int, Sequence[str]]:
        found: dict[int, list[str]] = {segment: [] for segment in segments}
        statement = select(JSON)
        if len(found) < MANY_SEGMENTS:
            statement = statement.where(products.c.segment.in_(list(found)))
        result = await self._connection.execute(statement)
        for rows in result.scalars().partitions(CHUNK):
            for row in rows:
                if (segment := int(row[SEGMENT_DIGITS], 16)) in found:
                    found[segment].append(row)
            # The rows are here already; other requests get their turn between two batches of them.
            await asyncio.sleep(0)
        for products_of_one in found.values():
            # By id, with which each begins. PostgreSQL would sort the whole texts, on the disk.
            products_of_one.sort()
        return found

    async def _one(self, statement: Select[Any], value: Any) -> Product | None:
        row = (await self._connection.execute(statement, {"value": value})).one_or_none()
        return None if row is None else _product(row)

    def _values(
        self, draft: ProductDraft, product_id: UUID, version: int, created_at: datetime, updated_at: datetime
    ) -> dict[str, Any]:
        return {
            "id": product_id,
            "sku": draft.sku,
            "sku_key": sku_key(draft.sku),
            "name": draft.name,
            "description": draft.description,
            "category": draft.category,
            "unit": draft.unit,
            "barcodes": list(draft.barcodes),
            "reorder_point": draft.reorder_point,
            "tracking": draft.tracking,
            "negative_stock": draft.negative_stock,
            "attributes": dict(draft.attributes),
            "status": draft.status,
            "search_text": searchable(self._dialect, search_text(draft.sku, draft.name, draft.barcodes)),
            "segment": tags.segment_of(product_id),
            "version": version,
            "created_at": created_at,
            "updated_at": updated_at,
        }


# Statements that are made once and kept: SQLAlchemy needs more time to build one than the database does to answer it.

_INSERT = insert(products)
_TERMS = select(*(products.c[name] for name in ("id", "sku", "status", "tracking", "negative_stock", "version"))).where(
    products.c.sku_key.in_(bindparam("some", expanding=True))
)


@cache
def _by(column: ColumnElement[Any]) -> Select[Any]:
    return select(*COLUMNS).where(column == bindparam("value"))


@cache
def _among(column: ColumnElement[Any]) -> Select[Any]:
    return select(*COLUMNS).where(column.in_(bindparam("some", expanding=True)))


@cache
def _totals(dialect: str) -> Select[*tuple[Any, ...]]:
    """How many of some products there are, and the sum of their versions."""
    totals = select(func.count(), func.sum(products.c.version))
    if dialect not in MYSQL_NAMES:
        return totals.where(products.c.id.in_(bindparam("some", expanding=True)))
    ids = listed("some", ["id"])
    return joined_as_written(totals.select_from(ids.join(products, products.c.id == func.unhex(ids.c.id))))


@cache
def _replace() -> Update:
    return (
        update(products)
        .where(products.c.id == bindparam("row_id"), products.c.version == bindparam("row_version"))
        .values({column.name: bindparam(column.name) for column in products.c})
    )


@contextmanager
def _unique_sku(sku: str) -> Iterator[None]:
    try:
        yield
    except IntegrityError as error:
        detail = f"Another product has the SKU {sku}."
        raise Conflict(
            detail, code=Code.DUPLICATE_SKU, errors=(FieldError("/sku", Code.DUPLICATE_SKU, detail),)
        ) from error


def asked(criteria: ProductFilter) -> tuple[Filters, dict[str, Any]]:
    """The filters that are given, but for `q`, and their parameters."""
    values = {name: value for name in FILTERS if (value := getattr(criteria, name)) is not None}
    return tuple((name, value in USUAL) for name, value in values.items()), values


def filtered(statement: Statement, filters: Filters, dialect: str) -> Statement:
    """Of the products that it selects, those that are asked for."""
    for name, is_usual in filters:
        condition = products.c[name] == bindparam(name)
        statement = statement.where(common(dialect, condition) if is_usual else condition)
    return statement


def searched(statement: Statement, q: str | None, dialect: str) -> Statement:
    """Of the products that it selects, those that `q` finds."""
    if q is None:
        return statement
    hits = _hits(q, dialect)
    return statement.join(hits, hits.c.id == products.c.id)


@cache
def _page(dialect: str, sort: ProductSort, filters: Filters, has_position: bool) -> Select[str]:
    order, descending = ORDERS[sort.lstrip("-")], sort.startswith("-")
    return paged(filtered(select(JSON), filters, dialect), order, descending=descending, has_position=has_position)


def _hits(q: str, dialect: str) -> Any:
    prefix = sku_key(q)
    by_sku = select(products.c.id).where(products.c.sku_key >= prefix, products.c.sku_key < prefix + LAST_CHARACTER)
    words = search_words(q)
    return (union(by_sku, full_text(dialect, words)) if words else by_sku).subquery("hits")


def _product(row: Row[Any]) -> Product:
    return Product(
        row.id,
        row.sku,
        row.name,
        row.description,
        row.category,
        row.unit,
        tuple(row.barcodes),
        row.reorder_point,
        Tracking(row.tracking),
        NegativeStock(row.negative_stock),
        row.attributes,
        ProductStatus(row.status),
        row.version,
        row.created_at,
        row.updated_at,
    )


def _terms(product_id: UUID, sku: str, status: str, tracking: str, negative_stock: str, version: int) -> StockTerms:
    is_archived, allows_negative = status == ProductStatus.ARCHIVED, negative_stock == NegativeStock.ALLOW
    return StockTerms(product_id, sku, is_archived, Tracking(tracking), allows_negative, version)


def _made(product_id: UUID, draft: ProductDraft, version: int, created_at: datetime, updated_at: datetime) -> Product:
    fields = {name: getattr(draft, name) for name in ProductDraft.__dataclass_fields__}
    return Product(id=product_id, **fields, version=version, created_at=created_at, updated_at=updated_at)
