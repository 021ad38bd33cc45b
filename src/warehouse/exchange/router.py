"""Imports, exports and reports over HTTP: each answers at once with the task that does it."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, fields
from typing import Annotated, Any
from uuid import UUID

import orjson
from fastapi import APIRouter, Query, Request
from pydantic import BaseModel, StringConstraints
from starlette.responses import Response

from warehouse.auth.model import Role
from warehouse.blobs import Blob
from warehouse.catalogue.model import ProductStatus, Tracking
from warehouse.catalogue.router import CategoryFilter, SearchText
from warehouse.commands.model import Command
from warehouse.errors import FieldError, Forbidden, Invalid, NotFound, field_error
from warehouse.exchange.asking import EXPORTED, ExportAsked, ImportAsked, ReportAsked
from warehouse.exchange.exporting import ExportFormat, ExportKind
from warehouse.exchange.importing import ImportKind
from warehouse.exchange.journal import BatchOutcome, errors_csv
from warehouse.exchange.report_model import ReportFormat, ReportKind
from warehouse.exchange.report_schemas import (
    AbcAnalysisInput,
    DeadStockInput,
    LowStockInput,
    MovementSummaryInput,
    ReportInput,
    StockAgeingInput,
    StockAsOfInput,
)
from warehouse.exchange.threads import in_thread
from warehouse.http.access import caller_of
from warehouse.http.fields import Moment
from warehouse.http.idempotency import OptionalKey, command_for, to_response
from warehouse.http.json import encode
from warehouse.http.lasting import takes_upload
from warehouse.http.route_classes import heavy
from warehouse.http.uploads import received_upload
from warehouse.stock.router import LotFilter, LowFilter, ReferenceFilter, SkuFilter
from warehouse.tasks.model import TaskDraft, TaskQueue
from warehouse.tasks.router import Tasks, Uploads, accepted
from warehouse.tasks.schemas import TaskRead
from warehouse.tasks.service import TaskService

router = APIRouter(tags=["tasks"])

IMPORTED = "import_"
LONGEST_SHEET = 31
LONGEST_MAPPING = 512
MOST_MAPPINGS = 1000
LEAST_ROLE: Mapping[ImportKind, Role] = {
    ImportKind.PRODUCTS: Role.MANAGER,
    ImportKind.LOCATIONS: Role.MANAGER,
    ImportKind.MOVEMENTS: Role.OPERATOR,
}
"""As for the same by single requests."""

ERRORS: Mapping[str, Any] = {"text/csv": {"schema": {"type": "string"}}}

Sheet = Annotated[
    str,
    StringConstraints(min_length=1, max_length=LONGEST_SHEET),
    Query(description="The sheet of a workbook; by default the first."),
]
Mappings = Annotated[
    list[Annotated[str, StringConstraints(max_length=LONGEST_MAPPING)]] | None,
    Query(
        description="`FILE_COLUMN=COLUMN`, once for each column of the file that is called otherwise than here; "
        "nothing behind the `=` leaves the column out.",
        max_length=MOST_MAPPINGS,
    ),
]
JsonOrCsv = Annotated[ReportFormat, Query(alias="format")]


class Asked(BaseModel):
    """What makes one request the same as another, beside its path."""

    content: Any


@router.post("/imports", response_model=TaskRead, status_code=202)
@takes_upload
async def create_import(
    request: Request,
    uploads: Uploads,
    key: OptionalKey,
    kind: ImportKind,
    atomic: Annotated[bool, Query(description="Take every row, or none.")] = False,
    dry_run: Annotated[bool, Query(description="Tell what would be done, and do nothing.")] = False,
    sheet: Sheet | None = None,
    map: Mappings = None,
) -> Response:
    """Import a file of products, locations or movements: CSV, NDJSON or XLSX, the first two also compressed with gzip
    or zstd. A bad row is reported, and keeps the others out only with `atomic`. What the task has done so far is done
    once, whatever becomes of its worker; importing the same file again changes nothing.

    Products and locations need the role `manager`. The task's result tells what became of the file;
    `/v1/tasks/{task_id}/errors` lists every error as CSV."""
    role = LEAST_ROLE[kind]
    if not caller_of(request).role.covers(role):
        raise Forbidden(f"This needs a key with the role {role} or above.")
    columns = _columns(map or ())
    upload = await received_upload(request)
    asked = ImportAsked(upload.file_name or "", atomic, dry_run, sheet, columns)
    draft = TaskDraft(f"{IMPORTED}{kind}", TaskQueue.LONG, asdict(asked))

    def command_of(blob: Blob) -> Command:
        content = [kind, asdict(asked), blob.sha256.hex()]
        return command_for(request, key, Asked(content=content), success=accepted(request))

    return to_response(await uploads.submit(draft, upload.chunks, command_of))


@router.get("/tasks/{task_id}/errors", response_class=Response, responses={200: {"content": ERRORS}})
async def get_task_errors(request: Request, tasks: Tasks, task_id: UUID) -> Response:
    """The errors of an import so far, as CSV: `line`, `column`, `code`, `detail`; at most 100,000."""
    caller = caller_of(request)
    task = await tasks.get(caller, task_id)
    if not task.kind.startswith(IMPORTED):
        raise NotFound("Only imports have such a list.")
    batches = await tasks.batches(caller, task_id)
    # Of as many errors as there may be that takes half a second.
    content = await in_thread(lambda: b"".join(errors_csv(map(BatchOutcome.restored, batches))))
    headers = {"Content-Disposition": 'attachment; filename="errors.csv"', "Cache-Control": "private, no-store"}
    return Response(content, headers=headers, media_type="text/csv; charset=utf-8")


@router.post("/exports", response_model=TaskRead, status_code=202)
@heavy
async def create_export(
    request: Request,
    tasks: Tasks,
    key: OptionalKey,
    kind: ExportKind,
    format: ExportFormat = ExportFormat.CSV,
    q: SearchText | None = None,
    status: ProductStatus | None = None,
    category: CategoryFilter | None = None,
    tracking: Tracking | None = None,
    product_id: UUID | None = None,
    sku: SkuFilter | None = None,
    warehouse_id: UUID | None = None,
    location_id: UUID | None = None,
    lot: LotFilter | None = None,
    low: LowFilter = False,
    command_id: UUID | None = None,
    reference: ReferenceFilter | None = None,
    occurred_from: Annotated[Moment | None, Query(description="Inclusive.")] = None,
    occurred_to: Annotated[Moment | None, Query(description="Exclusive.")] = None,
) -> Response:
    """Write products, stock or movements into a file, all of one moment. The filters are those of the list of the
    same; one of another list is refused."""
    given = locals()
    filters = {name: given[name] for name in _FILTERS if given[name] not in (None, False)}
    known = {each.name for each in fields(EXPORTED[kind])}
    if unknown := [name for name in filters if name not in known]:
        faults = [
            FieldError(f"?{name}", "not_for_kind", f"An export of {kind} has no such filter.") for name in unknown
        ]
        raise Invalid(faults[0].detail, errors=faults)
    format.demand()
    asked = ExportAsked(format, filters)
    return await _handed_in(request, tasks, key, f"export_{kind}", asked)


@router.post("/reports/stock_as_of", response_model=TaskRead, status_code=202)
@heavy
async def report_stock_as_of(
    request: Request, tasks: Tasks, key: OptionalKey, body: StockAsOfInput, form: JsonOrCsv = ReportFormat.JSON
) -> Response:
    """What was on hand at a past moment, by product, location and lot."""
    return await _reported(request, tasks, key, ReportKind.STOCK_AS_OF, body, form)


@router.post("/reports/movement_summary", response_model=TaskRead, status_code=202)
@heavy
async def report_movement_summary(
    request: Request, tasks: Tasks, key: OptionalKey, body: MovementSummaryInput, form: JsonOrCsv = ReportFormat.JSON
) -> Response:
    """What came and went, by day and kind of movement."""
    return await _reported(request, tasks, key, ReportKind.MOVEMENT_SUMMARY, body, form)


@router.post("/reports/low_stock", response_model=TaskRead, status_code=202)
@heavy
async def report_low_stock(
    request: Request, tasks: Tasks, key: OptionalKey, body: LowStockInput, form: JsonOrCsv = ReportFormat.JSON
) -> Response:
    """Products of which no more is available than their reorder point, and for how many days that lasts."""
    return await _reported(request, tasks, key, ReportKind.LOW_STOCK, body, form)


@router.post("/reports/stock_ageing", response_model=TaskRead, status_code=202)
@heavy
async def report_stock_ageing(
    request: Request, tasks: Tasks, key: OptionalKey, body: StockAgeingInput, form: JsonOrCsv = ReportFormat.JSON
) -> Response:
    """How long ago what is on hand came in, by lot, and what of it expires."""
    return await _reported(request, tasks, key, ReportKind.STOCK_AGEING, body, form)


@router.post("/reports/abc_analysis", response_model=TaskRead, status_code=202)
@heavy
async def report_abc_analysis(
    request: Request, tasks: Tasks, key: OptionalKey, body: AbcAnalysisInput, form: JsonOrCsv = ReportFormat.JSON
) -> Response:
    """Products by how much of them was shipped, in three classes."""
    return await _reported(request, tasks, key, ReportKind.ABC_ANALYSIS, body, form)


@router.post("/reports/dead_stock", response_model=TaskRead, status_code=202)
@heavy
async def report_dead_stock(
    request: Request, tasks: Tasks, key: OptionalKey, body: DeadStockInput, form: JsonOrCsv = ReportFormat.JSON
) -> Response:
    """What is on hand of products that have not gone out for long."""
    return await _reported(request, tasks, key, ReportKind.DEAD_STOCK, body, form)


async def _reported(
    request: Request,
    tasks: TaskService,
    key: str | None,
    kind: ReportKind,
    body: ReportInput,
    form: ReportFormat,
) -> Response:
    parameters = body.model_dump(mode="json", by_alias=True, exclude_unset=True)
    return await _handed_in(request, tasks, key, f"report_{kind}", ReportAsked(form, parameters))


async def _handed_in(
    request: Request, tasks: TaskService, key: str | None, kind: str, asked: ExportAsked | ReportAsked
) -> Response:
    parameters = orjson.loads(encode(asked))
    command = command_for(request, key, Asked(content=[kind, parameters]), success=accepted(request))
    return to_response(await tasks.submit(command, TaskDraft(kind, TaskQueue.LONG, parameters)))


def _columns(mappings: Sequence[str]) -> Mapping[str, str]:
    """Raises `Invalid`."""
    found: dict[str, str] = {}
    for mapping in mappings:
        theirs, separator, ours = mapping.rpartition("=")
        if not separator or not theirs or theirs in found:
            raise field_error("?map", "mapping", "Write FILE_COLUMN=COLUMN, once for each column of the file.")
        found[theirs] = ours
    return found


_FILTERS = dict.fromkeys(each.name for kind in EXPORTED.values() for each in fields(kind))
