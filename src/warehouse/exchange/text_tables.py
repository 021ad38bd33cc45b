"""CSV and NDJSON, read in flat memory whatever is in it."""

import codecs
import csv
from collections.abc import Iterable, Iterator
from itertools import chain, takewhile
from typing import Any

import orjson

from warehouse.exchange.cells import all_restored
from warehouse.exchange.renaming import Renaming
from warehouse.exchange.tables import ReadingLimits, Row, RowError, check_header, invalid, too_long


def blocks(chunks: Iterable[bytes], longest: int) -> Iterator[list[bytes]]:
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
            raise too_long(number, longest)
    yield [rest] if rest else []


def _until_too_long(lines: list[bytes], longest: int) -> list[bytes]:
    if max(map(len, lines), default=0) <= longest:
        return lines
    return list(takewhile(lambda line: len(line) <= longest, lines))


class CsvTable:
    """RFC 4180 with a header: commas, double quotes, and any of the three line endings. A cell that was neutralised
    (`warehouse.exchange.cells`) is read as what it was."""

    def __init__(self, blocks: Iterable[list[bytes]], limits: ReadingLimits, renaming: Renaming) -> None:
        self.line = 0
        self._limits = limits
        self._record = 0
        self._flaw: tuple[str, str] | None = None
        self._reader = csv.reader(self._text(blocks), strict=True)
        self._names = renaming.header(self._header())
        self.columns = tuple(name for name in self._names if name)

    def __iter__(self) -> Iterator[Row | RowError]:
        names, width, leaves_out = self._names, len(self._names), "" in self._names
        while (fields := self._next()) is not None:
            if isinstance(fields, RowError):
                yield fields
            elif len(fields) == width:
                values = dict(zip(names, all_restored(fields)))  # noqa: B905 - they are as many, and asking again costs
                if leaves_out:
                    del values[""]
                yield Row(self.line, values)
            elif fields:
                detail = f"The row has {len(fields)} fields, the header {width}."
                yield RowError(self.line, None, "ragged", detail)

    def close(self) -> None:
        pass

    def _text(self, blocks: Iterable[list[bytes]]) -> Iterator[str]:
        """Lines as text. What is wrong with one is left in `_flaw` for the record that it belongs to."""
        position, longest = 0, self._limits.record
        for line in chain.from_iterable(blocks):
            self._record += len(line)
            if self._record > longest:
                raise too_long(self.line, longest)
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
            raise invalid("malformed_csv", f"A quote that opens in line {self.line} is not closed by line {last}.")
        lines = f" (lines {self.line} to {last})" if last > self.line else ""
        return RowError(self.line, None, "malformed_csv", f"The row is not CSV{lines}: {error}.")

    def _header(self) -> tuple[str, ...]:
        fields: list[str] | RowError | None = []
        while fields == []:
            fields = self._next()
        if isinstance(fields, RowError):
            raise invalid(fields.code, f"Line {fields.line}, the header: {fields.detail}")
        columns = tuple(name.strip() for name in fields or ())
        check_header(columns, self._limits)
        return columns


class JsonLinesTable:
    """One JSON object a line."""

    columns = None

    def __init__(self, blocks: Iterable[list[bytes]], limits: ReadingLimits, renaming: Renaming) -> None:
        self.line = 0
        self._limits = limits
        self._renaming = renaming
        self._lines = chain.from_iterable(blocks)

    def __iter__(self) -> Iterator[Row | RowError]:
        for line in self._lines:
            self.line += 1
            text = line.removeprefix(codecs.BOM_UTF8).strip()
            if text:
                yield self._row(text)

    def close(self) -> None:
        pass

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
        return self._renamed(values) if self._renaming else Row(self.line, values)

    def _renamed(self, values: dict[str, Any]) -> Row | RowError:
        if (column := self._renaming.clash(values)) is not None:
            return RowError(self.line, column, "duplicate", "The row has a column of this one's new name too.")
        return Row(self.line, self._renaming.row(values))


def _json_flaw(text: bytes, error: orjson.JSONDecodeError) -> tuple[str, str]:
    try:
        text.decode()
    except UnicodeDecodeError as flaw:
        return "not_utf8", _not_utf8(text[flaw.start], flaw.start, "line")
    return "malformed_json", f"The line is not JSON: {error.msg}, at character {error.pos + 1}."


def _not_utf8(byte: int, position: int, whole: str = "text") -> str:
    return f"Byte 0x{byte:02X} at position {position} of the {whole} is not UTF-8."
