"""A file of rows, CSV or NDJSON, read in flat memory whatever is in it.

A fault of one row is an item among the rows, and the rows behind it are read on. Only what leaves no sense in reading
on ends the file, by raising.
"""

import codecs
import csv
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, takewhile
from pathlib import PurePath
from typing import Any, BinaryIO, Protocol

import orjson

from warehouse.errors import FieldError, Invalid, TooLarge
from warehouse.exchange.cells import restored
from warehouse.exchange.compression import decompressed

COMPRESSED = (".gz", ".zst")
JSON_LINES = (".ndjson", ".jsonl")


@dataclass(frozen=True, slots=True)
class ReadingLimits:
    """`bytes` counts what comes out of the compression; `record` is the bytes of one row with all its lines."""

    bytes: int = 4 * 1024**3
    record: int = 1024**2
    columns: int = 1000


@dataclass(slots=True)
class Row:
    """`line` is the one that the row begins in, the first line of the file being 1."""

    line: int
    values: dict[str, Any]


@dataclass(frozen=True, slots=True)
class RowError:
    """What is wrong with a row, and in which column if it is in one."""

    line: int
    column: str | None
    code: str
    detail: str


class Table(Protocol):
    """Rows, to be gone through once. Going through them raises `Invalid` or `TooLarge` where the file ends in a fault,
    and what stands at `line` and beyond has then not been read."""

    @property
    def columns(self) -> Sequence[str] | None:
        """None where each row names its own."""
        ...

    @property
    def line(self) -> int:
        """The line in which the record begins that was read last, or is being read."""
        ...

    def __iter__(self) -> Iterator[Row | RowError]: ...


def open_table(stream: BinaryIO, name: str, limits: ReadingLimits) -> Table:
    """The rows of a seekable stream from where it stands. The file's name tells CSV (.csv) from NDJSON (.ndjson,
    .jsonl), or its first character if the name does not; what it is compressed with, it tells itself.

    Raises `Invalid` for a header that cannot be, or damaged compression; `TooLarge` beyond the limits.
    """
    chunks = decompressed(stream, limits.bytes)
    first = next(chunks, b"")
    blocks = _blocks(chain((first,), chunks), limits.record)
    if _is_json_lines(name, first):
        return JsonLinesTable(blocks, limits)
    return CsvTable(blocks, limits)


def _is_json_lines(name: str, content: bytes) -> bool:
    path = PurePath(name.lower())
    suffix = path.with_suffix("").suffix if path.suffix in COMPRESSED else path.suffix
    if suffix in (".csv", *JSON_LINES):
        return suffix in JSON_LINES
    return content.removeprefix(codecs.BOM_UTF8).lstrip().startswith(b"{")


def _blocks(chunks: Iterable[bytes], longest: int) -> Iterator[list[bytes]]:
    """Whole lines with their endings, as many at a time as a chunk completes."""
    number, rest = 1, b""
    for chunk in chunks:
        lines = (rest + chunk).splitlines(keepends=True)
        # A line that ends in CR may yet turn out to end in CR LF.
        rest = lines.pop() if lines and not lines[-1].endswith(b"\n") else b""
        good = _until_too_long(lines, longest)
        yield good
        number += len(good)
        if len(good) < len(lines) or len(rest) > longest:
            raise _too_long(number, longest)
    yield [rest] if rest else []


def _until_too_long(lines: list[bytes], longest: int) -> list[bytes]:
    if max(map(len, lines), default=0) <= longest:
        return lines
    return list(takewhile(lambda line: len(line) <= longest, lines))


def _too_long(line: int, longest: int) -> TooLarge:
    detail = f"The row in line {line} is longer than {longest} bytes."
    return TooLarge(detail, errors=[FieldError("/file", "too_long", detail)])


def _invalid(code: str, detail: str) -> Invalid:
    return Invalid(detail, errors=[FieldError("/file", code, detail)])


class CsvTable:
    """RFC 4180 with a header: commas, double quotes, and any of the three line endings. A cell that was neutralised
    (`warehouse.exchange.cells`) is read as what it was."""

    def __init__(self, blocks: Iterable[list[bytes]], limits: ReadingLimits) -> None:
        self.line = 0
        self._limits = limits
        self._record = 0
        self._flaw: tuple[str, str] | None = None
        self._reader = csv.reader(self._text(blocks), strict=True)
        self.columns = self._header()

    def __iter__(self) -> Iterator[Row | RowError]:
        columns, width = self.columns, len(self.columns)
        while (fields := self._next()) is not None:
            if isinstance(fields, RowError):
                yield fields
            elif len(fields) == width:
                yield Row(self.line, dict(zip(columns, map(restored, fields), strict=True)))
            elif fields:
                detail = f"The row has {len(fields)} fields, the header {width}."
                yield RowError(self.line, None, "ragged", detail)

    def _text(self, blocks: Iterable[list[bytes]]) -> Iterator[str]:
        """Lines as text. What is wrong with one is left in `_flaw` for the record that it belongs to."""
        position = 0
        for line in chain.from_iterable(blocks):
            self._record += len(line)
            if self._record > self._limits.record:
                raise _too_long(self.line, self._limits.record)
            try:
                text = line.decode()
            except UnicodeDecodeError as error:
                text = line.decode(errors="replace")
                self._flaw = self._flaw or ("not_utf8", _not_utf8(line[error.start], position + error.start))
            if "\0" in text:
                self._flaw = self._flaw or ("control_character", f"NUL at byte {position + line.find(0)} of the text.")
            yield text if position else text.removeprefix("\ufeff")
            position += len(line)

    def _next(self) -> list[str] | RowError | None:
        """The fields of the next record; none for an empty line. None at the end."""
        self.line = self._reader.line_num + 1
        self._record, self._flaw = 0, None
        try:
            fields = next(self._reader, None)
        except csv.Error as error:
            return self._broken(error)
        return fields if self._flaw is None else RowError(self.line, None, *self._flaw)

    def _broken(self, error: csv.Error) -> RowError:
        last = self._reader.line_num
        if last > self.line and self._record > csv.field_size_limit():
            raise _invalid("malformed_csv", f"A quote that opens in line {self.line} is not closed by line {last}.")
        lines = f" (lines {self.line} to {last})" if last > self.line else ""
        return RowError(self.line, None, "malformed_csv", f"The row is not CSV{lines}: {error}.")

    def _header(self) -> tuple[str, ...]:
        fields: list[str] | RowError | None = []
        while fields == []:
            fields = self._next()
        if isinstance(fields, RowError):
            raise _invalid(fields.code, f"Line {fields.line}, the header: {fields.detail}")
        columns = tuple(name.strip() for name in fields or ())
        self._check_header(columns)
        return columns

    def _check_header(self, columns: tuple[str, ...]) -> None:
        if not columns:
            raise _invalid("empty", "The file is empty; its first line must be a header.")
        if len(columns) > self._limits.columns:
            raise _invalid(
                "too_many", f"The header has {len(columns)} columns; at most {self._limits.columns} are read."
            )
        if "" in columns:
            raise _invalid("missing", f"Column {columns.index('') + 1} of the header has no name.")
        if twice := next((name for index, name in enumerate(columns) if name in columns[:index]), None):
            raise _invalid("duplicate", f"The header names the column {twice[:64]!r} twice.")


class JsonLinesTable:
    """One JSON object a line."""

    columns = None

    def __init__(self, blocks: Iterable[list[bytes]], limits: ReadingLimits) -> None:
        self.line = 0
        self._limits = limits
        self._lines = chain.from_iterable(blocks)

    def __iter__(self) -> Iterator[Row | RowError]:
        for line in self._lines:
            self.line += 1
            text = line.removeprefix(codecs.BOM_UTF8).strip()
            if text:
                yield self._row(text)

    def _row(self, text: bytes) -> Row | RowError:
        try:
            values = orjson.loads(text)
        except orjson.JSONDecodeError as error:
            return RowError(self.line, None, *_json_flaw(text, error))
        if not isinstance(values, dict):
            return RowError(self.line, None, "malformed_json", "The line is not a JSON object.")
        if len(values) > self._limits.columns:
            detail = f"The row has {len(values)} fields; at most {self._limits.columns} are read."
            return RowError(self.line, None, "too_many", detail)
        return Row(self.line, values)


def _json_flaw(text: bytes, error: orjson.JSONDecodeError) -> tuple[str, str]:
    try:
        text.decode()
    except UnicodeDecodeError as flaw:
        return "not_utf8", _not_utf8(text[flaw.start], flaw.start, "line")
    return "malformed_json", f"The line is not JSON: {error.msg}, at character {error.pos + 1}."


def _not_utf8(byte: int, position: int, whole: str = "text") -> str:
    return f"Byte 0x{byte:02X} at position {position} of the {whole} is not UTF-8."
