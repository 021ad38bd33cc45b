"""Products over HTTP."""

from collections.abc import AsyncIterator, Sequence
from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Depends, Query, Request
from pydantic import StringConstraints
from starlette.responses import Response

from warehouse import lengths
from warehouse.cache import tags
from warehouse.cache.decorator import Kind, cached
from warehouse.catalogue.batch import UPSERT_PRODUCTS, Batch
from warehouse.catalogue.model import (
    ProductDraft,
    ProductFilter,
    ProductSort,
    ProductStatus,
    Tracking,
    sku_key,
)
from warehouse.catalogue.schemas import (
    BatchRead,
    ProductBatch,
    ProductCreate,
    ProductPage,
    ProductRead,
    ProductSnapshot,
    ProductUpdate,
    RawBatch,
    fields_given,
)
from warehouse.catalogue.service import CatalogueService
from warehouse.catalogue.snapshot import NDJSON
from warehouse.http.conditional import IfMatch, changed_response, created_headers, read_response
from warehouse.http.idempotency import OptionalKey, command_for, json_answer, to_response
from warehouse.http.json import encode
from warehouse.http.pagination import Cursor, Limit, PageScope, decode_cursor, json_page_response
from warehouse.http.prefer import APPLIED, RespondAsync
from warehouse.http.route_classes import heavy
from warehouse.http.snapshots import Snapshots
from warehouse.tasks.model import TaskDraft, TaskQueue
from warehouse.tasks.router import Uploads, accepted
from warehouse.tasks.schemas import TaskRead
from warehouse.tasks.uploading import TaskUploads

router = APIRouter(tags=["products"])

SORT_KINDS: dict[str, tuple[type, ...]] = {
    "sku": (str,),
    "name": (str, UUID),
    "created_at": (datetime, UUID),
    "updated_at": (datetime, UUID),
}
LINES: dict[int | str, dict[str, Any]] = {
    200: {"content": {NDJSON.media_type: {"schema": {"type": "string", "description": "A `ProductRead` a line."}}}}
}


async def _catalogue(request: Request) -> CatalogueService:
    service: CatalogueService = request.app.state.catalogue
    return service


Catalogue = Annotated[CatalogueService, Depends(_catalogue)]
SearchText = Annotated[
    str,
    StringConstraints(strip_whitespace=True, min_length=1, max_length=200),
    Query(description="Every word of it must begin a word of the SKU, the name or a barcode; or it begins the SKU."),
]
CategoryFilter = Annotated[str, StringConstraints(max_length=lengths.CATEGORY)]


@router.get("/products", response_model=ProductPage)
@cached(Kind.PRODUCTS, tags=lambda asked: (tags.PRODUCTS,))
async def list_products(
    request: Request,
    catalogue: Catalogue,
    q: SearchText | None = None,
    status: ProductStatus | None = None,
    category: CategoryFilter | None = None,
    tracking: Tracking | None = None,
    sort: ProductSort = ProductSort.SKU,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> Response:
    """The products, all or those that match."""
    criteria = ProductFilter(q, status, category, tracking)
    column = sort.lstrip("-")
    scope = PageScope("products", SORT_KINDS[column], sort, criteria)
    found = await catalogue.page(criteria, sort, decode_cursor(cursor, scope), limit + 1)
    return json_page_response(request, found, limit, lambda product: _position(product, column), scope)


@router.post("/products", response_model=ProductRead, status_code=201)
async def create_product(request: Request, catalogue: Catalogue, key: OptionalKey, body: ProductCreate) -> Response:
    """Make a product."""
    draft = ProductDraft(**{**body.model_dump(), "barcodes": tuple(body.barcodes)})
    command = command_for(request, key, body, headers=created_headers(request, "/v1/products"))
    return to_response(await catalogue.create(command, draft))


@router.post(
    "/products/batch",
    response_model=BatchRead,
    responses={202: {"model": TaskRead, "description": "With `Prefer: respond-async`: the task that does it."}},
)
@heavy
async def upsert_products(
    request: Request,
    catalogue: Catalogue,
    uploads: Uploads,
    key: OptionalKey,
    respond_async: RespondAsync,
    body: ProductBatch,
) -> Response:
    """Make or change up to 5,000 products by their SKUs. Each row fares by itself; the answer tells how."""
    rows: list[Any] = list(body.products)
    if respond_async:
        return await _upsert_later(request, uploads, key, rows)
    batch = Batch(rows)
    command = command_for(
        request, key, RawBatch(rows), success=lambda results: json_answer(batch.document(results), 200, {})
    )
    return to_response(await catalogue.upsert(command, batch.changes))


@router.get("/products/snapshot", response_model=ProductSnapshot, responses=LINES)
@heavy
async def get_product_snapshot(request: Request) -> Response:
    """The whole catalogue, as JSON or, where `Accept` prefers `application/x-ndjson`, with a product on each line. No
    product is older than the last change to it that was acknowledged before; they come in an order of their own.

    With its ETag in `If-None-Match` an unchanged catalogue is not sent again; an interrupted download goes on by
    `Range` with the ETag in `If-Range`."""
    snapshots: Snapshots = request.app.state.snapshots
    return await snapshots.answer(request)


# SKUs may hold slashes; to the routing a slash is one however it was escaped.
@router.get("/products/by-sku/{sku:path}", response_model=ProductRead)
@cached(Kind.PRODUCT, tags=lambda asked: (tags.sku(sku_key(asked.path["sku"])),))
async def get_product_by_sku(
    request: Request, catalogue: Catalogue, sku: Annotated[str, StringConstraints(max_length=lengths.SKU)]
) -> Response:
    """The product with this SKU, in upper or lower case."""
    return read_response(request, await catalogue.by_sku(sku))


@router.get("/products/{product_id}", response_model=ProductRead)
@cached(Kind.PRODUCT, tags=lambda asked: (tags.product(asked.id("product_id")),))
async def get_product(request: Request, catalogue: Catalogue, product_id: UUID) -> Response:
    return read_response(request, await catalogue.get(product_id))


@router.patch("/products/{product_id}", response_model=ProductRead)
async def update_product(catalogue: Catalogue, product_id: UUID, if_match: IfMatch, body: ProductUpdate) -> Response:
    """Change the fields given."""
    return changed_response(await catalogue.update(product_id, fields_given(body), if_match.versions(product_id)))


@router.delete("/products/{product_id}", status_code=204)
async def delete_product(catalogue: Catalogue, product_id: UUID, if_match: IfMatch) -> Response:
    """Delete a product that never had stock; any other can be archived."""
    await catalogue.delete(product_id, if_match.versions(product_id))
    return Response(status_code=204)


def _position(product: dict[str, Any], column: str) -> Sequence[Any]:
    if column == "sku":
        return (sku_key(product["sku"]),)
    value = product["name"] if column == "name" else datetime.fromisoformat(product[column])
    return value, UUID(product["id"])


async def _upsert_later(request: Request, uploads: TaskUploads, key: str | None, rows: list[Any]) -> Response:
    command = command_for(request, key, RawBatch(rows), success=accepted(request, APPLIED))
    draft = TaskDraft(UPSERT_PRODUCTS, TaskQueue.SHORT, {})

    async def chunks() -> AsyncIterator[bytes]:
        yield encode(rows)

    return to_response(await uploads.submit(draft, chunks(), lambda _: command))
