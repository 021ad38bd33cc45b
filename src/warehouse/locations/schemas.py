"""Warehouses and locations on the wire."""

from datetime import datetime
from typing import Annotated
from uuid import UUID

from pydantic import Field

from warehouse.http.fields import Address, Input, Output, PlaceCode, PlaceName
from warehouse.http.pagination import Page
from warehouse.locations.model import LocationKind, WarehouseStatus

Status = Annotated[WarehouseStatus, Field(strict=False)]
Kind = Annotated[LocationKind, Field(strict=False)]
ParentId = Annotated[UUID, Field(strict=False, description="A location of the same warehouse that this one is in.")]


class WarehouseCreate(Input):
    code: PlaceCode
    name: PlaceName
    address: Address | None = None
    status: Status = WarehouseStatus.ACTIVE


class WarehouseUpdate(Input):
    """A merge patch (RFC 7396): a field that is absent stays as it is, null clears the address."""

    code: PlaceCode = ""
    name: PlaceName = ""
    address: Address | None = None
    status: Status = WarehouseStatus.ACTIVE


class WarehouseRead(Output):
    id: UUID
    code: str
    name: str
    address: str | None
    status: WarehouseStatus
    version: int
    created_at: datetime
    updated_at: datetime


class WarehousePage(Page[WarehouseRead]):
    pass


class LocationCreate(Input):
    code: PlaceCode
    name: PlaceName | None = None
    kind: Kind = LocationKind.STORAGE
    parent_id: ParentId | None = None


class LocationUpdate(Input):
    """A merge patch (RFC 7396): a field that is absent stays as it is, null clears the name, or takes the location
    out of the one that it is in."""

    code: PlaceCode = ""
    name: PlaceName | None = None
    kind: Kind = LocationKind.STORAGE
    parent_id: ParentId | None = None


class LocationRead(Output):
    id: UUID
    warehouse_id: UUID
    parent_id: UUID | None
    code: str
    name: str | None
    kind: LocationKind
    version: int
    created_at: datetime
    updated_at: datetime


class LocationPage(Page[LocationRead]):
    pass
