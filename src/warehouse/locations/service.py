"""The use cases of warehouses and their locations."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from typing import Any
from uuid import UUID

from warehouse.cache import tags
from warehouse.clock import utc_now
from warehouse.commands.model import Command, Outcome
from warehouse.commands.service import CommandRunner
from warehouse.errors import Code, Conflict, NotFound, field_error
from warehouse.ids import new_id
from warehouse.locations.model import (
    CodeSort,
    Location,
    LocationDraft,
    LocationKind,
    Warehouse,
    WarehouseDraft,
    WarehouseStatus,
)
from warehouse.unit_of_work import UnitOfWork, UnitOfWorkFactory, replayed_on_conflict
from warehouse.versions import check_version, overtaken


class LocationService:
    """`expected` is the versions of a record that the caller knows; None stands for any version."""

    def __init__(self, uow: UnitOfWorkFactory, commands: CommandRunner) -> None:
        self._uow = uow
        self._commands = commands

    async def get_warehouse(self, warehouse_id: UUID) -> Warehouse:
        """Raises `NotFound`."""
        async with self._uow(read_only=True) as uow:
            return _known_warehouse(await uow.warehouses.get(warehouse_id))

    async def page_warehouses(
        self, status: WarehouseStatus | None, sort: CodeSort, after: Sequence[Any] | None, limit: int
    ) -> Sequence[str]:
        """As texts of JSON. `after` holds the code key of the last warehouse seen."""
        async with self._uow(read_only=True) as uow:
            return await uow.warehouses.page_json(status, sort, after, limit)

    async def create_warehouse(self, command: Command, draft: WarehouseDraft) -> Outcome[Warehouse]:
        """Raises `Conflict(DUPLICATE_CODE)`."""

        async def create(uow: UnitOfWork) -> Warehouse:
            return await uow.warehouses.add(new_id(), draft, utc_now())

        return await self._commands.run(command, create)

    @replayed_on_conflict
    async def update_warehouse(
        self, warehouse_id: UUID, fields: Mapping[str, Any], expected: Collection[int] | None
    ) -> Warehouse:
        """Change the fields given. Raises `NotFound`, `StaleVersion`, `Conflict(DUPLICATE_CODE)`."""
        async with self._uow() as uow:
            warehouse = _known_warehouse(await uow.warehouses.get(warehouse_id))
            check_version(warehouse, expected)
            draft = replace(warehouse.draft(), **fields)
            if draft == warehouse.draft():
                # Whoever made it so may not have released it yet.
                uow.release(tags.written_warehouse(warehouse.id))
                return warehouse
            updated = await uow.warehouses.replace(warehouse, draft, utc_now())
            if updated is None:
                raise overtaken(_known_warehouse(await uow.warehouses.get(warehouse_id)), expected)
            await uow.commit()
            return updated

    @replayed_on_conflict
    async def delete_warehouse(self, warehouse_id: UUID, expected: Collection[int] | None) -> None:
        """Raises `NotFound`, `StaleVersion`, and `Conflict(IN_USE)` while it has locations."""
        async with self._uow() as uow:
            warehouse = _known_warehouse(await uow.warehouses.get(warehouse_id))
            check_version(warehouse, expected)
            if not await uow.warehouses.delete(warehouse):
                raise overtaken(_known_warehouse(await uow.warehouses.get(warehouse_id)), expected)
            await uow.commit()

    async def get_location(self, location_id: UUID) -> Location:
        """Raises `NotFound`."""
        async with self._uow(read_only=True) as uow:
            return _known_location(await uow.locations.get(location_id))

    async def page_locations(
        self,
        warehouse_id: UUID,
        kind: LocationKind | None,
        parent_id: UUID | None,
        sort: CodeSort,
        after: Sequence[Any] | None,
        limit: int,
    ) -> Sequence[str]:
        """As texts of JSON. `after` holds the code key of the last location seen.

        Raises `NotFound` for the warehouse.
        """
        async with self._uow(read_only=True) as uow:
            _known_warehouse(await uow.warehouses.get(warehouse_id))
            return await uow.locations.page_json(warehouse_id, kind, parent_id, sort, after, limit)

    async def create_location(self, command: Command, warehouse_id: UUID, draft: LocationDraft) -> Outcome[Location]:
        """Raises `NotFound` for the warehouse, `Invalid` for a parent that is not one of its locations,
        `Conflict(ARCHIVED)` for an archived warehouse, `Conflict(DUPLICATE_CODE)`."""

        async def create(uow: UnitOfWork) -> Location:
            await _hold_active(uow, warehouse_id)
            if draft.parent_id is not None:
                await _parent(uow, warehouse_id, draft.parent_id)
            return await uow.locations.add(new_id(), warehouse_id, draft, utc_now())

        return await self._commands.run(command, create)

    @replayed_on_conflict
    async def update_location(
        self, location_id: UUID, fields: Mapping[str, Any], expected: Collection[int] | None
    ) -> Location:
        """Change the fields given. Raises `NotFound`, `StaleVersion`, `Conflict(DUPLICATE_CODE)`, and `Invalid` for
        a parent in another warehouse, below the location, or itself."""
        async with self._uow() as uow:
            location = _known_location(await uow.locations.get(location_id))
            check_version(location, expected)
            draft = replace(location.draft(), **fields)
            if draft == location.draft():
                uow.release(tags.written_location(location.id, location.warehouse_id))
                return location
            if draft.parent_id not in (None, location.parent_id):
                await _check_move(uow, location, draft.parent_id)
            updated = await uow.locations.replace(location, draft, utc_now())
            if updated is None:
                raise overtaken(_known_location(await uow.locations.get(location_id)), expected)
            await uow.commit()
            return updated

    @replayed_on_conflict
    async def delete_location(self, location_id: UUID, expected: Collection[int] | None) -> None:
        """Raises `NotFound`, `StaleVersion`, and `Conflict(IN_USE)` where it has locations in it, stock, or a history
        of stock."""
        async with self._uow() as uow:
            location = _known_location(await uow.locations.get(location_id))
            check_version(location, expected)
            await uow.warehouses.lock(location.warehouse_id)
            if not await uow.locations.delete(location):
                raise overtaken(_known_location(await uow.locations.get(location_id)), expected)
            await uow.commit()


async def _hold_active(uow: UnitOfWork, warehouse_id: UUID) -> None:
    await uow.warehouses.lock(warehouse_id)
    warehouse = _known_warehouse(await uow.warehouses.get(warehouse_id))
    if warehouse.status is WarehouseStatus.ARCHIVED:
        raise Conflict(f"Warehouse {warehouse.code} is archived.", code=Code.ARCHIVED)


async def _check_move(uow: UnitOfWork, location: Location, parent_id: UUID | None) -> None:
    # Two moves that are fine one by one can close a circle together: the lock makes the second see the first.
    await uow.warehouses.lock(location.warehouse_id)
    while parent_id is not None:
        if parent_id == location.id:
            raise field_error("/parent_id", "cycle", "A location cannot be inside itself.")
        parent_id = (await _parent(uow, location.warehouse_id, parent_id)).parent_id


async def _parent(uow: UnitOfWork, warehouse_id: UUID, parent_id: UUID) -> Location:
    parent = await uow.locations.get(parent_id)
    if parent is None or parent.warehouse_id != warehouse_id:
        raise field_error("/parent_id", Code.NOT_FOUND, "There is no such location in this warehouse.")
    return parent


def _known_warehouse(warehouse: Warehouse | None) -> Warehouse:
    if warehouse is None:
        raise NotFound("There is no such warehouse.")
    return warehouse


def _known_location(location: Location | None) -> Location:
    if location is None:
        raise NotFound("There is no such location.")
    return location
