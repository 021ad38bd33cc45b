"""What a file of rows is, whatever it is written in.

A fault of one row is an item among the rows, and the rows behind it are read on. Only what leaves no sense in reading
on ends the file, by raising.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from warehouse.errors import FieldError, Invalid, TooLarge


@dataclass(frozen=True, slots=True)
class ReadingLimits:
    """`bytes` counts what comes out of the compression, of a workbook all its parts; `record` is the bytes of one row
    with all its lines, in a workbook as XML; `strings` the texts that a workbook's cells share."""

    bytes: int = 4 * 1024**3
    record: int = 1024**2
    columns: int = 1000
    strings: int = 8 * 1024**2


@dataclass(slots=True)
class Row:
    """`line` is the one that the row begins in, the first line of the file being 1; in a workbook the sheet's row
    number. A value is text, from JSON whatever JSON has, and from a workbook also a `datetime` or a `Flaw`."""

    line: int
    values: dict[str, Any]


@dataclass(frozen=True, slots=True)
class RowError:
    """What is wrong with a row, and in which column if it is in one."""

    line: int
    column: str | None
    code: str
    detail: str


@dataclass(frozen=True, slots=True)
class Flaw:
    """In the place of a value that cannot be read. It is no fault of the row unless somebody asks for the value."""

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

    def close(self) -> None:
        """Let go of what was opened for reading, but not of the stream."""
        ...


def invalid(code: str, detail: str) -> Invalid:
    return Invalid(detail, errors=[FieldError("/file", code, detail)])


def too_large(detail: str) -> TooLarge:
    return TooLarge(detail, errors=[FieldError("/file", "too_long", detail)])


def too_long(line: int, longest: int) -> TooLarge:
    return too_large(f"The row in line {line} is longer than {longest} bytes.")


def check_header(names: Sequence[str], limits: ReadingLimits) -> None:
    """Raises `Invalid` for a header that cannot be."""
    if not names:
        raise invalid("empty", "The file is empty; its first line must be a header.")
    if len(names) > limits.columns:
        raise invalid("too_many", f"The header has {len(names)} columns; at most {limits.columns} are read.")
    if "" in names:
        raise invalid("missing", f"Column {names.index('') + 1} of the header has no name.")
    if twice := next((name for index, name in enumerate(names) if name in names[:index]), None):
        raise invalid("duplicate", f"The header names the column {twice[:64]!r} twice.")
