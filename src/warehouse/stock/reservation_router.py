"""Reservations over HTTP."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Depends, Request
from pydantic import StringConstraints
from starlette.responses import Response

from warehouse import lengths
from warehouse.http.conditional import created_headers, read_response, record_headers
from warehouse.http.idempotency import RequiredKey, command_for, to_response
from warehouse.http.pagination import Cursor, Limit, PageScope, decode_cursor, page_response
from warehouse.stock.model import Reservation, ReservationStatus
from warehouse.stock.reserving import ReservationService
from warehouse.stock.schemas import REHEARSAL, ExtensionInput, ReservationInput, ReservationPage, ReservationRead

router = APIRouter(tags=["reservations"])


async def _reservations(request: Request) -> ReservationService:
    service: ReservationService = request.app.state.reservations
    return service


Reservations = Annotated[ReservationService, Depends(_reservations)]
ReferenceFilter = Annotated[str, StringConstraints(max_length=lengths.REFERENCE)]


@router.get("/reservations", response_model=ReservationPage)
async def list_reservations(
    request: Request,
    reservations: Reservations,
    status: ReservationStatus | None = None,
    reference: ReferenceFilter | None = None,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> Response:
    """The reservations, the newest first."""
    scope = PageScope("reservations", (UUID,), filters=(status, reference))
    found = await reservations.page(status, reference, decode_cursor(cursor, scope), limit + 1)
    return page_response(request, found, limit, _position, scope)


@router.post("/reservations", response_model=ReservationRead, status_code=201, responses=REHEARSAL)
async def create_reservation(
    request: Request, reservations: Reservations, key: RequiredKey, body: ReservationInput
) -> Response:
    """Hold stock for a while. Where a line leaves the choice, it is made as for a shipment."""
    if body.dry_run:
        command = command_for(request, key, body, status=200)
    else:
        command = command_for(request, key, body, headers=created_headers(request, "/v1/reservations"))
    lines = [line.line() for line in body.lines]
    return to_response(await reservations.reserve(command, body.header(), lines, body.moment()))


@router.get("/reservations/{reservation_id}", response_model=ReservationRead)
async def get_reservation(request: Request, reservations: Reservations, reservation_id: UUID) -> Response:
    return read_response(request, await reservations.get(reservation_id))


@router.post("/reservations/{reservation_id}/confirm", response_model=ReservationRead)
async def confirm_reservation(
    request: Request, reservations: Reservations, key: RequiredKey, reservation_id: UUID
) -> Response:
    """Ship what is reserved."""
    command = command_for(request, key, None, status=200, headers=record_headers)
    return to_response(await reservations.confirm(command, reservation_id))


@router.post("/reservations/{reservation_id}/release", response_model=ReservationRead)
async def release_reservation(
    request: Request, reservations: Reservations, key: RequiredKey, reservation_id: UUID
) -> Response:
    """Give back what is reserved."""
    command = command_for(request, key, None, status=200, headers=record_headers)
    return to_response(await reservations.release(command, reservation_id))


@router.post("/reservations/{reservation_id}/extend", response_model=ReservationRead)
async def extend_reservation(
    request: Request, reservations: Reservations, key: RequiredKey, reservation_id: UUID, body: ExtensionInput
) -> Response:
    """Let it expire at another time."""
    command = command_for(request, key, body, status=200, headers=record_headers)
    return to_response(await reservations.extend(command, reservation_id, body.moment()))


def _position(reservation: Reservation) -> tuple[UUID]:
    return (reservation.id,)
