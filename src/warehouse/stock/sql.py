from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import date, datetime
from typing import Any
from uuid import UUID

import orjson
from sqlalchemy import (
    ColumnElement,
    Row,
    Select,
    and_,
    case,
    func,
    insert,
    select,
    tuple_,
)
from sqlalchemy.exc import IntegrityError, OperationalError
from sqlalchemy.sql.dml import Insert

from warehouse.cache import tags
from warehouse.errors import Code, Conflict, TransactionConflict
from warehouse.locations.model import LocationKind
from warehouse.overlapping import overlapped
from warehouse.stock.model import (
    Balance,
    BalanceChange,
    BalanceFilter,
    BalanceKey,
    HeldBalance,
    IntegrityReport,
    Movement,
    MovementFilter,
    MovementKind,
    MovementSort,
    ReservationStatus,
    StockSummary,
    WarehouseTotal,
)
from warehouse.stock.sql_integrity import check_integrity
from warehouse.stock.sql_reading import (
    KEY,
    balance_page,
    expired,
    movement_page,
    named_movements,
    no_longer_held,
    shown,
)
from warehouse.stock.sql_writing import (
    AMONG_KEYS,
    LOCK_LISTED,
    add_guarded,
    add_unguarded,
    balance_row,
    change_values,
    lock_in,
    movement_row,
    update_one,
)
from warehouse.storage.connection import Connection
from warehouse.storage.dialects import MYSQL_NAMES, upsert
from warehouse.storage.failures import refers_to_nothing, violated
from warehouse.storage.inserting import Insertion
from warehouse.storage.tables import balances, locations, lots, movements, products, reservation_lines, reservations

CHUNK = 500
"""Values in one IN list."""
KEY_CHUNK = 100
"""Keys in one IN list."""
LISTED = 1000
"""Keys in one list. What comes of it is a tenth of the longest that there may be."""
BEYOND_RANGE = "on_hand_range"

_FIELDS, _SOURCE = shown(balances)
_SHOWN = select(*_FIELDS.values()).select_from(_SOURCE).where(AMONG_KEYS).order_by(*KEY)
_INSERT_MOVEMENTS = insert(movements)


class SqlStockRepository:
    def __init__(self, connection: Connection, touch: tags.Touch) -> None:
        self._connection = connection
        self._touch = touch
        self._dialect = connection.dialect.name

    async def apply(self, change: BalanceChange, at: datetime) -> bool:
        self._touch(tags.written_stock(change.key.product_id))
        # What may be the first of its balance is inserted or added. Less reserved is not: the row is there, and
        # databases check the constraints of a proposed row even where it only adds to another.
        with _constrained():
            if not change.guarded and change.reserved >= 0:
                await self._upsert(add_unguarded, [change], at, below_zero=True)
                return True
            if change.guarded and change.on_hand >= 0 and change.reserved == 0:
                await self._upsert(add_guarded, [change], at, below_zero=False)
                return True
            lowers, narrows = change.on_hand < 0, change.on_hand < change.reserved
            statement = update_one(change.guarded, change.guarded and lowers, change.guarded and narrows)
            result = await self._connection.execute(statement, change_values(change, at))
            return result.rowcount == 1

    async def record(
        self, changes: Sequence[BalanceChange], at: datetime, movements: Callable[[], Sequence[Movement]]
    ) -> None:
        for change in changes:
            self._touch(tags.written_stock(change.key.product_id))
        _, insertion = await overlapped(self._apply_all(changes, at), lambda: self._insertion(movements()))
        await _append(self._connection, insertion)

    async def _apply_all(self, changes: Sequence[BalanceChange], at: datetime) -> None:
        kinds: list[tuple[Callable[[str], Insert], bool, list[BalanceChange]]] = [
            (add_guarded, False, [change for change in changes if change.guarded and change.on_hand >= 0]),
            # The proposed row may be below zero, the row that results may not: it is there already, and locked.
            (add_guarded, True, [change for change in changes if change.guarded and change.on_hand < 0]),
            (add_unguarded, True, [change for change in changes if not change.guarded]),
        ]
        with _constrained():
            for statement, below_zero, some in kinds:
                if some:
                    await self._upsert(statement, some, at, below_zero=below_zero)

    async def _upsert(
        self, statement: Callable[[str], Insert], changes: Sequence[BalanceChange], at: datetime, *, below_zero: bool
    ) -> None:
        rows = [balance_row(change, at, below_zero=below_zero) for change in changes]
        await Insertion.of(self._connection.dialect, statement(self._dialect), rows).run(self._connection)

    async def lock(self, keys: Collection[BalanceKey]) -> Mapping[BalanceKey, HeldBalance]:
        if self._dialect in MYSQL_NAMES:
            return await self._lock_listed(sorted(keys))
        held: dict[BalanceKey, HeldBalance] = {}
        for some in _chunks(keys):
            for product_id, location_id, lot, *rest in await self._connection.execute(lock_in(self._dialect), some):
                key = BalanceKey(product_id, location_id, lot)
                held[key] = HeldBalance(key, *rest)
        return held

    async def _lock_listed(self, keys: Sequence[BalanceKey]) -> Mapping[BalanceKey, HeldBalance]:
        held: dict[BalanceKey, HeldBalance] = {}
        for start in range(0, len(keys), LISTED):
            some = keys[start : start + LISTED]
            listed_keys = orjson.dumps([(key.product_id.hex, key.location_id.hex, key.lot) for key in some]).decode()
            rows = await self._connection.scalar(LOCK_LISTED, {"listed_keys": listed_keys})
            for number, warehouse_id, *quantities in orjson.loads(rows or "[]"):
                key = some[number - 1]
                held[key] = HeldBalance(key, UUID(warehouse_id), *quantities)
        return held

    async def order_in_warehouse(self, product_id: UUID, warehouse_id: UUID) -> list[BalanceKey]:
        return await self._in_order(
            and_(
                balances.c.product_id == product_id,
                balances.c.warehouse_id == warehouse_id,
                locations.c.kind == LocationKind.STORAGE,
            )
        )

    async def order_at(self, product_id: UUID, location_id: UUID) -> list[BalanceKey]:
        return await self._in_order(and_(balances.c.product_id == product_id, balances.c.location_id == location_id))

    async def balances(self, keys: Collection[BalanceKey], at: datetime) -> list[Balance]:
        found: list[Balance] = []
        for some in _chunks(keys):
            rows = await self._connection.execute(_SHOWN, some | {"at": at})
            found.extend(Balance(*row) for row in rows)
        return found

    async def note_lots(self, new: Mapping[tuple[UUID, str], date | None]) -> list[tuple[UUID, str, date | None]]:
        if not new:
            return []
        for product_id, _ in new:
            self._touch(tags.written_stock(product_id))
        statement = upsert(
            self._dialect, lots, {"expires_on": lambda row: func.coalesce(lots.c.expires_on, row.expires_on)}
        )
        rows = [
            {"product_id": product_id, "lot": lot, "expires_on": day}
            for (product_id, lot), day in sorted(new.items(), key=lambda item: item[0])
        ]
        with _constrained():
            await self._connection.execute(statement, rows)
        known = await self._connection.execute(
            select(lots.c.product_id, lots.c.lot, lots.c.expires_on).where(
                lots.c.product_id.in_({product_id for product_id, _ in new}),
                tuple_(lots.c.product_id, lots.c.lot).in_(list(new)),
            )
        )
        return [
            (product_id, lot, day)
            for product_id, lot, day in known
            if (said := new[product_id, lot]) is not None and said != day
        ]

    async def append(self, new: Sequence[Movement]) -> None:
        if new:
            await _append(self._connection, self._insertion(new))

    async def recorded(self, command_ids: Collection[UUID]) -> set[UUID]:
        ids = list(command_ids)
        found: set[UUID] = set()
        for start in range(0, len(ids), CHUNK):
            statement = select(movements.c.command_id).where(movements.c.command_id.in_(ids[start : start + CHUNK]))
            found.update((await self._connection.execute(statement)).scalars())
        return found

    async def movements_of(self, command_id: UUID) -> list[Movement]:
        fields, source = named_movements(movements)
        statement: Select[Any] = (
            select(*fields.values())
            .select_from(source)
            .where(movements.c.command_id == command_id)
            .order_by(movements.c.line)
        )
        return [_movement(row) for row in await self._connection.execute(statement)]

    async def page_json(
        self, criteria: BalanceFilter, at: datetime, after: Sequence[Any] | None, limit: int
    ) -> Sequence[str]:
        return await balance_page(self._connection, criteria, at, after, limit)

    async def next_expiry(self, product_id: UUID | None, at: datetime) -> datetime | None:
        statement = select(func.min(reservations.c.expires_at)).where(
            reservations.c.status == ReservationStatus.ACTIVE, reservations.c.expires_at > at
        )
        if product_id is not None:
            lines = select(reservation_lines.c.reservation_id).where(reservation_lines.c.product_id == product_id)
            statement = statement.where(reservations.c.id.in_(lines))
        expiry: datetime | None = await self._connection.scalar(statement)
        return expiry

    async def summary(self, product_id: UUID, at: datetime) -> StockSummary | None:
        sku = await self._connection.scalar(select(products.c.sku).where(products.c.id == product_id))
        if sku is None:
            return None
        past = expired()
        same, quantity = no_longer_held(balances, past)
        on_hand, reserved = func.sum(balances.c.on_hand), func.sum(balances.c.reserved - quantity)
        statement = (
            select(balances.c.warehouse_id, on_hand, reserved)
            .select_from(balances.outerjoin(past, same))
            .where(balances.c.product_id == product_id)
            .group_by(balances.c.warehouse_id)
            .order_by(balances.c.warehouse_id)
        )
        rows = await self._connection.execute(statement, {"at": at})
        totals = [WarehouseTotal(place, int(has), int(held), int(has) - int(held)) for place, has, held in rows]
        return StockSummary(
            product_id,
            sku,
            sum(total.on_hand for total in totals),
            sum(total.reserved for total in totals),
            sum(total.available for total in totals),
            totals,
        )

    async def movement_page_json(
        self, criteria: MovementFilter, sort: MovementSort, after: Sequence[Any] | None, limit: int
    ) -> Sequence[str]:
        return await movement_page(self._connection, criteria, sort, after, limit)

    async def integrity(self, at: datetime, examples: int) -> IntegrityReport:
        return await check_integrity(self._connection, at, examples)

    def _insertion(self, new: Sequence[Movement]) -> Insertion:
        rows = [movement_row(movement) for movement in new]
        return Insertion.of(self._connection.dialect, _INSERT_MOVEMENTS, rows)

    async def _in_order(self, condition: ColumnElement[bool]) -> list[BalanceKey]:
        same_lot = and_(lots.c.product_id == balances.c.product_id, lots.c.lot == balances.c.lot)
        statement = (
            select(*KEY)
            .select_from(balances.outerjoin(lots, same_lot).join(locations, locations.c.id == balances.c.location_id))
            .where(condition)
            .order_by(case((lots.c.expires_on.is_(None), 1), else_=0), lots.c.expires_on, balances.c.lot)
            .order_by(locations.c.code_key)
        )
        return [BalanceKey(*row) for row in await self._connection.execute(statement)]


async def _append(connection: Connection, movements: Insertion) -> None:
    try:
        await movements.run(connection)
    except IntegrityError as error:
        raise TransactionConflict("Another caller is writing the same movements; try again.") from error


@contextmanager
def _constrained() -> Iterator[None]:
    try:
        yield
    except (IntegrityError, OperationalError) as error:
        if BEYOND_RANGE in violated(error):
            detail = "A balance would leave the range that is kept exactly."
            raise Conflict(detail, code=Code.QUANTITY_OUT_OF_RANGE) from error
        if refers_to_nothing(error):
            raise TransactionConflict("The product or location has just been deleted; try again.") from error
        raise


def _chunks(keys: Collection[BalanceKey]) -> Iterator[dict[str, Any]]:
    """For `AMONG_KEYS`, in key order. Few at a time: MariaDB compares every row with every tuple, and 500 take three
    times as long per key as 100."""
    ordered = [(key.product_id, key.location_id, key.lot) for key in sorted(keys)]
    for start in range(0, len(ordered), KEY_CHUNK):
        yield {"balance_keys": ordered[start : start + KEY_CHUNK]}


def _movement(row: Row[Any]) -> Movement:
    values = row._asdict()
    return Movement(**values | {"kind": MovementKind(values["kind"])})
