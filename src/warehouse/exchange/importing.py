"""Files into the database: row by row as far as their author can tell, batch by batch as far as the database can."""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum
from itertools import islice
from typing import Any, BinaryIO, Protocol

from warehouse.catalogue.upserting import upsert_products
from warehouse.clock import utc_now
from warehouse.errors import FieldError, Invalid, TooLarge
from warehouse.exchange.reading import ReadingLimits, Row, RowError, open_table
from warehouse.exchange.rows import MovementRows, PlaceRows, ProductRows, RowReader
from warehouse.locations.upserting import upsert_places
from warehouse.stock.bulk import RowStatus, post_rows
from warehouse.unit_of_work import UnitOfWork, UnitOfWorkFactory, replayed_on_conflict
from warehouse.upserts import UpsertStatus

KEPT_ERRORS = 1000

Progress = Callable[[int], None]
"""Is told after every batch how many rows are done."""


class ImportKind(StrEnum):
    PRODUCTS = "products"
    MOVEMENTS = "movements"
    LOCATIONS = "locations"


@dataclass(frozen=True, slots=True)
class ImportReport:
    """What became of a file. Each row counts once in `rows` and in one of the other counts; one row can have several
    errors, of which the first `KEPT_ERRORS` are listed and `error_count` counts all. Not `complete`: the file ended in
    a fault, the last of the errors, and what stands behind it was not read."""

    kind: ImportKind
    rows: int
    created: int
    updated: int
    unchanged: int
    posted: int
    repeated: int
    failed: int
    error_count: int
    errors: Sequence[RowError]
    ignored_columns: Sequence[str]
    complete: bool


class Importer:
    """Imports CSV and NDJSON files, plain or compressed, in flat memory."""

    def __init__(self, uow: UnitOfWorkFactory, limits: ReadingLimits | None = None) -> None:
        self._uow = uow
        self._limits = limits or ReadingLimits()

    async def run(
        self,
        kind: ImportKind,
        stream: BinaryIO,
        name: str,
        *,
        atomic: bool = False,
        batch_size: int = 1000,
        actor: str = "import",
        progress: Progress | None = None,
    ) -> ImportReport:
        """Import a seekable stream from where it stands; `name` is the file's, for its suffix.

        A batch of rows is one transaction, run again by itself when it was given up for another's sake. A bad row is
        reported and the others go in; with `atomic` all rows go in, in one transaction, or none do and then none is
        counted as done. Importing the same file again changes nothing.

        Raises `Invalid` or `TooLarge`, nothing changed, where the file cannot be read at all; `Unavailable` where the
        database does not answer, with the batches before it done.
        """
        job = _Job(kind, stream, name, stream.tell(), batch_size, actor, progress)
        return await (self._run_whole(job) if atomic else self._run_in_batches(job))

    async def _run_in_batches(self, job: "_Job") -> ImportReport:
        @replayed_on_conflict
        async def write(items: Sequence[Any]) -> Sequence[Outcome]:
            async with self._uow() as uow:
                outcomes = await _WRITERS[job.kind](uow, items, job.actor, utc_now())
                await uow.commit()
            return outcomes

        return await self._go_through(job, write)

    @replayed_on_conflict
    async def _run_whole(self, job: "_Job") -> ImportReport:
        async with self._uow() as uow:

            async def write(items: Sequence[Any]) -> Sequence[Outcome]:
                return await _WRITERS[job.kind](uow, items, job.actor, utc_now())

            report = await self._go_through(job, write)
            if report.failed:
                return _undone(report)
            await uow.commit()
            return report

    async def _go_through(self, job: "_Job", write: "_Write") -> ImportReport:
        tally = _Tally()
        file = await asyncio.to_thread(_File, job, self._limits)
        ahead = asyncio.create_task(asyncio.to_thread(file.batch))
        try:
            while (batch := await ahead).rows:
                # While the database works on one batch, the next one is read.
                ahead = asyncio.create_task(asyncio.to_thread(file.batch))
                outcomes = await write(batch.items) if batch.items else ()
                tally.add(batch, outcomes, file.reader.column)
                if job.progress:
                    job.progress(tally.rows)
        finally:
            await asyncio.wait([ahead])
            file.close()
        return tally.report(job.kind, list(file.reader.ignored))


class Outcome(Protocol):
    """What became of a row, whatever its kind."""

    @property
    def status(self) -> UpsertStatus | RowStatus: ...
    @property
    def errors(self) -> Sequence[FieldError]: ...


_Write = Callable[[Sequence[Any]], Awaitable[Sequence[Outcome]]]
_Writer = Callable[[UnitOfWork, Sequence[Any], str, datetime], Awaitable[Sequence[Outcome]]]

_READERS: Mapping[ImportKind, Callable[[Sequence[str] | None], RowReader[Any]]] = {
    ImportKind.PRODUCTS: ProductRows,
    ImportKind.LOCATIONS: PlaceRows,
    ImportKind.MOVEMENTS: lambda columns: MovementRows(columns, utc_now()),
}
_WRITERS: Mapping[ImportKind, _Writer] = {
    ImportKind.PRODUCTS: lambda uow, items, _, at: upsert_products(uow, items, at),
    ImportKind.LOCATIONS: lambda uow, items, _, at: upsert_places(uow, items, at),
    ImportKind.MOVEMENTS: post_rows,
}


@dataclass(frozen=True, slots=True)
class _Job:
    kind: ImportKind
    stream: BinaryIO
    name: str
    start: int
    batch_size: int
    actor: str
    progress: Progress | None


@dataclass(slots=True)
class _Batch:
    """`lines` are those of the `items`; `failed` rows gave none."""

    rows: int = 0
    failed: int = 0
    lines: list[int] = field(default_factory=list)
    items: list[Any] = field(default_factory=list)
    errors: list[RowError] = field(default_factory=list)
    complete: bool = True


class _File:
    """One pass through a file; reading it blocks."""

    def __init__(self, job: _Job, limits: ReadingLimits) -> None:
        job.stream.seek(job.start)
        self._table = open_table(job.stream, job.name, limits)
        self._rows = iter(self._table)
        self._batch_size = job.batch_size
        self.reader = _READERS[job.kind](self._table.columns)

    def batch(self) -> _Batch:
        """The next rows; none at the end of the file."""
        batch = _Batch()
        try:
            for row in islice(self._rows, self._batch_size):
                self._take(batch, row)
        except (Invalid, TooLarge) as error:
            fault = error.errors[0]
            self._fail(batch, [RowError(self._table.line, None, fault.code, f"{fault.detail} Reading ended here.")])
            batch.complete = False
        return batch

    def close(self) -> None:
        self.reader.close()

    def _take(self, batch: _Batch, row: Row | RowError) -> None:
        item = [row] if isinstance(row, RowError) else self.reader.read(row)
        if isinstance(item, list):
            self._fail(batch, item)
            return
        batch.rows += 1
        batch.lines.append(row.line)
        batch.items.append(item)

    def _fail(self, batch: _Batch, errors: Collection[RowError]) -> None:
        batch.rows += 1
        batch.failed += 1
        batch.errors += errors


class _Tally:
    def __init__(self) -> None:
        self.rows = 0
        self._counts: Counter[UpsertStatus | RowStatus] = Counter()
        self._failed = 0
        self._error_count = 0
        self._errors: list[RowError] = []
        self._complete = True

    def add(self, batch: _Batch, outcomes: Sequence[Outcome], column: Callable[[str], str]) -> None:
        self.rows += batch.rows
        self._failed += batch.failed
        self._complete = batch.complete
        self._counts.update(outcome.status for outcome in outcomes)
        errors = batch.errors + [
            RowError(line, column(error.pointer.removeprefix("/")), error.code, error.detail)
            for line, outcome in zip(batch.lines, outcomes, strict=True)
            for error in outcome.errors
        ]
        self._error_count += len(errors)
        self._errors += sorted(errors, key=lambda error: error.line)[: KEPT_ERRORS - len(self._errors)]

    def report(self, kind: ImportKind, ignored_columns: Sequence[str]) -> ImportReport:
        counts = self._counts
        return ImportReport(
            kind=kind,
            rows=self.rows,
            created=counts[UpsertStatus.CREATED],
            updated=counts[UpsertStatus.UPDATED],
            unchanged=counts[UpsertStatus.UNCHANGED],
            posted=counts[RowStatus.POSTED],
            repeated=counts[RowStatus.REPEATED],
            failed=self._failed + counts[UpsertStatus.FAILED] + counts[RowStatus.REFUSED],
            error_count=self._error_count,
            errors=self._errors,
            ignored_columns=ignored_columns,
            complete=self._complete,
        )


def _undone(report: ImportReport) -> ImportReport:
    return replace(report, created=0, updated=0, unchanged=0, posted=0, repeated=0)
