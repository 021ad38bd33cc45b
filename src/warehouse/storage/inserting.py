"""Rows by the thousand, where the driver's own way would take longer than the database."""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any, Self
from uuid import UUID

from sqlalchemy import Dialect
from sqlalchemy.sql.dml import Insert

from warehouse.storage.connection import Connection
from warehouse.storage.dialects import MYSQL_NAMES

Row = Sequence[Any]
STATEMENT_CHARACTERS = 1_000_000
"""Of one statement, as servers bound its size: `max_allowed_packet` is 16 MB by default."""


@dataclass(frozen=True, slots=True)
class Insertion:
    """An INSERT, or an upsert, of many rows, all but sent.

    For MySQL the rows are written into the statement here: SQLAlchemy and PyMySQL take five times as long to do so.
    """

    statement: Insert
    parameters: Sequence[Mapping[str, Any]]
    texts: Sequence[str]
    """With the rows in them, and then there are no parameters."""

    @classmethod
    def of(cls, dialect: Dialect, statement: Insert, rows: Sequence[Row]) -> Self:
        """Each row has a value for every column of the table, in their order: ids, times, text, whole numbers, truth
        values and None."""
        if dialect.name not in MYSQL_NAMES:
            names = statement.table.columns.keys()
            return cls(statement, [dict(zip(names, row, strict=True)) for row in rows], ())
        head, tail = _parts(statement, dialect)
        return cls(statement, (), [f"{head}{some}{tail}" for some in _statements(map(_literals, rows))])

    async def run(self, connection: Connection) -> None:
        if self.parameters:
            await connection.execute(self.statement, self.parameters)
        for text in self.texts:
            await connection.exec_driver_sql(text)


@lru_cache(64)
def _parts(statement: Insert, dialect: Dialect) -> tuple[str, str]:
    """What stands before and behind the rows."""
    names = statement.table.columns.keys()
    compiled = str(statement.compile(dialect=dialect, column_keys=names))
    head, row, tail = compiled.partition(f"({', '.join(['%s'] * len(names))})")
    if not row or "%s" in tail:
        raise ValueError(f"not an INSERT of all columns alone: {compiled}")
    return head, tail


def _statements(rows: Iterator[str]) -> Iterator[str]:
    """The rows of each of as few statements as may be."""
    some: list[str] = []
    characters = 0
    for row in rows:
        if some and characters + len(row) > STATEMENT_CHARACTERS:
            yield ",".join(some)
            some, characters = [], 0
        some.append(row)
        characters += len(row)
    yield ",".join(some)


def _literals(row: Row) -> str:
    return f"({','.join([_LITERALS[type(value)](value) for value in row])})"


def _id(value: UUID) -> str:
    return f"x'{value.int:032x}'"


@lru_cache(1024)
def _moment(value: datetime) -> str:
    return f"'{value.astimezone(UTC).replace(tzinfo=None).isoformat(' ')}'"


def _text(value: str) -> str:
    """In hexadecimal digits there is nothing to escape, whatever `sql_mode` says of backslashes."""
    return f"'{value}'" if _PLAIN.fullmatch(value) else f"_utf8mb4 x'{value.encode().hex()}'"


_PLAIN = re.compile(r"[A-Za-z0-9 .,:;/_-]*", re.ASCII)


def _null(_: None) -> str:
    return "NULL"


class _Literals(dict[type, Callable[[Any], str]]):
    """By the type of the value, or what that derives from, as enumerations do from text."""

    def __missing__(self, kind: type) -> Callable[[Any], str]:
        found = [literal for base, literal in self.items() if issubclass(kind, base)]
        if not found:
            raise TypeError(f"no literal for {kind}")
        self[kind] = found[0]
        return found[0]


_LITERALS = _Literals(
    {
        UUID: _id,
        datetime: _moment,
        str: _text,
        int: lambda value: str(int(value)),
        bool: lambda value: str(int(value)),
        type(None): _null,
    }
)
