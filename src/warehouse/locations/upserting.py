"""Warehouses and their locations from many rows at once."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, TypeVar
from uuid import UUID

from warehouse.errors import Code, Conflict, FieldError, Invalid, TransactionConflict, field_error
from warehouse.ids import new_id
from warehouse.locations.model import Location, LocationDraft, Warehouse, WarehouseDraft, WarehouseStatus
from warehouse.text import compare_key
from warehouse.unit_of_work import UnitOfWork
from warehouse.upserts import UpsertStatus, revised

Place = TypeVar("Place", Warehouse, Location)


@dataclass(frozen=True, slots=True)
class PlaceChange:
    """What one row says of a warehouse and, where it has a `code`, of a location in it.

    `warehouse_fields` and `fields` hold valid values by the names of the drafts' fields, but for the codes;
    in `fields` a `parent` is the code of another location of the warehouse and stands for `parent_id`.
    A field that is not there keeps what it has; None takes it back to its default.
    """

    warehouse: str
    warehouse_fields: Mapping[str, Any] = field(default_factory=dict)
    code: str | None = None
    fields: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class PlaceResult:
    """`index` counts the rows from 0; pointers in `errors` are relative to the row, as `/parent`."""

    index: int
    status: UpsertStatus
    errors: Sequence[FieldError] = ()


async def upsert_places(uow: UnitOfWork, changes: Sequence[PlaceChange], at: datetime) -> list[PlaceResult]:
    """Write the rows in the caller's transaction; a result for each, in their order.

    A warehouse that is not there yet is made, by the name of its code if none is given. A parent must be there
    already, or come in an earlier row. A row that fails changes nothing, and one that finds everything as it says
    writes nothing. Raises `TransactionConflict`.
    """
    places = _Places(uow, at)
    await places.load(changes)
    return [await places.take(index, change) for index, change in enumerate(changes)]


@dataclass(slots=True)
class _Tree:
    """A warehouse, and as much of its locations as has been asked for."""

    warehouse: Warehouse
    by_code: dict[str, Location] = field(default_factory=dict)
    by_id: dict[UUID, Location] = field(default_factory=dict)

    def keep(self, location: Location) -> None:
        self.by_code[compare_key(location.code)] = self.by_id[location.id] = location

    def location(self, code: str) -> Location | None:
        return self.by_code.get(compare_key(code))


class _Places:
    def __init__(self, uow: UnitOfWork, at: datetime) -> None:
        self._uow = uow
        self._at = at
        self._trees: dict[str, _Tree] = {}

    async def load(self, changes: Sequence[PlaceChange]) -> None:
        """Hold the warehouses that there are, so that nobody else reshapes their trees meanwhile."""
        codes: dict[str, set[str]] = {}
        for change in changes:
            codes.setdefault(compare_key(change.warehouse), set()).update(_codes(change))
        for warehouse in await self._held(codes):
            tree = self._trees[compare_key(warehouse.code)] = _Tree(warehouse)
            for location in await self._uow.locations.by_codes(warehouse.id, codes[compare_key(warehouse.code)]):
                tree.keep(location)

    async def take(self, index: int, change: PlaceChange) -> PlaceResult:
        try:
            return PlaceResult(index, await self._write(change))
        except Invalid as error:
            return PlaceResult(index, UpsertStatus.FAILED, error.errors)

    async def _held(self, codes: Iterable[str]) -> list[Warehouse]:
        found = [await self._uow.warehouses.by_code(code) for code in codes]
        ids = sorted(warehouse.id for warehouse in found if warehouse)
        for warehouse_id in ids:
            await self._uow.warehouses.lock(warehouse_id)
        # Read again: what was read before the lock may be out of date.
        return await self._uow.warehouses.find(ids)

    async def _write(self, change: PlaceChange) -> UpsertStatus:
        tree = self._trees.get(compare_key(change.warehouse))
        # The location first, for the row may turn out to be refused.
        draft = None if change.code is None else await self._location_draft(tree, change.code, change.fields)
        tree, status = await self._write_warehouse(tree, change)
        if draft is None:
            return status
        location_status = await self._write_location(tree, draft)
        return status if location_status is UpsertStatus.UNCHANGED else location_status

    async def _location_draft(self, tree: _Tree | None, code: str, fields: Mapping[str, Any]) -> LocationDraft:
        known = tree.location(code) if tree else None
        if tree and known is None and tree.warehouse.status is WarehouseStatus.ARCHIVED:
            raise field_error("/warehouse", Code.ARCHIVED, "No location can be added to an archived warehouse.")
        fields = dict(fields)
        if "parent" in fields:
            fields["parent_id"] = await self._parent_id(tree, known, fields.pop("parent"))
        return revised(known.draft() if known else LocationDraft(code), fields)

    async def _parent_id(self, tree: _Tree | None, child: Location | None, code: str | None) -> UUID | None:
        if code is None:
            return None
        parent = tree.location(code) if tree else None
        if tree is None or parent is None:
            raise field_error("/parent", "unknown_location", "The warehouse has no such location so far.")
        if child and parent.id != child.parent_id and await self._is_inside(tree, parent, child):
            raise field_error("/parent", "cycle", "A location cannot be inside itself.")
        return parent.id

    async def _is_inside(self, tree: _Tree, location: Location, other: Location) -> bool:
        above: Location | None = location
        while above is not None and above.id != other.id:
            above = await self._above(tree, above)
        return above is not None

    async def _above(self, tree: _Tree, location: Location) -> Location | None:
        if location.parent_id is None:
            return None
        if location.parent_id not in tree.by_id and (parent := await self._uow.locations.get(location.parent_id)):
            tree.keep(parent)
        return tree.by_id.get(location.parent_id)

    async def _write_warehouse(self, tree: _Tree | None, change: PlaceChange) -> tuple[_Tree, UpsertStatus]:
        if tree is None:
            return await self._add_warehouse(change), UpsertStatus.CREATED
        draft = revised(tree.warehouse.draft(), change.warehouse_fields)
        if draft == tree.warehouse.draft():
            return tree, UpsertStatus.UNCHANGED
        tree.warehouse = _still_there(await self._uow.warehouses.replace(tree.warehouse, draft, self._at))
        return tree, UpsertStatus.UPDATED

    async def _add_warehouse(self, change: PlaceChange) -> _Tree:
        draft = revised(WarehouseDraft(change.warehouse, name=change.warehouse), change.warehouse_fields)
        try:
            warehouse = await self._uow.warehouses.add(new_id(), draft, self._at)
        except Conflict as conflict:
            raise TransactionConflict("Another caller is creating the same warehouse; try again.") from conflict
        tree = self._trees[compare_key(change.warehouse)] = _Tree(warehouse)
        return tree

    async def _write_location(self, tree: _Tree, draft: LocationDraft) -> UpsertStatus:
        known = tree.location(draft.code)
        if known is None:
            try:
                tree.keep(await self._uow.locations.add(new_id(), tree.warehouse.id, draft, self._at))
            except Conflict as conflict:
                raise TransactionConflict("Another caller is taking the same code; try again.") from conflict
            return UpsertStatus.CREATED
        if draft == known.draft():
            return UpsertStatus.UNCHANGED
        tree.keep(_still_there(await self._uow.locations.replace(known, draft, self._at)))
        return UpsertStatus.UPDATED


def _codes(change: PlaceChange) -> Iterable[str]:
    return filter(None, (change.code, change.fields.get("parent")))


def _still_there(replaced: Place | None) -> Place:
    if replaced is None:
        raise TransactionConflict("Another caller is changing the same warehouse; try again.")
    return replaced
