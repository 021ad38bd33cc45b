"""What workers do of the exchange: imports, exports, reports, batches that were not waited for."""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import aclosing
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any

import orjson
from pydantic import TypeAdapter

from warehouse.blobs import BlobStore
from warehouse.catalogue.batch import UPSERT_PRODUCTS, Batch
from warehouse.catalogue.upserting import upsert_products
from warehouse.clock import utc_now
from warehouse.errors import Code
from warehouse.exchange.asking import EXPORTED, ExportAsked, ImportAsked, ReportAsked
from warehouse.exchange.exporting import Exporter, ExportKind, ExportRequest
from warehouse.exchange.importing import Importer, ImportKind, ImportReport
from warehouse.exchange.journal import BatchOutcome
from warehouse.exchange.report_model import ReportKind
from warehouse.exchange.report_schemas import REPORT_INPUTS
from warehouse.exchange.reporting import Reporter
from warehouse.http.json import encode
from warehouse.tasks.model import Task, TaskEnding, TaskError, TaskResult, TaskStatus
from warehouse.tasks.purging import result_key, upload_key
from warehouse.tasks.running import Running, TaskKind
from warehouse.unit_of_work import UnitOfWork, UnitOfWorkFactory, replayed_on_conflict

LONG_SECONDS = 6 * 3600.0
SHORT_SECONDS = 120.0
JSON = "application/json"


@dataclass(frozen=True, slots=True)
class Exchange:
    """What the work is done with."""

    uow: UnitOfWorkFactory
    blobs: BlobStore
    importer: Importer
    exporter: Exporter
    reporter: Reporter

    def kinds(self) -> Mapping[str, TaskKind]:
        found = {UPSERT_PRODUCTS: TaskKind(self._upsert_products, SHORT_SECONDS)}
        for kind in ImportKind:
            found[f"import_{kind}"] = TaskKind(partial(self._import, kind), LONG_SECONDS)
        for export in ExportKind:
            found[f"export_{export}"] = TaskKind(partial(self._export, export), LONG_SECONDS)
        for report in ReportKind:
            found[f"report_{report}"] = TaskKind(partial(self._report, report), LONG_SECONDS)
        return found

    async def _import(self, kind: ImportKind, running: Running) -> TaskResult | TaskEnding:
        task, asked = running.task, _IMPORT.validate_python(running.task.parameters)
        async with self.blobs.opened(upload_key(task.id)) as stream:
            report = await self.importer.run(
                kind,
                stream,
                asked.file_name,
                columns=asked.columns,
                sheet=asked.sheet,
                atomic=asked.atomic,
                dry_run=asked.dry_run,
                actor=task.actor,
                progress=running.report,
                journal=TaskJournal(self.uow, running, whole=asked.atomic or asked.dry_run),
            )
        result = await self._kept(task, _once(encode(report)), JSON, f"import-{kind}.json")
        if asked.atomic and report.failed and not asked.dry_run:
            return _refused(running, report, result)
        return result

    async def _export(self, kind: ExportKind, running: Running) -> TaskResult:
        asked = _EXPORT.validate_python(running.task.parameters)
        criteria = TypeAdapter(EXPORTED[kind]).validate_python(asked.filters)
        async with self.exporter.open(ExportRequest(criteria, asked.format), running.report) as export:
            running.report(0, export.rows)
            return await self._kept(running.task, export.pieces, export.media_type, export.name)

    async def _report(self, kind: ReportKind, running: Running) -> TaskResult:
        asked = _REPORT.validate_python(running.task.parameters)
        parameters = REPORT_INPUTS[kind].model_validate_json(orjson.dumps(asked.parameters)).parameters()
        async with aclosing(self.reporter.run(kind, parameters, asked.format, running.report)) as pieces:
            return await self._kept(running.task, pieces, asked.format.media_type, f"{kind}.{asked.format}")

    @replayed_on_conflict
    async def _upsert_products(self, running: Running) -> None:
        """The batch, its result and the end of its task are one transaction."""
        task = running.task
        async with self.blobs.opened(upload_key(task.id)) as stream:
            rows: Sequence[Any] = orjson.loads(stream.read())
        batch = Batch(rows)
        async with self.uow() as uow:
            await running.hold(uow)
            document = batch.document(await upsert_products(uow, batch.changes, utc_now()))
            running.report(len(rows), len(rows))
            result = await self._kept(task, _once(encode(document)), JSON, "batch.json")
            await running.finish(uow, result)
            await uow.commit()

    async def _kept(self, task: Task, pieces: AsyncIterator[bytes], media_type: str, file_name: str) -> TaskResult:
        """Each attempt has a place of its own, so that one that was given up overwrites nothing."""
        blob = await self.blobs.put(result_key(task.id, task.attempt), pieces)
        return TaskResult(blob.key, media_type, file_name, blob.size)


class TaskJournal:
    """See `warehouse.exchange.journal.Journal`: in the task's own rows. `whole`: all batches are marked together, in
    their order; where some were refused nothing was done, and an attempt goes through them anew."""

    def __init__(self, uow: UnitOfWorkFactory, running: Running, *, whole: bool) -> None:
        self._uow = uow
        self._running = running
        self._whole = whole

    async def done(self) -> Mapping[int, BatchOutcome]:
        async with self._uow(read_only=True) as uow:
            found = await uow.tasks.batches(self._running.task.id)
        done = {number: BatchOutcome.restored(values) for number, values in found.items()}
        return {} if self._whole and any(outcome.failed for outcome in done.values()) else done

    async def mark(self, uow: UnitOfWork, number: int, outcome: BatchOutcome) -> None:
        """Raises `Superseded` where another attempt has the task."""
        await self._running.hold(uow)
        if self._whole and number == 0:
            await uow.tasks.forget_batches(self._running.task.id)
        await uow.tasks.add_batch(self._running.task.id, number, asdict(outcome))


def _refused(running: Running, report: ImportReport, result: TaskResult) -> TaskEnding:
    detail = f"{report.failed} of {report.rows} rows were refused, so none was taken; the result tells why."
    error = TaskError(Code.INVALID, detail)
    return TaskEnding(TaskStatus.FAILED, running.done, running.total, error=error, result=result)


async def _once(piece: bytes) -> AsyncIterator[bytes]:
    yield piece


_IMPORT = TypeAdapter(ImportAsked)
_EXPORT = TypeAdapter(ExportAsked)
_REPORT = TypeAdapter(ReportAsked)
