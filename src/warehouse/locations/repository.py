from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Any, Protocol
from uuid import UUID

from warehouse.locations.model import (
    CodeSort,
    Location,
    LocationDraft,
    LocationKind,
    Warehouse,
    WarehouseDraft,
    WarehouseStatus,
)


class WarehouseRepository(Protocol):
    """Warehouses. Codes compare without regard to case."""

    async def get(self, warehouse_id: UUID) -> Warehouse | None: ...

    async def find(self, ids: Collection[UUID]) -> list[Warehouse]: ...

    async def by_code(self, code: str) -> Warehouse | None: ...

    async def lock(self, warehouse_id: UUID) -> bool:
        """Hold the warehouse's row until the end of the transaction; False where there is none.
        Whoever changes the shape of its location tree holds it, so that no cycle can come of two changes."""
        ...

    async def add(self, warehouse_id: UUID, draft: WarehouseDraft, at: datetime) -> Warehouse:
        """Raises `Conflict(DUPLICATE_CODE)`."""
        ...

    async def replace(self, warehouse: Warehouse, draft: WarehouseDraft, at: datetime) -> Warehouse | None:
        """None where the version is no longer the stored one. Raises `Conflict(DUPLICATE_CODE)`."""
        ...

    async def delete(self, warehouse: Warehouse) -> bool:
        """Raises `Conflict(IN_USE)` where locations or stock refer to it."""
        ...

    async def page_json(
        self, status: WarehouseStatus | None, sort: CodeSort, after: Sequence[Any] | None, limit: int
    ) -> Sequence[str]:
        """Each as the text of its JSON, by code key; `after` holds that of the last one seen."""
        ...


class LocationRepository(Protocol):
    """Locations. Codes are unique in their warehouse and compare without regard to case."""

    async def get(self, location_id: UUID) -> Location | None: ...

    async def find(self, ids: Collection[UUID]) -> list[Location]: ...

    async def by_codes(self, warehouse_id: UUID, codes: Collection[str]) -> list[Location]:
        """Those of the warehouse that have one of the codes."""
        ...

    async def anywhere(self, codes: Collection[str]) -> list[tuple[Warehouse, Location]]:
        """Those of all warehouses that have one of the codes, each with its warehouse."""
        ...

    async def of_kinds(self, warehouse_id: UUID, kinds: Collection[LocationKind]) -> list[Location]:
        """Every location of the warehouse that is of one of the kinds, by code."""
        ...

    async def add(self, location_id: UUID, warehouse_id: UUID, draft: LocationDraft, at: datetime) -> Location:
        """Raises `Conflict(DUPLICATE_CODE)`."""
        ...

    async def replace(self, location: Location, draft: LocationDraft, at: datetime) -> Location | None:
        """None where the version is no longer the stored one. Raises `Conflict(DUPLICATE_CODE)`."""
        ...

    async def delete(self, location: Location) -> bool:
        """Raises `Conflict(IN_USE)` where other locations or stock refer to it."""
        ...

    async def page_json(
        self,
        warehouse_id: UUID,
        kind: LocationKind | None,
        parent_id: UUID | None,
        sort: CodeSort,
        after: Sequence[Any] | None,
        limit: int,
    ) -> Sequence[str]:
        """Each as the text of its JSON, by code key; `after` holds that of the last one seen."""
        ...
