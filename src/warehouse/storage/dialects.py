"""What the databases say differently, and nowhere else."""

import unicodedata
from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

from sqlalchemy import (
    ColumnElement,
    Select,
    String,
    Table,
    TableValuedAlias,
    and_,
    bindparam,
    cast,
    column,
    func,
    literal_column,
    or_,
    select,
    table,
    text,
)
from sqlalchemy.dialects import mysql, postgresql, sqlite
from sqlalchemy.sql.dml import Insert

from warehouse.storage.tables import products

Statement = TypeVar("Statement", bound=Select[Any])

MYSQL_NAMES = ("mysql", "mariadb")


def upsert(dialect: str, target: Table, changes: Mapping[str, Any]) -> Insert:
    """INSERT one row or many; where the primary key is taken, set `changes` instead.

    A value that is a function gets the row that was to be inserted: `lambda new: balances.c.on_hand + new.on_hand`.
    MySQL evaluates the changes one after the other, each seeing the ones before it: give them in such an order.
    """
    if dialect in MYSQL_NAMES:
        statement = mysql.insert(target)
        pairs = [(name, _resolve(value, statement.inserted)) for name, value in changes.items()]
        return statement.on_duplicate_key_update(pairs)
    insert = postgresql.insert(target) if dialect == "postgresql" else sqlite.insert(target)
    values = {name: _resolve(value, insert.excluded) for name, value in changes.items()}
    return insert.on_conflict_do_update(index_elements=list(target.primary_key.columns), set_=values)


def _resolve(value: Any, new: Any) -> Any:
    return value(new) if callable(value) else value


def for_update(dialect: str, statement: Select[Any], of: Table) -> Select[Any]:
    """Lock the rows of `of`. SQLite needs no such clause: its write transactions run one at a time."""
    if dialect == "sqlite":
        return statement
    # MariaDB has no FOR UPDATE OF: there the joined rows, which nobody else updates, are locked with it.
    return statement.with_for_update(of=of) if dialect == "postgresql" else statement.with_for_update()


def listed(parameter: str, ids: Sequence[str], texts: Sequence[str] = ()) -> TableValuedAlias:
    """For MySQL and MariaDB: a table of a list that is given as JSON, each of whose items is a list of ids in
    hexadecimal digits and then of texts; `number` counts them from 1. In a statement that is `joined_as_written` the
    items come in their order.

    They compare an IN of many tuples with each row, one by one: for a thousand keys 140 ms, with a join of this 20.
    """
    kinds = [f"{name} CHAR(32) CHARACTER SET ascii" for name in ids]
    kinds += [f"{name} VARCHAR(64) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin" for name in texts]
    columns = ", ".join(f"{kind} PATH '$[{place}]'" for place, kind in enumerate(kinds))
    columns = f"'$[*]' COLUMNS (number FOR ORDINALITY, {columns})"
    source = func.json_table(bindparam(parameter, type_=String()), literal_column(columns))
    return source.table_valued("number", *ids, *texts, name="listed")


def behind(columns: Sequence[ColumnElement[Any]], values: Sequence[Any], *, descending: bool) -> ColumnElement[bool]:
    """The rows behind a position in a total order, in the form that every optimiser turns into one index range:
    `a >= :a AND (a > :a OR (a = :a AND …))`. MySQL does not do so with a row comparison."""
    first, value = columns[0], values[0]
    beyond: ColumnElement[bool] = first < value if descending else first > value
    if len(columns) == 1:
        return beyond
    rest = behind(columns[1:], values[1:], descending=descending)
    reach: ColumnElement[bool] = first <= value if descending else first >= value
    return and_(reach, or_(beyond, and_(first == value, rest)))


def joined_as_written(statement: Statement) -> Statement:
    """Table after table in the order in which they are named. MySQL and MariaDB, left to themselves, begin with the
    smallest, and sort all that there is in the end."""
    for name in MYSQL_NAMES:
        statement = statement.prefix_with("STRAIGHT_JOIN", dialect=name)
    return statement


def common(dialect: str, condition: ColumnElement[bool]) -> ColumnElement[bool]:
    """A condition that most rows meet. SQLite, which has no statistics, takes every equation for a rare one."""
    return func.likelihood(condition, literal_column("0.9")) if dialect == "sqlite" else condition


def by_sorting(statement: Select[Any]) -> Select[Any]:
    """Grouped out of much of a table: left alone, MySQL and MariaDB read it in the order of an index that fits the
    groups, row by row from everywhere, which takes minutes where the table is larger than memory."""
    for name in MYSQL_NAMES:
        statement = statement.prefix_with("SQL_BIG_RESULT", dialect=name)
    return statement


def full_text(dialect: str, words: Sequence[str]) -> Select[Any]:
    """The ids of products in whose `search_text` every one of the words begins a word. Words are letters and digits."""
    if dialect == "postgresql":
        query = " & ".join(f"'{word}':*" for word in words)
        # Not to_tsvector: its parser has ideas of its own about what is a word.
        lexemes = func.array_to_tsvector(func.string_to_array(products.c.search_text, literal_column("' '")))
        return select(products.c.id).where(lexemes.op("@@")(cast(query, postgresql.TSQUERY)))
    if dialect == "sqlite":
        search, documents = (
            table("product_search", column("rowid")),
            table("product_documents", column("document"), column("product_id", products.c.id.type)),
        )
        query = " ".join(f'"{word}"*' for word in words)
        return (
            select(documents.c.product_id.label("id"))
            .select_from(search.join(documents, documents.c.document == search.c.rowid))
            .where(text("product_search MATCH :words").bindparams(words=query))
        )
    query = " ".join(f"+{_innodb_word(word)}*" for word in words)
    return select(products.c.id).where(mysql.match(products.c.search_text, against=query).in_boolean_mode())


def searchable(dialect: str, words: str) -> str:
    """`search_text` as this database is to store it."""
    return " ".join(map(_innodb_word, words.split())) if dialect in MYSQL_NAMES else words


SEARCH_MARK = "zq"
"""InnoDB indexes neither words of under three letters nor stop words; with a mark before it no word is either."""
LONGEST_TOKEN = 84
"""Longer words InnoDB does not index at all."""


def _innodb_word(word: str) -> str:
    return (SEARCH_MARK + word.translate(_SPELLINGS))[:LONGEST_TOKEN]


class _Spellings(dict[int, str]):
    """How each character stands in a word. InnoDB breaks words where it knows no letter or digit, and what it knows is
    the first plane of Unicode 3.2, on MySQL without some Latin letters (ș and ț among them): others go by number."""

    def __missing__(self, code: int) -> str:
        character = chr(code)
        is_letter = unicodedata.ucd_3_2_0.category(character)[0] in "LN"
        is_known = is_letter and code <= 0xFFFF and not 0x01CD <= code <= 0x0233
        spelling = self[code] = character if is_known else f"zx{code:05x}"
        return spelling


_SPELLINGS = _Spellings()
