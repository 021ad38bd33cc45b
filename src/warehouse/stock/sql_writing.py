"""The statements that write balances and movements, and the rows that go with them.

They are made once and kept: SQLAlchemy needs more time to build a statement than the database does to answer it."""

from collections.abc import Sequence
from datetime import datetime
from functools import cache
from typing import Any

from sqlalchemy import BigInteger, Select, String, and_, bindparam, func, literal_column, select, true, tuple_, update
from sqlalchemy.sql.dml import Insert, Update

from warehouse.stock.model import NO_LOT, BalanceChange, Movement
from warehouse.stock.sql_reading import KEY
from warehouse.storage.dialects import for_update, joined_as_written, listed, upsert
from warehouse.storage.tables import balances
from warehouse.storage.types import UtcDateTime

AMONG_KEYS = tuple_(*KEY).in_(bindparam("balance_keys", expanding=True))


@cache
def lock_in(dialect: str) -> Select[Any]:
    columns = (*KEY, balances.c.warehouse_id, balances.c.on_hand, balances.c.reserved, balances.c.version)
    return for_update(dialect, select(*columns).where(AMONG_KEYS).order_by(*KEY), balances)


def _lock_listed() -> Select[Any]:
    """For MySQL and MariaDB: all in one value, which takes the driver a tenth of the time that rows do."""
    keys = listed("listed_keys", ("product_id", "location_id"), ("lot",))
    same = and_(
        balances.c.product_id == func.unhex(keys.c.product_id),
        balances.c.location_id == func.unhex(keys.c.location_id),
        balances.c.lot == keys.c.lot,
    )
    quantities = (balances.c.on_hand, balances.c.reserved, balances.c.version)
    row = func.json_array(keys.c.number, func.hex(balances.c.warehouse_id), *quantities)
    rows = select(func.json_arrayagg(row, type_=String())).select_from(keys.join(balances, same))
    # MySQL cannot lock what JSON_TABLE makes, and MariaDB has no OF: SQLAlchemy leaves it out there.
    return joined_as_written(rows.with_for_update(of=balances))


LOCK_LISTED = _lock_listed()


@cache
def add_guarded(dialect: str) -> Insert:
    """Add to a balance; one that was let below zero loses that leave when it comes out of it."""
    return upsert(
        dialect,
        balances,
        {
            "below_zero_allowed": lambda new: and_(
                balances.c.below_zero_allowed, balances.c.on_hand + new.on_hand < balances.c.reserved
            ),
            **_sums(),
        },
    )


@cache
def add_unguarded(dialect: str) -> Insert:
    return upsert(dialect, balances, {"below_zero_allowed": true(), **_sums()})


def _sums() -> dict[str, Any]:
    return {
        "reserved": lambda new: balances.c.reserved + new.reserved,
        "on_hand": lambda new: balances.c.on_hand + new.on_hand,
        # Written out, as aiomysql joins many rows in one statement only where all parameters are the rows'.
        "version": balances.c.version + literal_column("1"),
        "updated_at": lambda new: new.updated_at,
    }


def balance_row(change: BalanceChange, at: datetime, *, below_zero: bool) -> Sequence[Any]:
    """In the order of the table's columns."""
    key = change.key
    place = (key.product_id, key.location_id, key.lot, change.warehouse_id)
    return (*place, change.on_hand, change.reserved, below_zero, 1, at)


def movement_row(movement: Movement) -> Sequence[Any]:
    """In the order of the table's columns."""
    return (
        movement.id,
        movement.command_id,
        movement.line,
        movement.product_id,
        movement.location_id,
        movement.lot or NO_LOT,
        movement.warehouse_id,
        movement.delta,
        movement.kind,
        movement.reason,
        movement.reference,
        movement.actor,
        movement.occurred_at,
        movement.recorded_at,
    )


@cache
def update_one(guarded: bool, lowers: bool, narrows: bool) -> Update:
    """Run it with `change_values`. A guarded one that `lowers` what is on hand or `narrows` what is available finds no
    row where there is too little."""
    on_hand = balances.c.on_hand + bindparam("on_hand_change", type_=BigInteger)
    reserved = balances.c.reserved + bindparam("reserved_change", type_=BigInteger)
    guards = [column == bindparam(f"key_{column.name}", type_=column.type) for column in KEY]
    guards.append(reserved >= 0)
    if lowers:
        guards.append(on_hand >= 0)
    if narrows:
        guards.append(on_hand >= reserved)
    below_zero = and_(balances.c.below_zero_allowed, on_hand < reserved) if guarded else true()
    # The first assignment reads the old values everywhere only because it is the first: MySQL goes from left to right.
    assignments = (
        (balances.c.below_zero_allowed, below_zero),
        (balances.c.on_hand, on_hand),
        (balances.c.reserved, reserved),
        (balances.c.version, balances.c.version + 1),
        (balances.c.updated_at, bindparam("at", type_=UtcDateTime())),
    )
    return update(balances).where(*guards).ordered_values(*assignments)


def change_values(change: BalanceChange, at: datetime) -> dict[str, Any]:
    return {
        "key_product_id": change.key.product_id,
        "key_location_id": change.key.location_id,
        "key_lot": change.key.lot,
        "on_hand_change": change.on_hand,
        "reserved_change": change.reserved,
        "at": at,
    }
