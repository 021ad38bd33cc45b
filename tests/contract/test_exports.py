"""Exports on every database."""

import asyncio
import io
import os
import random
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import aclosing, asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import openpyxl
import orjson
import pyarrow.parquet as pq
import pytest

from tests.conftest import FreshDatabase
from tests.contract.ledger import Ledger, code, command, line, move
from tests.contract.test_failures import end_connection, on_servers
from tests.contract.test_snapshots import all_work, connection_id
from tests.servers import Backend, DatabaseServer, Servers
from tests.unit.exchange.files import values
from tests.unit.exchange.tables import HOSTILE
from warehouse.catalogue.model import Product, ProductFilter, ProductSort, ProductStatus, Tracking
from warehouse.clock import utc_now
from warehouse.errors import Unavailable
from warehouse.exchange.exporting import Criteria, Export, Exporter, ExportFormat, ExportKind, ExportRequest
from warehouse.exchange.importing import Importer, ImportKind
from warehouse.exchange.repository import Selection
from warehouse.exchange.sql_exports import SqlSnapshotFactory
from warehouse.ids import new_id
from warehouse.settings import DatabaseSettings
from warehouse.stock.model import BalanceFilter, CommandHeader, MovementFilter, MovementSort
from warehouse.storage.database import SNAPSHOTS, SqlDatabase
from warehouse.storage.migrations import migrate
from warehouse.storage.sql import SqlUnitOfWorkFactory

CSV, NDJSON, XLSX, PARQUET = ExportFormat


@pytest.fixture
def exporter(database: SqlDatabase) -> Exporter:
    return Exporter(SqlSnapshotFactory(database))


@pytest.fixture
def server(servers: Servers, backend: Backend) -> DatabaseServer:
    return servers.database_server(backend)


async def exported(exporter: Exporter, criteria: Criteria, form: ExportFormat) -> tuple[Export, bytes]:
    async with exporter.open(ExportRequest(criteria, form)) as export:
        return export, b"".join([piece async for piece in export.pieces])


async def lines(exporter: Exporter, criteria: Criteria) -> list[str]:
    """The rows as texts of JSON."""
    export, content = await exported(exporter, criteria, NDJSON)
    found = content.decode().split("\n")[:-1]
    assert export.rows == len(found)
    return found


async def listed(ledger: Ledger, criteria: Criteria) -> list[str]:
    """What the lists have of it, page by page."""
    match criteria:
        case ProductFilter():
            return list(await ledger.catalogue.page(criteria, ProductSort.SKU, None, 1000))
        case BalanceFilter():
            return list(await ledger.queries.balances(criteria, None, 1000))
        case MovementFilter():
            return list(await ledger.queries.movements(criteria, MovementSort.RECORDED_AT, None, 1000))


def parsed(rows: Sequence[str]) -> list[dict[str, Any]]:
    return [orjson.loads(row) for row in rows]


class TestFilters:
    async def test_of_products_find_what_the_list_finds_by_sku(self, exporter: Exporter, ledger: Ledger) -> None:
        category, word = code("Category"), code("Word").replace("-", "")
        made = [await ledger.product(category=category, name=f"{word} {name}") for name in ("west", "north", "south")]
        tracked = await ledger.tracked(category=category)
        await ledger.archive(made[0])
        for criteria, expected in (
            (ProductFilter(category=category), [*made, tracked]),
            (ProductFilter(category=category, status=ProductStatus.ARCHIVED), [made[0]]),
            (ProductFilter(category=category, status=ProductStatus.ACTIVE, tracking=Tracking.NONE), made[1:]),
            (ProductFilter(category=category, tracking=Tracking.LOT), [tracked]),
            (ProductFilter(q=word), made),
            (ProductFilter(q=f"{word} north", status=ProductStatus.ACTIVE), [made[1]]),
            (ProductFilter(q=made[2].sku.lower()), [made[2]]),
            (ProductFilter(category="none"), []),
        ):
            found = await lines(exporter, criteria)
            assert found == await listed(ledger, criteria)
            assert [row["sku"] for row in parsed(found)] == sorted(product.sku for product in expected)

    async def test_of_stock_find_what_the_list_finds_by_key(self, exporter: Exporter, ledger: Ledger) -> None:
        product, there = await ledger.stocked(5, reorder_point=10)
        here = await ledger.location()
        lots = await ledger.tracked(reorder_point=1)
        await ledger.receive(line(product, 2, here), line(lots, 7, here, "L1"), line(lots, 1, there, "L2"))
        for criteria, count in (
            (BalanceFilter(product_id=product.id), 2),
            (BalanceFilter(sku=product.sku.lower()), 2),
            (BalanceFilter(warehouse_id=here.warehouse_id), 2),
            (BalanceFilter(location_id=there.id, lot="L2"), 1),
            (BalanceFilter(product_id=lots.id, lot="L1"), 1),
            (BalanceFilter(product_id=product.id, low=True), 2),
            (BalanceFilter(product_id=lots.id, low=True), 0),
            (BalanceFilter(warehouse_id=there.warehouse_id, low=True), 2),
            (BalanceFilter(sku="none"), 0),
        ):
            found = await lines(exporter, criteria)
            assert found == await listed(ledger, criteria)
            assert len(found) == count

    async def test_of_movements_find_what_the_list_finds_in_its_order(self, exporter: Exporter, ledger: Ledger) -> None:
        product, there = await ledger.stocked(5)
        here, past = await ledger.location(), datetime(2020, 1, 1, tzinfo=UTC)
        moved = await ledger.transfer(move(product, 2, there, here), reference=code())
        await ledger.receive(line(product, 1, here), occurred_at=past)
        for criteria, count in (
            (MovementFilter(product_id=product.id), 4),
            (MovementFilter(sku=product.sku.lower()), 4),
            (MovementFilter(sku=product.sku, location_id=here.id), 2),
            (MovementFilter(warehouse_id=there.warehouse_id), 2),
            (MovementFilter(command_id=moved.command_id), 2),
            (MovementFilter(reference=moved.movements[0].reference), 2),
            (MovementFilter(product_id=product.id, occurred_to=past + timedelta(seconds=1)), 1),
            (MovementFilter(product_id=product.id, occurred_from=past + timedelta(seconds=1)), 3),
            (MovementFilter(reference="none"), 0),
        ):
            found = await lines(exporter, criteria)
            assert found == await listed(ledger, criteria)
            assert len(found) == count

    async def test_of_nothing_find_everything(self, exporter: Exporter, ledger: Ledger) -> None:
        product, _ = await ledger.stocked(5)
        for criteria in (ProductFilter(), BalanceFilter(), MovementFilter()):
            rows = parsed(await lines(exporter, criteria))
            assert product.sku in [row["sku"] for row in rows]
            if isinstance(criteria, MovementFilter):
                assert rows == sorted(rows, key=lambda row: str(row["id"]))


class TestStock:
    async def test_what_expired_reservations_hold_does_not_count(self, exporter: Exporter, ledger: Ledger) -> None:
        product, location = await ledger.stocked(10)
        await ledger.reserve(line(product, 3, location))
        await ledger.lapse(await ledger.reserve(line(product, 4, location)))
        [row] = parsed(await lines(exporter, BalanceFilter(product_id=product.id)))
        assert (row["on_hand"], row["reserved"], row["available"]) == (10, 3, 7)

    async def test_is_of_one_moment_while_others_move_it(self, exporter: Exporter, ledger: Ledger) -> None:
        """Every transfer leaves the sum as it is, and so does every export."""
        async with transfers(ledger) as product:
            for _ in range(50):
                stock = parsed(await lines(exporter, BalanceFilter(product_id=product.id)))
                assert sum(row["on_hand"] for row in stock) == 100

    async def test_of_one_snapshot_is_what_its_movements_make(self, database: SqlDatabase, ledger: Ledger) -> None:
        async with transfers(ledger) as product:
            for _ in range(30):
                async with SqlSnapshotFactory(database)() as snapshot:
                    stock, sums = Counter[str](), Counter[str]()
                    for row in await rows_of(snapshot.balances(BalanceFilter(product_id=product.id))):
                        stock[row["location_id"]] += row["on_hand"]
                    for row in await rows_of(snapshot.movements(MovementFilter(product_id=product.id))):
                        sums[row["location_id"]] += row["delta"]
                assert stock == sums


@asynccontextmanager
async def transfers(ledger: Ledger) -> AsyncIterator[Product]:
    """Of a product, all the time, by several at once, between two locations which have 100 of it together."""
    product, one = await ledger.stocked(100)
    other, done, enough = await ledger.location(), asyncio.Event(), asyncio.Event()
    moved = 0

    async def move_about(chance: random.Random) -> None:
        nonlocal moved
        while not done.is_set():
            source, target = chance.sample([one, other], 2)
            lines = [move(product, chance.randint(1, 9), source, target)]
            outcome = await ledger.moving.transfer(command(str(new_id())), CommandHeader(), lines)
            moved += outcome.answer.status == 201
            if moved > 5:
                enough.set()

    movers = [asyncio.create_task(move_about(random.Random(seed))) for seed in range(4)]  # noqa: S311
    try:
        yield product
        await enough.wait()
    finally:
        done.set()
        await asyncio.gather(*movers)


async def rows_of(selection: Selection) -> list[dict[str, Any]]:
    count = await selection.count()
    async with aclosing(selection.batches()) as batches:
        rows = [row async for some in batches for row in parsed(some)]
    assert len(rows) == count
    return rows


class TestFiles:
    async def test_are_named_after_what_they_are_and_when(self, exporter: Exporter, ledger: Ledger) -> None:
        before = utc_now()
        for criteria, kind in (
            (ProductFilter(category="none"), ExportKind.PRODUCTS),
            (BalanceFilter(sku="none"), ExportKind.STOCK),
            (MovementFilter(sku="none"), ExportKind.MOVEMENTS),
        ):
            export, _ = await exported(exporter, criteria, CSV)
            assert ExportRequest(criteria, CSV).kind is kind
            assert before <= export.moment <= utc_now()
            assert export.name == f"{kind}-{export.moment:%Y%m%dT%H%M%S}Z.csv"
            assert export.media_type == "text/csv; charset=utf-8"

    async def test_tell_how_far_they_are(self, exporter: Exporter, ledger: Ledger) -> None:
        product, location = await ledger.stocked(5)
        await ledger.ship(line(product, 1, location))
        told: list[tuple[int, int]] = []
        request = ExportRequest(MovementFilter(product_id=product.id), CSV)
        async with exporter.open(request, lambda done, total: told.append((done, total))) as export:
            async for _ in export.pieces:
                pass
        assert told == [(2, 2)]

    async def test_say_the_same_in_every_format(self, exporter: Exporter, ledger: Ledger) -> None:
        product, location = await ledger.stocked(5, reorder_point=9)
        await ledger.ship(line(product, 2, location), reference="=1", occurred_at=datetime(2020, 1, 1, tzinfo=UTC))
        criteria = MovementFilter(product_id=product.id)
        wanted = parsed(await lines(exporter, criteria))
        assert [row["delta"] for row in wanted] == [5, -2]
        csv_rows = values((await exported(exporter, criteria, CSV))[1])
        assert csv_rows == [{name: text_of(value) for name, value in row.items()} for row in wanted]
        sheet = openpyxl.load_workbook(io.BytesIO((await exported(exporter, criteria, XLSX))[1])).active
        assert sheet is not None
        [header, *cells] = sheet.iter_rows(values_only=True)
        assert list(header) == list(wanted[0])
        columns = pq.read_table(io.BytesIO((await exported(exporter, criteria, PARQUET))[1])).to_pydict()
        for number, name in enumerate(wanted[0]):
            expected = [row[name] for row in wanted]
            if name.endswith("_at"):
                moments = [datetime.fromisoformat(text) for text in expected]
                assert columns[name] == moments
                assert [nearly(cell[number], moment) for cell, moment in zip(cells, moments, strict=True)] == [True] * 2
            else:
                assert columns[name] == expected
                assert [cell[number] for cell in cells] == expected

    async def test_of_nothing_have_a_header(self, exporter: Exporter, ledger: Ledger) -> None:
        nothing = ProductFilter(category="none")
        assert (await exported(exporter, nothing, CSV))[1].startswith(b"id,sku,name,")
        assert (await exported(exporter, nothing, NDJSON))[1] == b""
        book = openpyxl.load_workbook(io.BytesIO((await exported(exporter, nothing, XLSX))[1]))
        assert [row[1] for row in book["products"].iter_rows(values_only=True)] == ["sku"]
        table = pq.read_table(io.BytesIO((await exported(exporter, nothing, PARQUET))[1]))
        assert (table.num_rows, table.column_names[1]) == (0, "sku")


def text_of(value: Any) -> str:
    return "" if value is None else str(value)


def nearly(cell: Any, moment: datetime) -> bool:
    """A workbook has milliseconds and no time zone."""
    return isinstance(cell, datetime) and abs(cell.replace(tzinfo=UTC) - moment) < timedelta(milliseconds=1)


class TestRoundTrip:
    @pytest.mark.parametrize("form", [CSV, NDJSON, XLSX])
    async def test_products_are_the_same_in_an_empty_database(
        self,
        exporter: Exporter,
        ledger: Ledger,
        backend: Backend,
        fresh_database: FreshDatabase,
        form: ExportFormat,
    ) -> None:
        made = [product async for product in hostile(ledger)]
        criteria = ProductFilter(category=made[0].category)
        _, content = await exported(exporter, criteria, form)
        url = fresh_database(backend)
        await asyncio.to_thread(migrate, url)
        async with closed(SqlDatabase(url, DatabaseSettings())) as other:
            importer = Importer(SqlUnitOfWorkFactory(other))
            report = await importer.run(ImportKind.PRODUCTS, io.BytesIO(content), f"products.{form}")
            assert (report.created, report.errors) == (len(made), [])
            assert set(report.ignored_columns) == {"id", "version", "created_at", "updated_at"}
            async with SqlUnitOfWorkFactory(other)(read_only=True) as uow:
                found = await uow.products.find([], [product.sku for product in made])
        drafts = {product.sku: product.draft() for product in found}
        assert drafts == {product.sku: product.draft() for product in made}
        again = await Importer(ledger.uow).run(ImportKind.PRODUCTS, io.BytesIO(content), f"products.{form}")
        assert again.unchanged == len(made)


@asynccontextmanager
async def closed(database: SqlDatabase) -> AsyncIterator[SqlDatabase]:
    """In the end."""
    try:
        yield database
    finally:
        await database.close()


async def hostile(ledger: Ledger) -> AsyncIterator[Product]:
    category, unique = f"={code()}", code("")
    yield await ledger.product(category=category, sku=f"={unique}")
    yield await ledger.product(category=category, sku=f"'={unique}")
    yield await ledger.product(category=category, sku=f"''={unique}", barcodes=("=1", "-5"))
    yield await ledger.product(category=category, barcodes=("a|b", "c"), attributes={"=x": "=1", "n": 5, "t": True})
    yield await ledger.product(category=category, attributes={"sku": "x", "id": 0.5, "lines": " \n", "blank": ""})
    yield await ledger.tracked(category=category, status=ProductStatus.ARCHIVED, reorder_point=0, unit="'+")
    for text in HOSTILE:
        name = " ".join(text.split())
        yield await ledger.product(category=category, name=name, description=text.strip(), barcodes=("[1]",))


class TestInterruption:
    @pytest.mark.parametrize("form", ExportFormat)
    async def test_one_that_is_left_or_cancelled_leaves_nothing_behind(
        self, exporter: Exporter, ledger: Ledger, database: SqlDatabase, form: ExportFormat
    ) -> None:
        await ledger.stocked(5)
        before, waiting = open_files(), asyncio.Semaphore(0)

        async def read_and_wait(pieces: int) -> None:
            async with exporter.open(ExportRequest(MovementFilter(), form)) as export:
                for _ in range(pieces):
                    await anext(export.pieces)
                waiting.release()
                await asyncio.Event().wait()

        readers = [asyncio.create_task(read_and_wait(number % 2)) for number in range(SNAPSHOTS)]
        for _ in readers:
            await waiting.acquire()
        for reader in readers:
            reader.cancel()
        await asyncio.wait(readers)
        assert all(reader.cancelled() for reader in readers)
        for _ in range(2 * SNAPSHOTS):
            async with exporter.open(ExportRequest(MovementFilter(), form)) as export:
                assert await anext(export.pieces) is not None
        await all_work(database)
        assert open_files() <= before

    async def test_a_writer_that_fails_is_told_so_and_no_database(
        self, exporter: Exporter, database: SqlDatabase
    ) -> None:
        async def store() -> None:
            async with exporter.open(ExportRequest(ProductFilter(), CSV)) as export:
                async for _ in export.pieces:
                    raise OSError("The disk is full.")

        with pytest.raises(OSError, match="The disk is full"):
            await store()
        await all_work(database)

    @on_servers
    async def test_a_lost_connection_is_no_answer_of_the_database(
        self, database: SqlDatabase, server: DatabaseServer
    ) -> None:
        async def read() -> None:
            async with SqlSnapshotFactory(database)() as snapshot:
                number = await connection_id(snapshot._connection)
                end_connection(server, number)
                await snapshot.products(ProductFilter()).count()

        with pytest.raises(Unavailable):
            await read()
        await all_work(database)


def open_files() -> set[str]:
    """The files that this process has open which are no longer anywhere, or are temporary."""
    found = set()
    for file in Path("/proc/self/fd").iterdir():
        try:
            target = os.readlink(file)
        except FileNotFoundError:
            continue
        if "deleted" in target or target.startswith("/tmp"):  # noqa: S108
            found.add(target)
    return found
