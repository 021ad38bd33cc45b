from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from functools import cache
from typing import Any
from uuid import UUID

from sqlalchemy import BindParameter, ColumnElement, Select, Table, bindparam, delete, insert, select, update
from sqlalchemy.exc import IntegrityError

from warehouse.cache import tags
from warehouse.errors import Code, Conflict, FieldError
from warehouse.locations.model import (
    CodeSort,
    Location,
    LocationDraft,
    LocationKind,
    Warehouse,
    WarehouseDraft,
    WarehouseStatus,
)
from warehouse.storage.connection import Connection
from warehouse.storage.dialects import for_update
from warehouse.storage.json_rows import json_object
from warehouse.storage.paging import page_parameters, paged
from warehouse.storage.tables import locations, warehouses
from warehouse.text import compare_key

CHUNK = 1000
"""Values in one IN list."""

WAREHOUSE_COLUMNS = [warehouses.c[name] for name in Warehouse.__dataclass_fields__]
LOCATION_COLUMNS = [locations.c[name] for name in Location.__dataclass_fields__]

_SOME: BindParameter[Any] = bindparam("some", expanding=True)
_WAREHOUSES_AMONG = select(*WAREHOUSE_COLUMNS).where(warehouses.c.id.in_(_SOME))
_LOCATIONS_AMONG = select(*LOCATION_COLUMNS).where(locations.c.id.in_(_SOME))
_LOCATIONS_IN = select(*LOCATION_COLUMNS).where(
    locations.c.warehouse_id == bindparam("within"), locations.c.code_key.in_(_SOME)
)
_LOCATIONS_ANYWHERE = (
    select(*LOCATION_COLUMNS, *WAREHOUSE_COLUMNS)
    .join_from(locations, warehouses, locations.c.warehouse_id == warehouses.c.id)
    .where(locations.c.code_key.in_(_SOME))
)


class SqlWarehouseRepository:
    def __init__(self, connection: Connection, touch: tags.Touch) -> None:
        self._connection = connection
        self._touch = touch
        self._dialect = connection.dialect.name

    async def get(self, warehouse_id: UUID) -> Warehouse | None:
        return await self._one(warehouses.c.id == warehouse_id)

    async def find(self, ids: Collection[UUID]) -> list[Warehouse]:
        found = []
        for chunk in _chunks(ids):
            rows = await self._connection.execute(_WAREHOUSES_AMONG, {"some": chunk})
            found += [_warehouse(row) for row in rows]
        return found

    async def by_code(self, code: str) -> Warehouse | None:
        return await self._one(warehouses.c.code_key == compare_key(code))

    async def lock(self, warehouse_id: UUID) -> bool:
        statement = select(warehouses.c.id).where(warehouses.c.id == warehouse_id)
        rows = await self._connection.execute(for_update(self._dialect, statement, warehouses))
        return rows.one_or_none() is not None

    async def add(self, warehouse_id: UUID, draft: WarehouseDraft, at: datetime) -> Warehouse:
        self._touch(tags.written_warehouse(warehouse_id))
        warehouse = _warehouse_of(warehouse_id, draft, 1, at, at)
        with _unique_code(f"Another warehouse has the code {draft.code}."):
            await self._connection.execute(insert(warehouses), _warehouse_values(warehouse))
        return warehouse

    async def replace(self, warehouse: Warehouse, draft: WarehouseDraft, at: datetime) -> Warehouse | None:
        self._touch(tags.written_warehouse(warehouse.id))
        changed = _warehouse_of(warehouse.id, draft, warehouse.version + 1, warehouse.created_at, at)
        statement = update(warehouses).where(*_unchanged(warehouses, warehouse))
        with _unique_code(f"Another warehouse has the code {draft.code}."):
            result = await self._connection.execute(statement, _warehouse_values(changed))
        return changed if result.rowcount == 1 else None

    async def delete(self, warehouse: Warehouse) -> bool:
        self._touch(tags.written_warehouse(warehouse.id))
        with _unreferred(f"Warehouse {warehouse.code} has locations; delete them first, or archive it instead."):
            result = await self._connection.execute(delete(warehouses).where(*_unchanged(warehouses, warehouse)))
        return result.rowcount == 1

    async def page_json(
        self, status: WarehouseStatus | None, sort: CodeSort, after: Sequence[Any] | None, limit: int
    ) -> Sequence[str]:
        return await _page_json(self._connection, warehouses, {"status": status}, sort, after, limit)

    async def _one(self, condition: ColumnElement[bool]) -> Warehouse | None:
        row = (await self._connection.execute(select(*WAREHOUSE_COLUMNS).where(condition))).one_or_none()
        return None if row is None else _warehouse(row)


class SqlLocationRepository:
    def __init__(self, connection: Connection, touch: tags.Touch) -> None:
        self._connection = connection
        self._touch = touch

    async def get(self, location_id: UUID) -> Location | None:
        statement = select(*LOCATION_COLUMNS).where(locations.c.id == location_id)
        row = (await self._connection.execute(statement)).one_or_none()
        return None if row is None else _location(row)

    async def find(self, ids: Collection[UUID]) -> list[Location]:
        found = []
        for chunk in _chunks(ids):
            rows = await self._connection.execute(_LOCATIONS_AMONG, {"some": chunk})
            found += [_location(row) for row in rows]
        return found

    async def by_codes(self, warehouse_id: UUID, codes: Collection[str]) -> list[Location]:
        found = []
        for chunk in _chunks({compare_key(code) for code in codes}):
            rows = await self._connection.execute(_LOCATIONS_IN, {"some": chunk, "within": warehouse_id})
            found += [_location(row) for row in rows]
        return found

    async def anywhere(self, codes: Collection[str]) -> list[tuple[Warehouse, Location]]:
        found = []
        known: dict[UUID, Warehouse] = {}
        for chunk in _chunks({compare_key(code) for code in codes}):
            for row in await self._connection.execute(_LOCATIONS_ANYWHERE, {"some": chunk}):
                location = _location(row[: len(LOCATION_COLUMNS)])
                if location.warehouse_id not in known:
                    known[location.warehouse_id] = _warehouse(row[len(LOCATION_COLUMNS) :])
                found.append((known[location.warehouse_id], location))
        return found

    async def of_kinds(self, warehouse_id: UUID, kinds: Collection[LocationKind]) -> list[Location]:
        statement = select(*LOCATION_COLUMNS).where(
            locations.c.warehouse_id == warehouse_id, locations.c.kind.in_(list(kinds))
        )
        rows = await self._connection.execute(statement.order_by(locations.c.code_key))
        return [_location(row) for row in rows]

    async def add(self, location_id: UUID, warehouse_id: UUID, draft: LocationDraft, at: datetime) -> Location:
        self._touch(tags.written_location(location_id, warehouse_id))
        location = _location_of(location_id, warehouse_id, draft, 1, at, at)
        with _unique_code(f"Another location of the warehouse has the code {draft.code}."):
            await self._connection.execute(insert(locations), _location_values(location))
        return location

    async def replace(self, location: Location, draft: LocationDraft, at: datetime) -> Location | None:
        self._touch(tags.written_location(location.id, location.warehouse_id))
        version = location.version + 1
        changed = _location_of(location.id, location.warehouse_id, draft, version, location.created_at, at)
        statement = update(locations).where(*_unchanged(locations, location))
        with _unique_code(f"Another location of the warehouse has the code {draft.code}."):
            result = await self._connection.execute(statement, _location_values(changed))
        return changed if result.rowcount == 1 else None

    async def delete(self, location: Location) -> bool:
        self._touch(tags.written_location(location.id, location.warehouse_id))
        with _unreferred(f"Location {location.code} has stock, a history of stock, or locations in it."):
            result = await self._connection.execute(delete(locations).where(*_unchanged(locations, location)))
        return result.rowcount == 1

    async def page_json(
        self,
        warehouse_id: UUID,
        kind: LocationKind | None,
        parent_id: UUID | None,
        sort: CodeSort,
        after: Sequence[Any] | None,
        limit: int,
    ) -> Sequence[str]:
        filters = {"warehouse_id": warehouse_id, "kind": kind, "parent_id": parent_id}
        return await _page_json(self._connection, locations, filters, sort, after, limit)


def _chunks(values: Collection[Any]) -> Iterator[list[Any]]:
    distinct = list(set(values))
    return (distinct[start : start + CHUNK] for start in range(0, len(distinct), CHUNK))


def _unchanged(table: Table, record: Warehouse | Location) -> tuple[ColumnElement[bool], ColumnElement[bool]]:
    return table.c.id == record.id, table.c.version == record.version


async def _page_json(
    connection: Connection,
    table: Table,
    filters: Mapping[str, Any],
    sort: CodeSort,
    after: Sequence[Any] | None,
    limit: int,
) -> Sequence[str]:
    """`filters` by columns; None stands for any value."""
    values = {name: value for name, value in filters.items() if value is not None}
    statement = _page(table, tuple(values), sort, after is not None)
    return (await connection.execute(statement, values | page_parameters(after, limit))).scalars().all()


@cache
def _page(table: Table, filters: tuple[str, ...], sort: CodeSort, has_position: bool) -> Select[str]:
    columns = WAREHOUSE_COLUMNS if table is warehouses else LOCATION_COLUMNS
    statement = select(json_object({column.name: column for column in columns}))
    statement = statement.where(*(table.c[name] == bindparam(name) for name in filters))
    # Unique in its list; with the id behind it, MariaDB would sort and not walk the index.
    order = (table.c.code_key,)
    return paged(statement, order, descending=sort is CodeSort.CODE_DESCENDING, has_position=has_position)


@contextmanager
def _unique_code(detail: str) -> Iterator[None]:
    # A missing parent or warehouse would end here too: callers hold the warehouse's lock, so neither can go missing.
    try:
        yield
    except IntegrityError as error:
        fault = FieldError("/code", Code.DUPLICATE_CODE, detail)
        raise Conflict(detail, code=Code.DUPLICATE_CODE, errors=(fault,)) from error


@contextmanager
def _unreferred(detail: str) -> Iterator[None]:
    try:
        yield
    except IntegrityError as error:
        raise Conflict(detail, code=Code.IN_USE) from error


def _warehouse_values(warehouse: Warehouse) -> dict[str, Any]:
    return {column.name: getattr(warehouse, column.name) for column in WAREHOUSE_COLUMNS} | {
        "code_key": compare_key(warehouse.code)
    }


def _location_values(location: Location) -> dict[str, Any]:
    return {column.name: getattr(location, column.name) for column in LOCATION_COLUMNS} | {
        "code_key": compare_key(location.code)
    }


def _warehouse_of(
    warehouse_id: UUID, draft: WarehouseDraft, version: int, created_at: datetime, updated_at: datetime
) -> Warehouse:
    return Warehouse(
        id=warehouse_id,
        code=draft.code,
        name=draft.name,
        address=draft.address,
        status=draft.status,
        version=version,
        created_at=created_at,
        updated_at=updated_at,
    )


def _location_of(
    location_id: UUID,
    warehouse_id: UUID,
    draft: LocationDraft,
    version: int,
    created_at: datetime,
    updated_at: datetime,
) -> Location:
    return Location(
        id=location_id,
        warehouse_id=warehouse_id,
        parent_id=draft.parent_id,
        code=draft.code,
        name=draft.name,
        kind=draft.kind,
        version=version,
        created_at=created_at,
        updated_at=updated_at,
    )


def _warehouse(row: Sequence[Any]) -> Warehouse:
    """Of `WAREHOUSE_COLUMNS`, in their order."""
    key, code, name, address, status, *rest = row
    return Warehouse(key, code, name, address, WarehouseStatus(status), *rest)


def _location(row: Sequence[Any]) -> Location:
    """Of `LOCATION_COLUMNS`, in their order."""
    key, warehouse_id, parent_id, code, name, kind, *rest = row
    return Location(key, warehouse_id, parent_id, code, name, LocationKind(kind), *rest)
