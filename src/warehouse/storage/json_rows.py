"""Rows as JSON, put together by the database: one text for each row, which goes out as it is.

Why, and what it saves: docs/decisions/0008-json-by-the-database.md.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy import ColumnElement, Date, Dialect, Integer, String, Text, literal_column
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import FunctionElement
from sqlalchemy.types import TypeEngine

from warehouse.storage.types import ExactText, HumanText, Id, JsonText, LongText, UtcDateTime


def json_object(members: Mapping[str, ColumnElement[Any]]) -> ColumnElement[str]:
    """The JSON text of an object with these members, in their order, each written by the type of its column, and as
    `warehouse.http.json.encode` writes its value. Names are plain identifiers, ids and times columns.

    Raises `TypeError` for a type that has no form in JSON.
    """
    for column in members.values():
        _form(column.type)
    return _JsonObject(*(part for name, column in members.items() for part in (literal_column(name), column)))


class _JsonObject(FunctionElement[str]):
    """Names and values in turn."""

    name = "json_row"
    type = Text()
    inherit_cache = True


@dataclass(frozen=True, slots=True)
class _Forms:
    """How one database writes what has this form in JSON; NULL remains NULL."""

    number: str
    """And JSON itself, which is kept as text or turns into it."""
    text: str
    identifier: str
    day: str
    moment: str
    """With six digits of the second, or none, as Python writes it."""
    joined: tuple[str, str, str]
    """What stands before, between and behind texts that are put together."""


_MYSQL = _Forms(
    number="{}",
    text="JSON_QUOTE({})",
    identifier="""CONCAT('"', BIN_TO_UUID({}), '"')""",
    day="""CONCAT('"', {}, '"')""",
    moment="""CONCAT('"', REPLACE(INSERT({}, 11, 1, 'T'), '.000000', ''), 'Z"')""",
    joined=("CONCAT(", ", ", ")"),
)
_MARIADB = replace(_MYSQL, identifier="""CONCAT('"', CAST({} AS UUID), '"')""")
_POSTGRESQL = _Forms(
    number="CAST({} AS TEXT)",
    text="CAST(to_json({}) AS TEXT)",
    identifier="""'"' || CAST({} AS TEXT) || '"'""",
    day="""'"' || to_char({}, 'YYYY-MM-DD') || '"'""",
    moment="""'"' || replace(to_char({}, 'YYYY-MM-DD"T"HH24:MI:SS.US'), '.000000', '') || 'Z"'""",
    joined=("", " || ", ""),
)
_SQLITE = _Forms(
    number="{}",
    text="json_quote({})",
    # hex(NULL) is an empty text.
    identifier="""CASE WHEN {0} IS NOT NULL THEN lower('"' || hex(substr({0}, 1, 4)) || '-' || hex(substr({0}, 5, 2))
        || '-' || hex(substr({0}, 7, 2)) || '-' || hex(substr({0}, 9, 2)) || '-' || hex(substr({0}, 11)) || '"') END""",
    day="""'"' || {} || '"'""",
    moment="""'"' || replace(replace({}, ' ', 'T'), '.000000', '') || 'Z"'""",
    joined=("", " || ", ""),
)


def _forms(dialect: Dialect) -> _Forms:
    # MariaDB also answers to the name of MySQL.
    if getattr(dialect, "is_mariadb", False):
        return _MARIADB
    return {"mysql": _MYSQL, "postgresql": _POSTGRESQL, "sqlite": _SQLITE}[dialect.name]


def _form(kind: TypeEngine[Any]) -> str:
    match kind:
        case Id():
            return "identifier"
        case UtcDateTime():
            return "moment"
        case Date():
            return "day"
        case Integer() | JsonText():
            return "number"
        case String() | ExactText() | HumanText() | LongText():
            return "text"
    raise TypeError(f"{kind!r} has no form in JSON")


@compiles(_JsonObject)
def _write(element: _JsonObject, compiler: SQLCompiler, **options: Any) -> str:
    options.pop("add_to_result_map", None)  # the values are no columns of the result
    forms, pieces, opening = _forms(compiler.dialect), [], "{"
    names, columns = list(element.clauses)[::2], list(element.clauses)[1::2]
    for name, column in zip(names, columns, strict=True):
        value = getattr(forms, _form(column.type)).format(compiler.process(column, **options))
        pieces += [f"""'{opening}"{name}":'""", f"COALESCE({value}, 'null')"]
        opening = ","
    before, between, behind = forms.joined
    return before + between.join([*pieces, "'}'"]) + behind
