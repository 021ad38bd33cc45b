"""Warehouses and locations over HTTP."""

from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Depends, Request
from starlette.responses import Response

from warehouse.cache import tags
from warehouse.cache.decorator import Kind, cached
from warehouse.http.conditional import IfMatch, changed_response, created_headers, read_response
from warehouse.http.idempotency import OptionalKey, command_for, to_response
from warehouse.http.pagination import Cursor, Limit, PageScope, decode_cursor, json_page_response
from warehouse.locations.model import (
    CodeSort,
    LocationDraft,
    LocationKind,
    WarehouseDraft,
    WarehouseStatus,
)
from warehouse.locations.schemas import (
    LocationCreate,
    LocationPage,
    LocationRead,
    LocationUpdate,
    WarehouseCreate,
    WarehousePage,
    WarehouseRead,
    WarehouseUpdate,
)
from warehouse.locations.service import LocationService
from warehouse.text import compare_key

router = APIRouter(tags=["warehouses"])

POSITION = (str,)


async def _locations(request: Request) -> LocationService:
    service: LocationService = request.app.state.locations
    return service


Locations = Annotated[LocationService, Depends(_locations)]


@router.get("/warehouses", response_model=WarehousePage)
@cached(Kind.PLACES, tags=lambda asked: (tags.WAREHOUSES,))
async def list_warehouses(
    request: Request,
    locations: Locations,
    status: WarehouseStatus | None = None,
    sort: CodeSort = CodeSort.CODE,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> Response:
    """The warehouses, by code."""
    scope = PageScope("warehouses", POSITION, sort, status)
    found = await locations.page_warehouses(status, sort, decode_cursor(cursor, scope), limit + 1)
    return json_page_response(request, found, limit, _position, scope)


@router.post("/warehouses", response_model=WarehouseRead, status_code=201)
async def create_warehouse(request: Request, locations: Locations, key: OptionalKey, body: WarehouseCreate) -> Response:
    """Make a warehouse."""
    command = command_for(request, key, body, headers=created_headers(request, "/v1/warehouses"))
    return to_response(await locations.create_warehouse(command, WarehouseDraft(**body.model_dump())))


@router.get("/warehouses/{warehouse_id}", response_model=WarehouseRead)
@cached(Kind.PLACES, tags=lambda asked: (tags.warehouse(asked.id("warehouse_id")),))
async def get_warehouse(request: Request, locations: Locations, warehouse_id: UUID) -> Response:
    return read_response(request, await locations.get_warehouse(warehouse_id))


@router.patch("/warehouses/{warehouse_id}", response_model=WarehouseRead)
async def update_warehouse(
    locations: Locations, warehouse_id: UUID, if_match: IfMatch, body: WarehouseUpdate
) -> Response:
    """Change the fields given."""
    fields = body.model_dump(exclude_unset=True)
    return changed_response(await locations.update_warehouse(warehouse_id, fields, if_match.versions(warehouse_id)))


@router.delete("/warehouses/{warehouse_id}", status_code=204)
async def delete_warehouse(locations: Locations, warehouse_id: UUID, if_match: IfMatch) -> Response:
    """Delete a warehouse that has no locations; any other can be archived."""
    await locations.delete_warehouse(warehouse_id, if_match.versions(warehouse_id))
    return Response(status_code=204)


@router.get("/warehouses/{warehouse_id}/locations", response_model=LocationPage)
@cached(Kind.PLACES, tags=lambda asked: _tags_of_list(asked.id("warehouse_id")))
async def list_locations(
    request: Request,
    locations: Locations,
    warehouse_id: UUID,
    kind: LocationKind | None = None,
    parent_id: UUID | None = None,
    sort: CodeSort = CodeSort.CODE,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> Response:
    """The locations of a warehouse, by code; with `parent_id` those directly in that one."""
    scope = PageScope("locations", POSITION, sort, (warehouse_id, kind, parent_id))
    after = decode_cursor(cursor, scope)
    found = await locations.page_locations(warehouse_id, kind, parent_id, sort, after, limit + 1)
    return json_page_response(request, found, limit, _position, scope)


@router.post("/warehouses/{warehouse_id}/locations", response_model=LocationRead, status_code=201)
async def create_location(
    request: Request, locations: Locations, warehouse_id: UUID, key: OptionalKey, body: LocationCreate
) -> Response:
    """Make a location in a warehouse that is not archived."""
    command = command_for(request, key, body, headers=created_headers(request, "/v1/locations"))
    return to_response(await locations.create_location(command, warehouse_id, LocationDraft(**body.model_dump())))


@router.get("/locations/{location_id}", response_model=LocationRead)
@cached(Kind.PLACES, tags=lambda asked: (tags.location(asked.id("location_id")),))
async def get_location(request: Request, locations: Locations, location_id: UUID) -> Response:
    return read_response(request, await locations.get_location(location_id))


@router.patch("/locations/{location_id}", response_model=LocationRead)
async def update_location(locations: Locations, location_id: UUID, if_match: IfMatch, body: LocationUpdate) -> Response:
    """Change the fields given. With `parent_id` it moves within its warehouse, with all that is in it."""
    fields = body.model_dump(exclude_unset=True)
    return changed_response(await locations.update_location(location_id, fields, if_match.versions(location_id)))


@router.delete("/locations/{location_id}", status_code=204)
async def delete_location(locations: Locations, location_id: UUID, if_match: IfMatch) -> Response:
    """Delete a location that never had stock and has no other in it."""
    await locations.delete_location(location_id, if_match.versions(location_id))
    return Response(status_code=204)


def _tags_of_list(warehouse_id: UUID) -> tuple[str, ...]:
    """Without its warehouse there is no list."""
    return tags.warehouse(warehouse_id), tags.locations_of(warehouse_id)


def _position(place: dict[str, Any]) -> tuple[str]:
    return (compare_key(place["code"]),)
