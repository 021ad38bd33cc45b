"""Files into the database: row by row as far as their author can tell, batch by batch as far as the database can."""

from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from contextlib import aclosing, closing
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum
from functools import partial
from typing import Any, BinaryIO, cast

from warehouse.catalogue.upserting import upsert_products
from warehouse.clock import utc_now
from warehouse.errors import Invalid
from warehouse.exchange.batches import Batch, Batches, ImportFile, ReaderFactory
from warehouse.exchange.journal import MOST_JOURNALED, BatchOutcome, Journal
from warehouse.exchange.rows import MovementRows, PlaceRows, ProductRows
from warehouse.exchange.tables import ReadingLimits, RowError, invalid
from warehouse.exchange.tallying import Outcome, Tally
from warehouse.exchange.threads import in_thread
from warehouse.locations.upserting import upsert_places
from warehouse.stock.bulk import Posting
from warehouse.unit_of_work import UnitOfWork, UnitOfWorkFactory, replayed_on_conflict

KEPT_ERRORS = 1000

Progress = Callable[[int, int | None], None]
"""Is told after every batch how many rows are done, and of about how many, if that is known."""


class ImportKind(StrEnum):
    PRODUCTS = "products"
    MOVEMENTS = "movements"
    LOCATIONS = "locations"


@dataclass(frozen=True, slots=True)
class ImportReport:
    """What became of a file. Each row counts once in `rows` and in one of the other counts; one row can have several
    errors, of which the first `KEPT_ERRORS` are listed and `error_count` counts all. Errors name the file's own
    columns. Not `complete`: the file ended in a fault, the last of the errors, and what stands behind it was not
    read."""

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
    """Imports CSV, NDJSON and XLSX files in flat memory."""

    def __init__(self, uow: UnitOfWorkFactory, limits: ReadingLimits | None = None) -> None:
        self._uow = uow
        self._limits = limits or ReadingLimits()

    async def run(
        self,
        kind: ImportKind,
        stream: BinaryIO,
        name: str,
        *,
        columns: Mapping[str, str] | None = None,
        sheet: str | None = None,
        atomic: bool = False,
        dry_run: bool = False,
        batch_size: int = 1000,
        actor: str = "import",
        progress: Progress | None = None,
        journal: Journal | None = None,
    ) -> ImportReport:
        """Import a seekable stream from where it stands; `name` is the file's, for its suffix.

        `columns` gives columns of the file the names that are ours, `""` leaving one out; `sheet` is the one of a
        workbook to be read.

        A batch of rows is one transaction, run again by itself when it was given up for another's sake. A bad row is
        reported and the others go in; with `atomic` all rows go in, in one transaction, or none do and then none is
        counted as done. Importing the same file again changes nothing.

        With `dry_run` the report tells what would be done and nothing is: all rows are written in one transaction, so
        that each sees those before it, and rolled back. As `atomic` does, that keeps others waiting for what it holds.

        With `journal` the import may be broken off at any moment and run again: what is done is not done again, and
        the report is that of an undisturbed run. Errors go there beyond the `KEPT_ERRORS`, up to `MOST_JOURNALED`.

        Raises `Invalid` or `TooLarge`, nothing changed, where the file cannot be read at all; `Unavailable` where the
        database does not answer, with the batches before it done. When cancelled it is left once the stream is no
        longer read.
        """
        file = ImportFile(stream, name, stream.tell(), self._limits, columns or {}, sheet)
        job = _Job(kind, file, batch_size, actor, atomic, dry_run, progress, journal)
        if progress:
            job.total = await in_thread(file.count_rows)
        if journal:
            job.done = await journal.done()
        return await (self._run_whole(job) if atomic or dry_run else self._run_in_batches(job))

    async def _run_in_batches(self, job: "_Job") -> ImportReport:
        @replayed_on_conflict
        async def write(number: int, batch: Batch, judge: "_Judge") -> BatchOutcome:
            if not batch.items and not job.journal:
                return judge(())
            async with self._uow() as uow:
                outcome = judge(await job.write(uow, batch.items))
                await job.mark(uow, {number: outcome})
                await uow.commit()
            return outcome

        return await self._go_through(job, write)

    @replayed_on_conflict
    async def _run_whole(self, job: "_Job") -> ImportReport:
        outcomes: dict[int, BatchOutcome] = {}
        async with self._uow() as uow:
            writer = _unreleased(uow) if job.dry_run else uow

            async def write(number: int, batch: Batch, judge: "_Judge") -> BatchOutcome:
                outcomes[number] = judge(await job.write(writer, batch.items))
                return outcomes[number]

            report = await self._go_through(job, write)
            if not job.dry_run and not report.failed:
                await job.mark(uow, outcomes)
                await uow.commit()
                return report
        if job.atomic and report.failed:
            report = _undone(report)
            outcomes = {number: replace(outcome, counts={}) for number, outcome in outcomes.items()}
        await self._note(job, outcomes)
        return report

    async def _note(self, job: "_Job", outcomes: Mapping[int, BatchOutcome]) -> None:
        """What was rolled back has its marks in a transaction of their own."""
        if job.journal and outcomes:
            async with self._uow() as uow:
                await job.mark(uow, outcomes)
                await uow.commit()

    async def _go_through(self, job: "_Job", write: "_Write") -> ImportReport:
        tally = Tally(MOST_JOURNALED if job.journal else KEPT_ERRORS)
        number = 0
        with closing(await in_thread(job.open, Batches.close)) as batches:
            async with aclosing(batches.ahead()) as ahead:
                async for batch in ahead:
                    outcome = job.done.get(number)
                    if outcome is None:
                        outcome = await write(number, batch, partial(tally.outcome, batch, batches.column))
                    elif outcome.rows != batch.rows:
                        raise _another_file()
                    tally.add(outcome)
                    number += 1
                    if job.progress:
                        job.progress(tally.rows, job.total)
            if any(mark >= number for mark in job.done):
                raise _another_file()
            return _report(job.kind, tally, batches.ignored_columns)


_Judge = Callable[[Sequence[Outcome]], BatchOutcome]
_Write = Callable[[int, Batch, _Judge], Awaitable[BatchOutcome]]
_Writer = Callable[[UnitOfWork, Sequence[Any], str, datetime], Awaitable[Sequence[Outcome]]]

_READERS: Mapping[ImportKind, ReaderFactory] = {
    ImportKind.PRODUCTS: ProductRows,
    ImportKind.LOCATIONS: PlaceRows,
    ImportKind.MOVEMENTS: lambda columns: MovementRows(columns, utc_now()),
}
_WRITERS: Mapping[ImportKind, Callable[[bool], _Writer]] = {
    ImportKind.PRODUCTS: lambda _: lambda uow, items, _, at: upsert_products(uow, items, at),
    ImportKind.LOCATIONS: lambda _: lambda uow, items, _, at: upsert_places(uow, items, at),
    ImportKind.MOVEMENTS: lambda whole: Posting(careful=whole).post,
}
"""Each for one import, all of which may be in one transaction."""


@dataclass(slots=True)
class _Job:
    kind: ImportKind
    file: ImportFile
    batch_size: int
    actor: str
    atomic: bool
    dry_run: bool
    progress: Progress | None
    journal: Journal | None
    total: int | None = None
    done: Mapping[int, BatchOutcome] = field(default_factory=dict)
    _write: _Writer = field(init=False)

    def __post_init__(self) -> None:
        self._write = _WRITERS[self.kind](self.atomic or self.dry_run)

    def open(self) -> Batches:
        return Batches(self.file, _READERS[self.kind], self.batch_size)

    async def write(self, uow: UnitOfWork, items: Sequence[Any]) -> Sequence[Outcome]:
        return await self._write(uow, items, self.actor, utc_now()) if items else ()

    async def mark(self, uow: UnitOfWork, outcomes: Mapping[int, BatchOutcome]) -> None:
        if self.journal:
            for number, outcome in outcomes.items():
                await self.journal.mark(uow, number, outcome)


class _Unreleased:
    """A unit of work whose writers release nothing from the cache, for nothing of it will stand."""

    def __init__(self, uow: UnitOfWork) -> None:
        self._uow = uow

    def __getattr__(self, name: str) -> Any:
        return getattr(self._uow, name)

    def release(self, tags: Collection[str]) -> None:
        pass


def _unreleased(uow: UnitOfWork) -> UnitOfWork:
    return cast("UnitOfWork", _Unreleased(uow))


def _report(kind: ImportKind, tally: Tally, ignored_columns: Sequence[str]) -> ImportReport:
    return ImportReport(
        kind=kind,
        rows=tally.rows,
        failed=tally.failed,
        error_count=tally.error_count,
        errors=tally.errors[:KEPT_ERRORS],
        ignored_columns=ignored_columns,
        complete=tally.complete,
        **tally.succeeded,
    )


def _undone(report: ImportReport) -> ImportReport:
    return replace(report, created=0, updated=0, unchanged=0, posted=0, repeated=0)


def _another_file() -> Invalid:
    return invalid("changed", "This is not the file that the import was begun with.")
