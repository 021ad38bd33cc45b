"""Tables as XLSX, written as a stream. Why not with a library: docs/decisions/0019-exports.md."""

from collections.abc import Iterable, Sequence
from string import ascii_uppercase
from zipfile import ZIP_DEFLATED, ZipFile

from warehouse.exchange.columns import Column, values_by_column
from warehouse.exchange.outbox import Outbox
from warehouse.exchange.xlsx_cells import cells, header_cell
from warehouse.exchange.xlsx_parts import SHEET_BEGIN, SHEET_END, parts, sheet_name

SHEET_ROWS = 1_048_576
SHEET_BYTES = 2_000_000_000
"""Of XML, about: beyond 2 GiB the archive would need extensions that Excel does not read in a stream."""
COMPRESSION = 4


class XlsxWriter:
    """Texts are texts, whatever they look like, numbers are numbers, and times and days are Excel's own, in UTC. A
    table too long for one sheet goes on in the next, under the same header.

    Raises `Invalid` for a text that no cell can hold.
    """

    def __init__(
        self, columns: Sequence[Column], title: str, sheet_rows: int = SHEET_ROWS, sheet_bytes: int = SHEET_BYTES
    ) -> None:
        self._columns = columns
        self._contents = [column.content for column in columns]
        self._letters = ascii_uppercase[: len(columns)]
        self._title = title
        self._titles: list[str] = []
        self._rows_left = 0
        self._bytes_left = 0
        self._sheet_rows = sheet_rows
        self._sheet_bytes = sheet_bytes
        self._outbox = Outbox()
        self._archive = _Archive(self._outbox, "w", ZIP_DEFLATED, compresslevel=COMPRESSION)

    def begin(self) -> bytes:
        self._begin_sheet()
        return self._outbox.take()

    def write(self, rows: Sequence[str]) -> bytes:
        while rows:
            if self._rows_left == 0 or self._bytes_left <= 0:
                self._end_sheet()
                self._begin_sheet()
            some, rows = rows[: self._rows_left], rows[self._rows_left :]
            values = values_by_column(self._columns, some)
            self._write_rows([cells(*column) for column in zip(self._contents, values, strict=True)])
        return self._outbox.take()

    def end(self) -> bytes:
        self._end_sheet()
        for name, content in parts(self._titles):
            self._archive.writestr(name, content)
        self._archive.close()
        return self._outbox.take()

    def _begin_sheet(self) -> None:
        number = len(self._titles) + 1
        self._titles.append(self._title if number == 1 else f"{self._title} {number}")
        self._sheet = self._archive.open(sheet_name(number), "w")
        self._rows_left, self._bytes_left = self._sheet_rows, self._sheet_bytes
        self._write(SHEET_BEGIN)
        self._write_rows([[header_cell(column.name)] for column in self._columns])

    def _end_sheet(self) -> None:
        self._write(SHEET_END)
        self._sheet.close()

    def _write_rows(self, cells_by_column: Sequence[Sequence[str]]) -> None:
        first = self._sheet_rows - self._rows_left + 1
        rows = [self._row(number, row) for number, row in enumerate(zip(*cells_by_column, strict=True), first)]
        self._rows_left -= len(rows)
        self._write("".join(rows))

    def _row(self, number: int, row: Iterable[str]) -> str:
        filled = [f'<c r="{letter}{number}"{cell}' for letter, cell in zip(self._letters, row, strict=True) if cell]
        return f'<row r="{number}">{"".join(filled)}</row>'

    def _write(self, xml: str) -> None:
        content = xml.encode()
        self._bytes_left -= len(content)
        self._sheet.write(content)


class _Archive(ZipFile):
    def __del__(self) -> None:
        """Where an export was given up nobody wants its end."""
