"""What operators see and order of the circuits."""

from enum import StrEnum
from typing import Annotated

from fastapi import APIRouter, Depends, Request
from pydantic import Field
from starlette.responses import Response

from warehouse.errors import NotFound
from warehouse.http.fields import Input, Output
from warehouse.http.json import JsonResponse
from warehouse.http.pagination import Page
from warehouse.orders import Order, Orders
from warehouse.resilience import Registry

router = APIRouter(tags=["operations"])

DEFAULT_SECONDS = 600
MAX_SECONDS = 86_400


class BreakerState(StrEnum):
    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half_open"
    FORCED_OPEN = "forced_open"
    DISABLED = "disabled"


class BreakerRead(Output):
    """A circuit breaker of the process that answers; other processes have their own."""

    name: str
    state: BreakerState = Field(description="`disabled` lets every call through, as ordered by `close`.")
    retry_after: float = Field(description="Seconds until a call may be let through; 0 where one may be now.")
    calls: int = Field(description="In the window, which every change of the state empties.")
    failures: int
    slow: int
    consecutive_failures: int
    in_flight: int
    queued: int
    retries_left: int


class BreakerPage(Page[BreakerRead]):
    pass


class BreakerOrderInput(Input):
    order: Annotated[Order, Field(strict=False)] = Field(
        description="`open` refuses every call, `close` lets every call through, `auto` lets the circuit decide."
    )
    seconds: int = Field(DEFAULT_SECONDS, ge=1, le=MAX_SECONDS, description="After that the circuit decides again.")


async def _registry(request: Request) -> Registry:
    registry: Registry = request.app.state.registry
    return registry


async def _orders(request: Request) -> Orders:
    orders: Orders = request.app.state.orders
    return orders


@router.get("/ops/breakers", response_model=BreakerPage)
async def list_breakers(registry: Annotated[Registry, Depends(_registry)]) -> Response:
    """What stands between the service and each thing that it depends on."""
    return JsonResponse({"data": registry.snapshots(), "next_cursor": None, "has_more": False})


@router.post("/ops/breakers/{name}", response_model=BreakerRead)
async def order_breaker(
    name: str,
    body: BreakerOrderInput,
    registry: Annotated[Registry, Depends(_registry)],
    orders: Annotated[Orders, Depends(_orders)],
) -> Response:
    """Take the decision from a circuit for a while, or give it back, in every process of this server. The same order
    again begins its time anew."""
    try:
        orders.give(name, body.order, body.seconds)
    except KeyError:
        raise NotFound("There is no such breaker.") from None
    return JsonResponse(next(each for each in registry.snapshots() if each.name == name))
