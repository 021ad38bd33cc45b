"""Files of rows: CSV, NDJSON and XLSX, read in flat memory whatever is in them."""

import codecs
from collections.abc import Iterator
from enum import Enum, auto
from itertools import chain
from pathlib import PurePath
from typing import BinaryIO

from warehouse.errors import Invalid, TooLarge
from warehouse.exchange.compression import decompressed
from warehouse.exchange.renaming import Renaming
from warehouse.exchange.spreadsheets import SpreadsheetTable, declared_rows
from warehouse.exchange.tables import ReadingLimits, Table, invalid
from warehouse.exchange.text_tables import CsvTable, JsonLinesTable, blocks
from warehouse.exchange.workbooks import ZIP

COMPRESSED = (".gz", ".zst")


class _Format(Enum):
    CSV = auto()
    JSON_LINES = auto()
    SPREADSHEET = auto()


_SUFFIXES = {
    ".csv": _Format.CSV,
    ".ndjson": _Format.JSON_LINES,
    ".jsonl": _Format.JSON_LINES,
    ".xlsx": _Format.SPREADSHEET,
    ".xlsm": _Format.SPREADSHEET,
    ".xls": _Format.SPREADSHEET,
}


def open_table(
    stream: BinaryIO, name: str, limits: ReadingLimits, renaming: Renaming | None = None, sheet: str | None = None
) -> Table:
    """The rows of a seekable stream from where it stands. The file's name tells CSV (.csv), NDJSON (.ndjson, .jsonl)
    and workbooks (.xlsx, .xlsm) apart, or its first bytes if the name does not; what it is compressed with, it tells
    itself. `sheet` is the one of a workbook to be read, by default the first that is not hidden.

    Raises `Invalid` for a header that cannot be, or damaged compression; `TooLarge` beyond the limits.
    """
    renaming = renaming or Renaming({}, limits.columns)
    kind, content = _recognised(stream, name, limits)
    if kind is _Format.SPREADSHEET:
        return SpreadsheetTable(stream, limits, renaming, sheet)
    if sheet is not None:
        raise invalid("no_sheets", "Only an XLSX workbook has sheets to choose from.")
    lines = blocks(content, limits.record)
    return JsonLinesTable(lines, limits, renaming) if kind is _Format.JSON_LINES else CsvTable(lines, limits, renaming)


def count_rows(stream: BinaryIO, name: str, limits: ReadingLimits, sheet: str | None = None) -> int | None:
    """About how many rows the stream has, at a fraction of what reading them costs; the stream is left where it stands.

    Exact for CSV and NDJSON without empty lines; of a workbook it is what the sheet says of itself, which need not be
    true. None where it does not say, and where the file cannot be read.
    """
    start = stream.tell()
    try:
        kind, content = _recognised(stream, name, limits)
        if kind is _Format.SPREADSHEET:
            return declared_rows(stream, limits, sheet)
        return _count_lines(content, 1 if kind is _Format.CSV else 0)
    except (Invalid, TooLarge):
        # Reading it tells what is wrong with it.
        return None
    finally:
        stream.seek(start)


def _recognised(stream: BinaryIO, name: str, limits: ReadingLimits) -> tuple[_Format, Iterator[bytes]]:
    """The format, and what is in the file but for a workbook, which is read from the stream itself."""
    start = stream.tell()
    packed = stream.read(len(ZIP))
    stream.seek(start)
    pieces = decompressed(stream, limits.bytes)
    first = next(pieces, b"")
    kind = _named(name) or _looked_at(first)
    if kind is _Format.SPREADSHEET:
        if first[: len(ZIP)] != packed:
            raise invalid("compressed", "A workbook is compressed already: send it without another compression.")
        stream.seek(start)
    return kind, chain((first,), pieces)


def _named(name: str) -> _Format | None:
    path = PurePath(name.lower())
    return _SUFFIXES.get(path.with_suffix("").suffix if path.suffix in COMPRESSED else path.suffix)


def _looked_at(content: bytes) -> _Format:
    if content.startswith(ZIP):
        return _Format.SPREADSHEET
    is_json = content.removeprefix(codecs.BOM_UTF8).lstrip().startswith(b"{")
    return _Format.JSON_LINES if is_json else _Format.CSV


def _count_lines(pieces: Iterator[bytes], headers: int) -> int:
    """Line ends inside of quotes are not those of rows."""
    feeds, returns, quotes, last = 0, 0, 0, b"\n"
    for piece in pieces:
        parts = piece.split(b'"') if headers else [piece]
        outside = parts[quotes % 2 :: 2]
        feeds += sum(part.count(b"\n") for part in outside)
        if not feeds:
            returns += sum(part.count(b"\r") for part in outside)
        quotes += len(parts) - 1
        last = piece[-1:] or last
    return max(0, (feeds or returns) + (last not in b"\r\n") - headers)
