"""Tables out of the database, as files of one moment: in flat memory, however long they are."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping, Sequence
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from importlib.util import find_spec
from typing import Protocol, TypeAlias

from warehouse.catalogue.model import ProductFilter
from warehouse.errors import field_error
from warehouse.exchange.columns import BALANCE_COLUMNS, MOVEMENT_COLUMNS, PRODUCT_COLUMNS, Column
from warehouse.exchange.csv_writing import CsvWriter
from warehouse.exchange.ndjson_writing import NdjsonWriter
from warehouse.exchange.repository import Selection, Snapshot, SnapshotFactory
from warehouse.exchange.xlsx_writing import XlsxWriter
from warehouse.stock.model import BalanceFilter, MovementFilter

Criteria: TypeAlias = ProductFilter | BalanceFilter | MovementFilter

Progress = Callable[[int, int], None]
"""Is told after every batch how many rows are done, and of how many."""


class ExportKind(StrEnum):
    PRODUCTS = "products"
    STOCK = "stock"
    MOVEMENTS = "movements"


class ExportFormat(StrEnum):
    CSV = "csv"
    NDJSON = "ndjson"
    XLSX = "xlsx"
    PARQUET = "parquet"

    @property
    def media_type(self) -> str:
        return _MEDIA_TYPES[self]

    def demand(self) -> None:
        """Raises `Invalid` where it cannot be written here."""
        if self is ExportFormat.PARQUET and find_spec("pyarrow") is None:
            detail = "Parquet needs pyarrow, which is not installed: the extra `parquet` of the package brings it."
            raise field_error("?format", "not_installed", detail)


@dataclass(frozen=True, slots=True)
class ExportRequest:
    """The filters are those of the lists; their type says what is to be exported."""

    criteria: Criteria
    format: ExportFormat

    @property
    def kind(self) -> ExportKind:
        match self.criteria:
            case ProductFilter():
                return ExportKind.PRODUCTS
            case BalanceFilter():
                return ExportKind.STOCK
            case MovementFilter():
                return ExportKind.MOVEMENTS


@dataclass(frozen=True, slots=True)
class Export:
    """`pieces` are the file's bytes, to be gone through once and while the export is open. `rows` it has when it is
    complete, and `moment` is that of everything in it."""

    name: str
    media_type: str
    moment: datetime
    rows: int
    pieces: AsyncIterator[bytes]


class Exporter:
    def __init__(self, snapshots: SnapshotFactory) -> None:
        self._snapshots = snapshots

    @asynccontextmanager
    async def open(self, request: ExportRequest, progress: Progress | None = None) -> AsyncIterator[Export]:
        """An export is open as long as its snapshot is. It can be left at any time.

        Raises `Invalid` for a format that cannot be written here, and `Unavailable` where the database does not
        answer. Going through the pieces raises `Unavailable` too, and `Invalid` where the format cannot hold a value.
        """
        request.format.demand()
        async with self._snapshots() as snapshot:
            selection, moment = _selected(snapshot, request.criteria), snapshot.moment
            rows, writer = await selection.count(), _WRITERS[request.format](request.kind)
            async with aclosing(_pieces(selection, writer, rows, progress)) as pieces:
                name = f"{request.kind}-{moment:%Y%m%dT%H%M%SZ}.{request.format}"
                yield Export(name, request.format.media_type, moment, rows, pieces)


class TableWriter(Protocol):
    """Writes a table as a file, a piece at a time; a piece can be empty."""

    def begin(self) -> bytes: ...

    def write(self, rows: Sequence[str]) -> bytes:
        """`rows` are JSON objects of the wire."""
        ...

    def end(self) -> bytes: ...


async def _pieces(
    selection: Selection, writer: TableWriter, total: int, progress: Progress | None
) -> AsyncGenerator[bytes, None]:
    done = 0
    yield await asyncio.to_thread(writer.begin)
    async with aclosing(selection.batches()) as batches:
        async for rows in batches:
            if piece := await asyncio.to_thread(writer.write, rows):
                yield piece
            done += len(rows)
            if progress:
                progress(done, total)
    yield await asyncio.to_thread(writer.end)


def _selected(snapshot: Snapshot, criteria: Criteria) -> Selection:
    match criteria:
        case ProductFilter():
            return snapshot.products(criteria)
        case BalanceFilter():
            return snapshot.balances(criteria)
        case MovementFilter():
            return snapshot.movements(criteria)


def _parquet(kind: ExportKind) -> TableWriter:
    # Not everybody has it, and whoever has it need not load it before it is wanted.
    from warehouse.exchange.parquet_writing import ParquetWriter

    return ParquetWriter(_COLUMNS[kind])


_COLUMNS: Mapping[ExportKind, Sequence[Column]] = {
    ExportKind.PRODUCTS: PRODUCT_COLUMNS,
    ExportKind.STOCK: BALANCE_COLUMNS,
    ExportKind.MOVEMENTS: MOVEMENT_COLUMNS,
}
_WRITERS: Mapping[ExportFormat, Callable[[ExportKind], TableWriter]] = {
    ExportFormat.CSV: lambda kind: CsvWriter(_COLUMNS[kind]),
    ExportFormat.NDJSON: lambda _: NdjsonWriter(),
    ExportFormat.XLSX: lambda kind: XlsxWriter(_COLUMNS[kind], kind),
    ExportFormat.PARQUET: _parquet,
}
_MEDIA_TYPES: Mapping[ExportFormat, str] = {
    ExportFormat.CSV: "text/csv; charset=utf-8",
    ExportFormat.NDJSON: "application/x-ndjson",
    ExportFormat.XLSX: "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
    ExportFormat.PARQUET: "application/vnd.apache.parquet",
}
