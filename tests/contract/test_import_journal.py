"""Imports that are broken off at any moment and taken up again, on every database."""

import asyncio
import csv
import io
from collections.abc import Collection, Sequence
from dataclasses import replace
from typing import Any

import pytest

from tests.contract.journals import Killed, StoredJournal
from tests.contract.ledger import Ledger, code
from warehouse.catalogue.model import Product
from warehouse.errors import Invalid
from warehouse.exchange import importing
from warehouse.exchange.importing import Importer, ImportKind, ImportReport
from warehouse.exchange.journal import errors_csv
from warehouse.locations.model import Location
from warehouse.storage.database import SqlDatabase
from warehouse.storage.sql import SqlUnitOfWorkFactory
from warehouse.unit_of_work import UnitOfWorkFactory

BATCHES = 5
"""Of the file of `rows_of` with 4 rows each."""


@pytest.fixture
def importer(uow_factory: UnitOfWorkFactory) -> Importer:
    return Importer(uow_factory)


@pytest.fixture
def journal(uow_factory: UnitOfWorkFactory) -> StoredJournal:
    return StoredJournal(uow_factory)


async def stage(ledger: Ledger) -> tuple[Product, Product, Location]:
    return await ledger.product(), await ledger.product(), await ledger.location()


def rows_of(scene: tuple[Product, Product, Location]) -> list[str]:
    """With equal rows in several batches, rows that are refused, rows that cannot be read, and a batch of those."""
    one, other, place = scene
    bought = f"2017-01-01T00:00:00Z,receipt,{one.sku},{place.code},2"
    sold = f"2017-01-02T00:00:00Z,sale,{one.sku},{place.code},3"
    return [
        *("timestamp,type,sku,location,qty,till", f"{bought},1", f"{bought},2", f"{sold},1", f"{sold},2"),
        *(f"{bought},1", "ragged", f"2017-01-01T00:00:00Z,receipt,{other.sku},{place.code},9,", f"{sold},1"),
        *("x,receipt,,,,", ",,,,,", "ragged", "2017-01-01T00:00:00Z,gift,x,y,1,"),
        *(f"{bought},3", f"{bought},4", f"2017-01-01T00:00:00Z,sale,{other.sku},{place.code},4,", f"{sold},1"),
        f"2017-01-01T00:00:00Z,receipt,{code('SKU')},{place.code},1,",
    ]


async def load(importer: Importer, lines: Sequence[str], **options: Any) -> ImportReport:
    content = io.BytesIO("\n".join(lines).encode())
    kind = options.pop("kind", ImportKind.MOVEMENTS)
    return await importer.run(kind, content, "file.csv", batch_size=4, **options)


async def on_hand(ledger: Ledger, scene: tuple[Product, Product, Location]) -> list[int]:
    one, other, _ = scene
    return [sum(quantity for quantity, _ in (await ledger.held(product)).values()) for product in (one, other)]


def told(report: ImportReport) -> ImportReport:
    """The report without the names that only this test has."""
    return replace(report, errors=[replace(error, detail="") for error in report.errors])


async def undisturbed(importer: Importer, ledger: Ledger, **options: Any) -> tuple[ImportReport, list[int]]:
    scene = await stage(ledger)
    report = await load(importer, rows_of(scene), **options)
    assert report.rows == 17
    return told(report), await on_hand(ledger, scene)


def killed_at(number: int) -> Any:
    def kill(reached: int) -> None:
        if reached == number:
            raise Killed

    return kill


def cancelled_at(number: int) -> Any:
    def cancel(reached: int) -> None:
        if reached == number and (task := asyncio.current_task()):
            task.cancel()

    return cancel


@pytest.mark.parametrize("moment", ["before", "after"])
@pytest.mark.parametrize("number", range(BATCHES))
@pytest.mark.parametrize("kill", [killed_at, cancelled_at])
async def test_an_import_that_is_broken_off_once_is_as_one_that_is_not(
    importer: Importer, ledger: Ledger, journal: StoredJournal, moment: str, number: int, kill: Any
) -> None:
    scene = await stage(ledger)
    setattr(journal, moment, kill(number))
    with pytest.raises((Killed, asyncio.CancelledError)):
        await load(importer, rows_of(scene), journal=journal)
    setattr(journal, moment, killed_at(-1))
    report = await load(importer, rows_of(scene), journal=journal)
    assert (told(report), await on_hand(ledger, scene)) == await undisturbed(importer, ledger)
    assert len(await journal.done()) == BATCHES


async def test_an_import_that_is_broken_off_at_every_batch_is_as_one_that_is_not(
    importer: Importer, ledger: Ledger, journal: StoredJournal
) -> None:
    scene = await stage(ledger)
    for number in range(BATCHES):

        def stop(rows: int, _: int | None, least: int = 4 * number + 1) -> None:
            if rows >= least:
                raise Killed

        with pytest.raises(Killed):
            await load(importer, rows_of(scene), journal=journal, progress=stop)
        assert len(await journal.done()) == number + 1
    report = await load(importer, rows_of(scene), journal=journal)
    assert (told(report), await on_hand(ledger, scene)) == await undisturbed(importer, ledger)
    assert journal.marked == list(range(BATCHES))


async def test_what_is_done_is_not_done_again(importer: Importer, ledger: Ledger, journal: StoredJournal) -> None:
    scene = await stage(ledger)
    first = await load(importer, rows_of(scene), journal=journal)
    assert await load(importer, rows_of(scene), journal=journal) == first
    assert first.posted > 0
    assert journal.marked == list(range(BATCHES))


async def test_a_file_that_breaks_off_is_reported_the_same_again(
    importer: Importer, ledger: Ledger, journal: StoredJournal
) -> None:
    lines = [*rows_of(await stage(ledger)), "x" * 2 * 1024**2]
    first = await load(importer, lines, journal=journal)
    assert not first.complete
    assert await load(importer, lines, journal=journal) == first


@pytest.mark.parametrize("change", [lambda lines: lines[:-2], lambda lines: lines[:9], lambda lines: [*lines, "x"]])
async def test_another_file_is_not_taken_for_the_one_that_was_begun(
    importer: Importer, ledger: Ledger, journal: StoredJournal, change: Any
) -> None:
    lines = rows_of(await stage(ledger))
    await load(importer, lines, journal=journal)
    with pytest.raises(Invalid) as refused:
        await load(importer, change(lines), journal=journal)
    assert refused.value.errors[0].code == "changed"


class TestAtomic:
    async def test_it_happens_once_and_its_marks_with_it(
        self, importer: Importer, ledger: Ledger, journal: StoredJournal
    ) -> None:
        sku = code("SKU")
        lines = ["sku,name", *(f"{sku}-{number},Bread" for number in range(10))]
        for moment in ("before", "after"):
            setattr(journal, moment, killed_at(2))
            with pytest.raises(Killed):
                await load(importer, lines, kind=ImportKind.PRODUCTS, atomic=True, journal=journal)
            setattr(journal, moment, killed_at(-1))
            assert await journal.done() == {}
        report = await load(importer, lines, kind=ImportKind.PRODUCTS, atomic=True, journal=journal)
        assert report.created == 10
        assert await load(importer, lines, kind=ImportKind.PRODUCTS, atomic=True, journal=journal) == report

    async def test_its_failure_is_noted_too(self, importer: Importer, ledger: Ledger, journal: StoredJournal) -> None:
        scene = await stage(ledger)
        report = await load(importer, rows_of(scene), atomic=True, journal=journal)
        assert (report.posted, report.failed, await on_hand(ledger, scene)) == (0, 7, [0, 0])
        done = await journal.done()
        assert sum(outcome.failed for outcome in done.values()) == 7
        assert [error for number in sorted(done) for error in done[number].errors] == report.errors
        assert await load(importer, rows_of(scene), atomic=True, journal=journal) == report


class TestErrors:
    async def test_a_journal_keeps_more_of_them_than_a_report(
        self, importer: Importer, journal: StoredJournal, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(importing, "KEPT_ERRORS", 3)
        monkeypatch.setattr(importing, "MOST_JOURNALED", 10)
        lines = ["sku,name", *["x"] * 14]
        report = await load(importer, lines, kind=ImportKind.PRODUCTS, journal=journal)
        assert (report.failed, report.error_count, len(report.errors)) == (14, 14, 3)
        done = await journal.done()
        assert [len(done[number].errors) for number in range(4)] == [4, 4, 2, 0]
        assert await load(importer, lines, kind=ImportKind.PRODUCTS, journal=journal) == report
        listed = list(csv.reader(io.StringIO(b"".join(errors_csv(done.values())).decode(), newline="")))
        assert listed[0] == ["line", "column", "code", "detail"]
        assert [row[0] for row in listed[1:]] == [str(line) for line in range(2, 12)]


class TestDryRun:
    @pytest.mark.parametrize("atomic", [False, True])
    async def test_it_tells_what_would_be_done_and_does_nothing(
        self, importer: Importer, ledger: Ledger, atomic: bool
    ) -> None:
        scene = await stage(ledger)
        rehearsed = await load(importer, rows_of(scene), dry_run=True, atomic=atomic)
        assert await on_hand(ledger, scene) == [0, 0]
        assert await load(importer, rows_of(scene), atomic=atomic) == rehearsed
        assert (rehearsed.posted, rehearsed.failed) == (0 if atomic else 10, 7)

    async def test_it_releases_nothing_from_the_cache(self, database: SqlDatabase, ledger: Ledger) -> None:
        released: list[Collection[str]] = []

        async def release(tags: Collection[str]) -> None:
            released.append(tags)

        importer = Importer(SqlUnitOfWorkFactory(database, release))
        product = await ledger.product()
        lines = ["sku,name", f"{product.sku},Rye", f"{code('SKU')},Bread"]
        await load(importer, lines, kind=ImportKind.PRODUCTS, dry_run=True)
        assert released == []
        await load(importer, lines, kind=ImportKind.PRODUCTS)
        assert len(released) == 1

    async def test_its_report_is_noted(self, importer: Importer, ledger: Ledger, journal: StoredJournal) -> None:
        scene = await stage(ledger)
        report = await load(importer, rows_of(scene), dry_run=True, journal=journal)
        assert report.posted == 10
        assert await load(importer, rows_of(scene), dry_run=True, journal=journal) == report
        assert await on_hand(ledger, scene) == [0, 0]
        assert len(await journal.done()) == BATCHES

    async def test_products_and_places_are_rehearsed(self, importer: Importer, ledger: Ledger) -> None:
        product, name = await ledger.product(), code("W")
        lines = ["sku,name", f"{product.sku},Rye", f"{name},Bread"]
        report = await load(importer, lines, kind=ImportKind.PRODUCTS, dry_run=True)
        assert (report.created, report.updated) == (1, 1)
        places = ["warehouse,code,parent", f"{name},A,", f"{name},B,", f"{name},C,", f"{name},D,", f"{name},E,A"]
        report = await load(importer, places, kind=ImportKind.LOCATIONS, dry_run=True)
        assert (report.created, report.failed) == (5, 0)
        async with ledger.uow(read_only=True) as uow:
            assert await uow.products.by_sku(product.sku) == product
            assert await uow.products.by_sku(name) is None
            assert await uow.warehouses.by_code(name) is None
