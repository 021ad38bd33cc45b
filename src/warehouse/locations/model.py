"""Warehouses and the tree of locations inside each."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from uuid import UUID


class WarehouseStatus(StrEnum):
    """An archived warehouse keeps its history; no command moves its stock."""

    ACTIVE = "active"
    ARCHIVED = "archived"


class LocationKind(StrEnum):
    STORAGE = "storage"
    RECEIVING = "receiving"
    QUARANTINE = "quarantine"
    TRANSIT = "transit"
    SHIPPING = "shipping"


class CodeSort(StrEnum):
    CODE = "code"
    CODE_DESCENDING = "-code"


@dataclass(frozen=True, slots=True)
class WarehouseDraft:
    code: str
    name: str
    address: str | None = None
    status: WarehouseStatus = WarehouseStatus.ACTIVE


@dataclass(frozen=True, slots=True)
class Warehouse:
    """Field names and order are those of the wire."""

    id: UUID
    code: str
    name: str
    address: str | None
    status: WarehouseStatus
    version: int
    created_at: datetime
    updated_at: datetime

    def draft(self) -> WarehouseDraft:
        return WarehouseDraft(code=self.code, name=self.name, address=self.address, status=self.status)


@dataclass(frozen=True, slots=True)
class LocationDraft:
    code: str
    name: str | None = None
    kind: LocationKind = LocationKind.STORAGE
    parent_id: UUID | None = None


@dataclass(frozen=True, slots=True)
class Location:
    """Field names and order are those of the wire."""

    id: UUID
    warehouse_id: UUID
    parent_id: UUID | None
    code: str
    name: str | None
    kind: LocationKind
    version: int
    created_at: datetime
    updated_at: datetime

    def draft(self) -> LocationDraft:
        return LocationDraft(code=self.code, name=self.name, kind=self.kind, parent_id=self.parent_id)
