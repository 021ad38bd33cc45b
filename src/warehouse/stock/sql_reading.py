"""Pages of balances and movements, as JSON that the database makes, and balances as clients see them.

The statements are made once and kept, see `warehouse.storage.paging`.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import cache
from typing import Any

from sqlalchemy import BigInteger, ColumnElement, Select, and_, bindparam, cast, func, literal_column, select
from sqlalchemy.sql.selectable import FromClause, Subquery

from warehouse.catalogue.model import sku_key
from warehouse.stock.model import BalanceFilter, Movement, MovementFilter, MovementSort, ReservationStatus
from warehouse.storage.connection import Connection
from warehouse.storage.json_rows import json_object
from warehouse.storage.paging import in_order, page_parameters, paged
from warehouse.storage.tables import balances, lots, movements, products, reservation_lines, reservations
from warehouse.storage.types import UtcDateTime

Fields = Mapping[str, ColumnElement[Any]]

KEY = (balances.c.product_id, balances.c.location_id, balances.c.lot)
HELD = (
    *KEY,
    balances.c.warehouse_id,
    balances.c.on_hand,
    balances.c.reserved,
    balances.c.version,
    balances.c.updated_at,
)


async def balance_page(
    connection: Connection, criteria: BalanceFilter, at: datetime, after: Sequence[Any] | None, limit: int
) -> Sequence[str]:
    """See `StockRepository.page_json`."""
    filters, values = asked(criteria)
    statement = _balance_page(filters, after is not None)
    rows = await connection.execute(statement, values | page_parameters(after, limit) | {"at": at})
    return rows.scalars().all()


async def movement_page(
    connection: Connection, criteria: MovementFilter, sort: MovementSort, after: Sequence[Any] | None, limit: int
) -> Sequence[str]:
    """See `StockRepository.movement_page_json`."""
    filters, values = asked(criteria)
    statement = _movement_page(filters, sort, after is not None)
    return (await connection.execute(statement, values | page_parameters(after, limit))).scalars().all()


def asked(criteria: BalanceFilter | MovementFilter) -> tuple[tuple[str, ...], dict[str, Any]]:
    """The filters that are given, for `found_balances` or `found_movements`, and their parameters."""
    values = {name: getattr(criteria, name) for name in type(criteria).__dataclass_fields__}
    filters = tuple(name for name, value in values.items() if value is not None and value is not False)
    parameters = {name: values[name] for name in filters if name != "low"}
    return filters, parameters | {"sku": sku_key(criteria.sku)} if criteria.sku is not None else parameters


def lot_or_null(lot: ColumnElement[str]) -> ColumnElement[str]:
    """As clients see it, in a column of its name."""
    return func.nullif(lot, literal_column("''"), type_=lot.type).label("lot")


def named_movements(written: FromClause) -> tuple[Fields, FromClause]:
    """The fields of a `Movement`, in their order, and from where they are selected. `written` has the columns of
    `movements`."""
    others = {"sku": products.c.sku, "lot": lot_or_null(written.c.lot)}
    fields = {name: others[name] if name in others else written.c[name] for name in Movement.__dataclass_fields__}
    return fields, written.join(products, products.c.id == written.c.product_id)


def expired() -> Subquery:
    """What reservations hold that have expired by `:at` and were not swept yet: next to nothing, and found by index."""
    return (
        select(
            reservation_lines.c.product_id,
            reservation_lines.c.location_id,
            reservation_lines.c.lot,
            func.sum(reservation_lines.c.quantity).label("quantity"),
        )
        .select_from(reservation_lines.join(reservations, reservations.c.id == reservation_lines.c.reservation_id))
        .where(
            reservations.c.status == ReservationStatus.ACTIVE,
            reservations.c.expires_at <= bindparam("at", type_=UtcDateTime()),
        )
        .group_by(reservation_lines.c.product_id, reservation_lines.c.location_id, reservation_lines.c.lot)
        .subquery("expired")
    )


def no_longer_held(held: FromClause, past: Subquery) -> tuple[ColumnElement[bool], ColumnElement[int]]:
    """Of a balance: how it is joined with what has `expired`, and how much of it that is."""
    same = and_(*(past.c[column.name] == held.c[column.name] for column in KEY))
    return same, func.coalesce(past.c.quantity, literal_column("0"))


def shown(held: FromClause) -> tuple[Fields, FromClause]:
    """The fields of a `Balance`, in their order, as clients see them at `:at`; and from where they are selected.
    `held` has the columns `HELD`."""
    past = expired()
    same, quantity = no_longer_held(held, past)
    same_lot = and_(lots.c.product_id == held.c.product_id, lots.c.lot == held.c.lot)
    named = held.join(products, products.c.id == held.c.product_id).outerjoin(lots, same_lot).outerjoin(past, same)
    # MySQL's sums are fractions, if without digits of one.
    reserved = held.c.reserved - cast(quantity, BigInteger())
    fields = {
        "product_id": held.c.product_id,
        "sku": products.c.sku,
        "warehouse_id": held.c.warehouse_id,
        "location_id": held.c.location_id,
        "lot": lot_or_null(held.c.lot),
        "expires_on": lots.c.expires_on,
        "on_hand": held.c.on_hand,
        "reserved": reserved,
        "available": held.c.on_hand - reserved,
        "version": held.c.version,
        "updated_at": held.c.updated_at,
    }
    return fields, named


def found_balances(filters: Sequence[str]) -> Select[Any]:
    """The columns `HELD` of the balances that are asked for. Where `low` is, `:at` is a parameter too."""
    statement = select(*HELD).where(*(_condition(name, filters) for name in filters))
    if "sku" in filters or "low" in filters:
        statement = statement.join_from(balances, products, products.c.id == balances.c.product_id)
    return statement


def balance_rows(found: Select[Any]) -> Select[str]:
    """What is found, which has the columns `HELD`, as texts of JSON in the order of their keys, as of `:at`."""
    page = found.subquery("page")
    fields, source = shown(page)
    order = [page.c[column.name] for column in KEY]
    return select(json_object(fields)).select_from(source).order_by(*order)


@cache
def _balance_page(filters: tuple[str, ...], has_position: bool) -> Select[str]:
    # The page first: PostgreSQL would merge whole tables with it, and read them up to where it begins.
    return balance_rows(paged(found_balances(filters), KEY, descending=False, has_position=has_position))


def _condition(name: str, filters: Sequence[str]) -> ColumnElement[bool]:
    if name == "low":
        return _is_low(in_one_warehouse="warehouse_id" in filters)
    column = products.c.sku_key if name == "sku" else balances.c[name]
    return column == bindparam(name)


def _is_low(*, in_one_warehouse: bool) -> ColumnElement[bool]:
    others, past = balances.alias("others"), expired()
    same, quantity = no_longer_held(others, past)
    available = (
        select(func.sum(others.c.on_hand - others.c.reserved + quantity))
        .select_from(others.outerjoin(past, same))
        .where(others.c.product_id == balances.c.product_id)
        .correlate(balances)
    )
    if in_one_warehouse:
        available = available.where(others.c.warehouse_id == bindparam("warehouse_id"))
    return and_(products.c.reorder_point.is_not(None), available.scalar_subquery() <= products.c.reorder_point)


def found_movements(filters: Sequence[str]) -> Select[Any]:
    """The movements that are asked for."""
    statement = select(movements).where(*map(_movement_condition, filters))
    if "sku" in filters:
        statement = statement.join_from(movements, products, products.c.id == movements.c.product_id)
    return statement


def movement_rows(found: Select[Any], order: Sequence[ColumnElement[Any]], *, descending: bool) -> Select[str]:
    """What is found, which has the columns of `movements`, as texts of JSON."""
    page = found.subquery("page")
    fields, source = named_movements(page)
    return in_order(
        select(json_object(fields)).select_from(source),
        [page.c[column.name] for column in order],
        descending=descending,
    )


@cache
def _movement_page(filters: tuple[str, ...], sort: MovementSort, has_position: bool) -> Select[str]:
    # The page first: where it has to be sorted, SQLite would make JSON of all that there is to sort.
    by_event, descending = sort.lstrip("-") == MovementSort.OCCURRED_AT, sort.startswith("-")
    order = (movements.c.occurred_at, movements.c.id) if by_event else (movements.c.id,)
    page = paged(found_movements(filters), order, descending=descending, has_position=has_position)
    return movement_rows(page, order, descending=descending)


def _movement_condition(name: str) -> ColumnElement[bool]:
    match name:
        case "sku":
            return products.c.sku_key == bindparam(name)
        case "occurred_from":
            return movements.c.occurred_at >= bindparam(name)
        case "occurred_to":
            return movements.c.occurred_at < bindparam(name)
    return movements.c[name] == bindparam(name)
