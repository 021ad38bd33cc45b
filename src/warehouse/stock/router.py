"""Stock over HTTP: what there is, what happened, and the commands that change it."""

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Depends, Query, Request
from pydantic import StringConstraints
from starlette.responses import Response

from warehouse import lengths
from warehouse.cache import tags
from warehouse.cache.decorator import Asked, Kind, cached
from warehouse.commands.model import Command
from warehouse.http.caching import is_kept, keep_for
from warehouse.http.fields import Moment
from warehouse.http.idempotency import RequiredKey, command_for, to_response
from warehouse.http.json import JsonResponse
from warehouse.http.pagination import Cursor, Limit, PageScope, decode_cursor, json_page_response
from warehouse.http.route_classes import heavy
from warehouse.stock.counting import CountingService
from warehouse.stock.model import NO_LOT, BalanceFilter, MovementFilter, MovementSort
from warehouse.stock.moving import MovingService
from warehouse.stock.queries import StockQueries
from warehouse.stock.schemas import (
    REHEARSAL,
    AdjustmentInput,
    BalancePage,
    CommandInput,
    CommandRead,
    CountInput,
    IntegrityRead,
    MovementPage,
    ReceiptInput,
    ReversalInput,
    ShipmentInput,
    StockSummaryRead,
    TransferInput,
)

router = APIRouter()


async def _moving(request: Request) -> MovingService:
    service: MovingService = request.app.state.moving
    return service


async def _counting(request: Request) -> CountingService:
    service: CountingService = request.app.state.counting
    return service


async def _queries(request: Request) -> StockQueries:
    service: StockQueries = request.app.state.stock_queries
    return service


Moving = Annotated[MovingService, Depends(_moving)]
Counting = Annotated[CountingService, Depends(_counting)]
Queries = Annotated[StockQueries, Depends(_queries)]
SkuFilter = Annotated[str, StringConstraints(max_length=lengths.SKU)]
LotFilter = Annotated[str, StringConstraints(min_length=1, max_length=lengths.LOT)]
ReferenceFilter = Annotated[str, StringConstraints(max_length=lengths.REFERENCE)]
LowFilter = Annotated[
    bool,
    Query(
        description="Only balances of products whose available stock, in `warehouse_id` or else in all, is at or below "
        "their reorder point."
    ),
]


@router.get("/stock", response_model=BalancePage, tags=["stock"])
@cached(Kind.STOCK, tags=lambda asked: _tags_of_list(asked))
async def list_balances(
    request: Request,
    queries: Queries,
    product_id: UUID | None = None,
    sku: SkuFilter | None = None,
    warehouse_id: UUID | None = None,
    location_id: UUID | None = None,
    lot: LotFilter | None = None,
    low: LowFilter = False,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> Response:
    """The balances, by product, location and lot."""
    criteria = BalanceFilter(product_id, sku, warehouse_id, location_id, lot, low)
    scope = PageScope("stock", (UUID, UUID, str), filters=criteria)
    await _bound(request, queries, product_id)
    found = await queries.balances(criteria, decode_cursor(cursor, scope), limit + 1)
    return json_page_response(request, found, limit, _balance_position, scope)


@router.get("/stock/movements", response_model=MovementPage, tags=["stock"])
async def list_movements(
    request: Request,
    queries: Queries,
    product_id: UUID | None = None,
    sku: SkuFilter | None = None,
    warehouse_id: UUID | None = None,
    location_id: UUID | None = None,
    command_id: UUID | None = None,
    reference: ReferenceFilter | None = None,
    occurred_from: Annotated[Moment | None, Query(description="Inclusive.")] = None,
    occurred_to: Annotated[Moment | None, Query(description="Exclusive.")] = None,
    sort: MovementSort = MovementSort.RECORDED_AT_DESCENDING,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> Response:
    """The ledger, the newest entries first."""
    criteria = MovementFilter(
        product_id, sku, warehouse_id, location_id, command_id, reference, occurred_from, occurred_to
    )
    by_event = sort.lstrip("-") == MovementSort.OCCURRED_AT
    scope = PageScope("movements", (datetime, UUID) if by_event else (UUID,), sort, criteria)
    found = await queries.movements(criteria, sort, decode_cursor(cursor, scope), limit + 1)
    return json_page_response(request, found, limit, _event_position if by_event else _ledger_position, scope)


@router.get("/stock/summary/{product_id}", response_model=StockSummaryRead, tags=["stock"])
@cached(Kind.STOCK, tags=lambda asked: _tags_of_product(asked.id("product_id")))
async def get_stock_summary(request: Request, queries: Queries, product_id: UUID) -> Response:
    """A product's stock, in all and by warehouse."""
    await _bound(request, queries, product_id)
    return JsonResponse(await queries.summary(product_id))


@router.get("/integrity", response_model=IntegrityRead, tags=["operations"])
@heavy
async def get_integrity(request: Request, queries: Queries) -> Response:
    """Check every balance against the ledger and the open reservations."""
    return JsonResponse(await queries.integrity())


@router.post("/stock/receipts", response_model=CommandRead, status_code=201, responses=REHEARSAL, tags=["commands"])
async def receive_stock(request: Request, moving: Moving, key: RequiredKey, body: ReceiptInput) -> Response:
    """Bring stock in. A line that names just a warehouse goes to its first receiving location by code, or else to its
    first storage location."""
    command = _command(request, key, body)
    return to_response(await moving.receive(command, body.header(), [line.line() for line in body.lines]))


@router.post("/stock/shipments", response_model=CommandRead, status_code=201, responses=REHEARSAL, tags=["commands"])
async def ship_stock(request: Request, moving: Moving, key: RequiredKey, body: ShipmentInput) -> Response:
    """Take stock out. Where a line leaves the choice, storage locations serve it: first expired first, then by lot and
    location code."""
    command = _command(request, key, body)
    return to_response(await moving.ship(command, body.header(), [line.line() for line in body.lines]))


@router.post("/stock/adjustments", response_model=CommandRead, status_code=201, responses=REHEARSAL, tags=["commands"])
async def adjust_stock(request: Request, moving: Moving, key: RequiredKey, body: AdjustmentInput) -> Response:
    """Change stock by signed quantities, for a reason."""
    command = _command(request, key, body)
    return to_response(await moving.adjust(command, body.header(), [line.line() for line in body.lines]))


@router.post("/stock/counts", response_model=CommandRead, status_code=201, responses=REHEARSAL, tags=["commands"])
async def count_stock(request: Request, counting: Counting, key: RequiredKey, body: CountInput) -> Response:
    """Set stock to what was counted, if it still is what the counter believed it to be."""
    command = _command(request, key, body)
    return to_response(await counting.count(command, body.header(), [line.line() for line in body.lines]))


@router.post("/stock/transfers", response_model=CommandRead, status_code=201, responses=REHEARSAL, tags=["commands"])
async def transfer_stock(request: Request, moving: Moving, key: RequiredKey, body: TransferInput) -> Response:
    """Move stock between locations. Where a line names no lot, the first to expire goes first."""
    command = _command(request, key, body)
    return to_response(await moving.transfer(command, body.header(), [line.line() for line in body.lines]))


@router.post("/stock/reversals", response_model=CommandRead, status_code=201, responses=REHEARSAL, tags=["commands"])
async def reverse_command(request: Request, moving: Moving, key: RequiredKey, body: ReversalInput) -> Response:
    """Undo an earlier command, whole, by a new one."""
    command = _command(request, key, body)
    return to_response(await moving.reverse(command, body.header(), body.command_id))


def _tags_of_list(asked: Asked) -> Sequence[str]:
    """A page that names no product shows the SKUs of any."""
    if "product_id" in asked.query:
        return _tags_of_product(asked.id("product_id"))
    return tags.STOCK, tags.PRODUCTS


def _tags_of_product(product_id: UUID) -> Sequence[str]:
    return tags.stock_of(product_id), tags.product(product_id)


async def _bound(request: Request, queries: StockQueries, product_id: UUID | None) -> None:
    """What is reserved changes by itself when its time is over."""
    if is_kept(request.scope):
        keep_for(request.scope, await queries.seconds_to_expiry(product_id))


def _command(request: Request, key: str, body: CommandInput) -> Command:
    return command_for(request, key, body, status=200 if body.dry_run else 201)


def _balance_position(balance: dict[str, Any]) -> tuple[UUID, UUID, str]:
    return UUID(balance["product_id"]), UUID(balance["location_id"]), balance["lot"] or NO_LOT


def _event_position(movement: dict[str, Any]) -> tuple[datetime, UUID]:
    return datetime.fromisoformat(movement["occurred_at"]), UUID(movement["id"])


def _ledger_position(movement: dict[str, Any]) -> tuple[UUID]:
    return (UUID(movement["id"]),)
