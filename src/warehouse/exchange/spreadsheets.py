"""The rows of a sheet, as a CSV file of it would have them, but for its dates, which are dates.

A merged cell's value is in its first cell, the others are blank. Of a formula the value counts that was saved with it.
Hidden rows and columns are rows and columns.
"""

import re
from collections.abc import Iterator, Mapping
from typing import BinaryIO

from warehouse.exchange.renaming import Renaming
from warehouse.exchange.shared_strings import SharedStrings
from warehouse.exchange.sheet_cells import Cell, Cells, SheetCells, column_letters
from warehouse.exchange.tables import Flaw, ReadingLimits, Row, RowError, check_header, invalid
from warehouse.exchange.workbooks import Workbook
from warehouse.exchange.xml_parts import XmlPart

_AREA = re.compile(r"[A-Z]{1,3}([0-9]{1,7}):[A-Z]{1,3}([0-9]{1,7})")


class SpreadsheetTable:
    """The first row that is not blank is the header."""

    def __init__(self, stream: BinaryIO, limits: ReadingLimits, renaming: Renaming, sheet: str | None) -> None:
        self._limits = limits
        self._strings = SharedStrings()
        try:
            self._cells, self._rows = self._open(Workbook(stream, limits), sheet)
            names = self._header()
            ours = renaming.header(list(names.values()))
        except BaseException:
            self.close()
            raise
        self._names = dict(zip(names, ours, strict=True))
        self.columns = tuple(name for name in ours if name)

    @property
    def line(self) -> int:
        return self._cells.line

    def __iter__(self) -> Iterator[Row | RowError]:
        for line, cells in self._rows:
            if not _is_blank(cells):
                yield self._row(line, cells)

    def close(self) -> None:
        self._strings.close()

    def _open(self, workbook: Workbook, sheet: str | None) -> tuple[SheetCells, Iterator[tuple[int, Cells]]]:
        part = workbook.sheet(sheet).part
        if strings := workbook.part("sharedStrings"):
            self._strings.fill(workbook.pieces(strings), self._limits)
        cells = SheetCells(
            self._strings,
            workbook.date_styles(),
            counts_from_1904=workbook.counts_from_1904,
            longest=self._limits.record,
        )
        return cells, cells.rows(workbook.pieces(part))

    def _header(self) -> dict[int, str]:
        """The names by their columns. A column without one is none, as long as nothing stands in it."""
        line, cells = next(((line, cells) for line, cells in self._rows if not _is_blank(cells)), (0, []))
        names: dict[int, str] = {}
        for index, cell in cells:
            if isinstance(cell, Flaw):
                raise invalid(cell.code, f"Row {line}, the header, column {column_letters(index)}: {cell.detail}")
            if name := str(cell).strip():
                names[index] = name
        check_header(list(names.values()), self._limits)
        return names

    def _row(self, line: int, cells: Cells) -> Row | RowError:
        values: dict[str, Cell] = dict.fromkeys(self.columns, "")
        for index, cell in cells:
            name = self._names.get(index)
            if name:
                values[name] = cell
            elif name is None and not _is_blank([(index, cell)]):
                detail = f"Column {column_letters(index)} has a value, but no name in the header."
                return RowError(line, None, "ragged", detail)
        return Row(line, values)


def declared_rows(stream: BinaryIO, limits: ReadingLimits, sheet: str | None) -> int | None:
    """How many rows the sheet says that it has below its first, if it says anything."""
    found: list[int] = []
    is_past = False

    def dimension(attributes: Mapping[str, str]) -> None:
        if area := _AREA.fullmatch(attributes.get("ref", "")):
            found.append(int(area[2]) - int(area[1]))

    def pass_by(_: Mapping[str, str]) -> None:
        nonlocal is_past
        is_past = True

    workbook = Workbook(stream, limits)
    xml = XmlPart(limits.record, {"dimension": dimension, "sheetData": pass_by}, {})
    for piece in workbook.pieces(workbook.sheet(sheet).part):
        xml.feed(piece)
        if found or is_past:
            break
    return found[0] if found and found[0] > 0 else None


def _is_blank(cells: Cells) -> bool:
    return all(isinstance(cell, str) and (not cell or cell.isspace()) for _, cell in cells)
