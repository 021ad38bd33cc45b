"""Pages of statements that are made once and kept: where a page begins and how long it is are their parameters.

SQLAlchemy needs more time to build such a statement than the database does to answer it.
"""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import ColumnElement, Integer, bindparam

from warehouse.storage.dialects import Statement, behind


def paged(
    statement: Statement, order: Sequence[ColumnElement[Any]], *, descending: bool, has_position: bool
) -> Statement:
    """One page in this total order, from its start or else behind a position. Run it with `page_parameters`."""
    if has_position:
        position = [bindparam(f"after_{number}", type_=column.type) for number, column in enumerate(order)]
        statement = statement.where(behind(order, position, descending=descending))
    return in_order(statement, order, descending=descending).limit(bindparam("limit", type_=Integer))


def in_order(statement: Statement, order: Sequence[ColumnElement[Any]], *, descending: bool) -> Statement:
    return statement.order_by(*(column.desc() if descending else column.asc() for column in order))


def page_parameters(after: Sequence[Any] | None, limit: int) -> dict[str, Any]:
    return {f"after_{number}": value for number, value in enumerate(after or ())} | {"limit": limit}
