"""An import file in batches, read in threads."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import Any, BinaryIO

from warehouse.errors import Invalid, TooLarge
from warehouse.exchange.reading import count_rows, open_table
from warehouse.exchange.renaming import Renaming
from warehouse.exchange.rows import RowReader
from warehouse.exchange.tables import ReadingLimits, Row, RowError
from warehouse.exchange.threads import in_thread, settled

ReaderFactory = Callable[[Sequence[str] | None], RowReader[Any]]


@dataclass(frozen=True, slots=True)
class ImportFile:
    """A seekable stream that begins at `start`. `columns` is from the file's names to ours."""

    stream: BinaryIO
    name: str
    start: int
    limits: ReadingLimits
    columns: Mapping[str, str]
    sheet: str | None

    def count_rows(self) -> int | None:
        self.stream.seek(self.start)
        return count_rows(self.stream, self.name, self.limits, self.sheet)


@dataclass(slots=True)
class Batch:
    """`lines` are those of the `items`; `failed` rows gave none."""

    rows: int = 0
    failed: int = 0
    lines: list[int] = field(default_factory=list)
    items: list[Any] = field(default_factory=list)
    errors: list[RowError] = field(default_factory=list)
    complete: bool = True


class Batches:
    """One pass through a file; opening and reading it block. Errors name columns as the file does.

    Raises `Invalid` or `TooLarge` where the file cannot be read at all.
    """

    def __init__(self, file: ImportFile, reader_of: ReaderFactory, size: int) -> None:
        self._size = size
        self._renaming = Renaming(file.columns, file.limits.columns)
        file.stream.seek(file.start)
        self._table = open_table(file.stream, file.name, file.limits, self._renaming, file.sheet)
        self._rows = iter(self._table)
        try:
            self._reader = reader_of(self._table.columns)
        except BaseException:
            self._table.close()
            raise

    @property
    def ignored_columns(self) -> list[str]:
        return [self._renaming.theirs(column) for column in self._reader.ignored]

    async def ahead(self) -> AsyncGenerator[Batch, None]:
        """While one batch is worked on, the next one is read."""
        upcoming = asyncio.create_task(in_thread(self.read))
        try:
            while (batch := await upcoming).rows:
                upcoming = asyncio.create_task(in_thread(self.read))
                yield batch
        finally:
            await settled(upcoming)

    def read(self) -> Batch:
        """The next rows; none at the end of the file."""
        batch = Batch()
        try:
            for row in islice(self._rows, self._size):
                self._take(batch, row)
        except (Invalid, TooLarge) as error:
            fault = error.errors[0]
            self._fail(batch, [RowError(self._table.line, None, fault.code, f"{fault.detail} Reading ended here.")])
            batch.complete = False
        return batch

    def column(self, field: str) -> str:
        """The file's column in which a field of an item stands."""
        return self._renaming.theirs(self._reader.column(field))

    def close(self) -> None:
        self._table.close()
        self._reader.close()

    def _take(self, batch: Batch, row: Row | RowError) -> None:
        if isinstance(row, RowError):
            self._fail(batch, [row])
            return
        item = self._reader.read(row)
        if isinstance(item, list):
            self._fail(batch, [self._theirs(error) for error in item] if self._renaming else item)
            return
        batch.rows += 1
        batch.lines.append(row.line)
        batch.items.append(item)

    def _fail(self, batch: Batch, errors: Collection[RowError]) -> None:
        batch.rows += 1
        batch.failed += 1
        batch.errors += errors

    def _theirs(self, error: RowError) -> RowError:
        return replace(error, column=error.column and self._renaming.theirs(error.column))
