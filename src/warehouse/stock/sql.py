from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import date, datetime
from typing import Any
from uuid import UUID

from sqlalchemy import (
    ColumnElement,
    Row,
    Select,
    and_,
    case,
    func,
    insert,
    literal_column,
    select,
    true,
    tuple_,
    update,
)
from sqlalchemy.exc import IntegrityError, OperationalError
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlalchemy.sql.dml import Insert
from sqlalchemy.sql.selectable import Subquery

from warehouse.catalogue.model import sku_key
from warehouse.errors import Code, Conflict, TransactionConflict
from warehouse.locations.model import LocationKind
from warehouse.stock.model import (
    NO_LOT,
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
from warehouse.storage.dialects import behind, for_update, upsert
from warehouse.storage.failures import refers_to_nothing, violated
from warehouse.storage.tables import balances, locations, lots, movements, products, reservation_lines, reservations

CHUNK = 500
"""Values in one IN list."""
KEY_CHUNK = 100
"""Keys in one IN list."""
KEY = (balances.c.product_id, balances.c.location_id, balances.c.lot)
BEYOND_RANGE = "on_hand_range"

WITH_NAMES = balances.join(products, products.c.id == balances.c.product_id).outerjoin(
    lots, and_(lots.c.product_id == balances.c.product_id, lots.c.lot == balances.c.lot)
)
BALANCE_COLUMNS: Sequence[ColumnElement[Any]] = (
    balances.c.product_id,
    products.c.sku,
    balances.c.warehouse_id,
    balances.c.location_id,
    balances.c.lot,
    lots.c.expires_on,
    balances.c.on_hand,
    balances.c.reserved,
    balances.c.version,
    balances.c.updated_at,
)
MOVEMENT_COLUMNS: Sequence[ColumnElement[Any]] = tuple(
    products.c.sku if name == "sku" else movements.c[name] for name in Movement.__dataclass_fields__
)
MOVEMENTS_WITH_NAMES = movements.join(products, products.c.id == movements.c.product_id)


class SqlStockRepository:
    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection
        self._dialect = connection.dialect.name

    async def apply(self, change: BalanceChange, at: datetime) -> bool:
        # What may be the first of its balance is inserted or added. Less reserved is not: the row is there, and
        # databases check the constraints of a proposed row even where it only adds to another.
        with _constrained():
            if not change.guarded and change.reserved >= 0:
                await self._connection.execute(_unguarded(self._dialect), _row(change, at, below_zero=True))
                return True
            if change.guarded and change.on_hand >= 0 and change.reserved == 0:
                await self._connection.execute(_guarded(self._dialect), _row(change, at, below_zero=False))
                return True
            result = await self._connection.execute(_update(change, at))
            return result.rowcount == 1

    async def apply_all(self, changes: Sequence[BalanceChange], at: datetime) -> None:
        kinds: list[tuple[Callable[[str], Insert], bool, list[BalanceChange]]] = [
            (_guarded, False, [change for change in changes if change.guarded and change.on_hand >= 0]),
            # The proposed row may be below zero, the row that results may not: it is there already, and locked.
            (_guarded, True, [change for change in changes if change.guarded and change.on_hand < 0]),
            (_unguarded, True, [change for change in changes if not change.guarded]),
        ]
        with _constrained():
            for statement, below_zero, some in kinds:
                if some:
                    rows = [_row(change, at, below_zero=below_zero) for change in some]
                    await self._connection.execute(statement(self._dialect), rows)

    async def lock(self, keys: Collection[BalanceKey]) -> Mapping[BalanceKey, HeldBalance]:
        columns = (*KEY, balances.c.warehouse_id, balances.c.on_hand, balances.c.reserved, balances.c.version)
        held: dict[BalanceKey, HeldBalance] = {}
        for condition in _matching(keys):
            statement = for_update(self._dialect, select(*columns).where(condition).order_by(*KEY), balances)
            for product_id, location_id, lot, *rest in await self._connection.execute(statement):
                key = BalanceKey(product_id, location_id, lot)
                held[key] = HeldBalance(key, *rest)
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
        for condition in _matching(keys):
            rows = await self._connection.execute(_shown(at).where(condition).order_by(*KEY))
            found.extend(_balance(row) for row in rows)
        return found

    async def note_lots(self, new: Mapping[tuple[UUID, str], date | None]) -> list[tuple[UUID, str, date | None]]:
        if not new:
            return []
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
        rows = [
            {
                "id": movement.id,
                "command_id": movement.command_id,
                "line": movement.line,
                "product_id": movement.product_id,
                "warehouse_id": movement.warehouse_id,
                "location_id": movement.location_id,
                "lot": movement.lot or NO_LOT,
                "delta": movement.delta,
                "kind": movement.kind,
                "reason": movement.reason,
                "reference": movement.reference,
                "actor": movement.actor,
                "occurred_at": movement.occurred_at,
                "recorded_at": movement.recorded_at,
            }
            for movement in new
        ]
        if not rows:
            return
        try:
            await self._connection.execute(insert(movements), rows)
        except IntegrityError as error:
            raise TransactionConflict("Another caller is writing the same movements; try again.") from error

    async def recorded(self, command_ids: Collection[UUID]) -> set[UUID]:
        ids = list(command_ids)
        found: set[UUID] = set()
        for start in range(0, len(ids), CHUNK):
            statement = select(movements.c.command_id).where(movements.c.command_id.in_(ids[start : start + CHUNK]))
            found.update((await self._connection.execute(statement)).scalars())
        return found

    async def movements_of(self, command_id: UUID) -> list[Movement]:
        statement = (
            select(*MOVEMENT_COLUMNS)
            .select_from(MOVEMENTS_WITH_NAMES)
            .where(movements.c.command_id == command_id)
            .order_by(movements.c.line)
        )
        return [_movement(row) for row in await self._connection.execute(statement)]

    async def page(
        self, criteria: BalanceFilter, at: datetime, after: Sequence[Any] | None, limit: int
    ) -> list[Balance]:
        # The keys first: PostgreSQL would merge whole tables with the page, and read them up to where it begins.
        named = criteria.sku is not None or criteria.low
        source = balances.join(products, products.c.id == balances.c.product_id) if named else balances
        keys = _filtered(select(*KEY).select_from(source), criteria, at)
        if after is not None:
            keys = keys.where(behind(KEY, after, descending=False))
        page = keys.order_by(*KEY).limit(limit).subquery("page")
        statement = _shown(at).join(page, and_(*(page.c[column.name] == column for column in KEY)))
        rows = await self._connection.execute(statement.order_by(*(page.c[column.name] for column in KEY)))
        return [_balance(row) for row in rows]

    async def summary(self, product_id: UUID, at: datetime) -> StockSummary | None:
        sku = await self._connection.scalar(select(products.c.sku).where(products.c.id == product_id))
        if sku is None:
            return None
        expired = _expired(at)
        on_hand = func.sum(balances.c.on_hand)
        reserved = func.sum(balances.c.reserved - func.coalesce(expired.c.quantity, 0))
        statement = (
            select(balances.c.warehouse_id, on_hand, reserved)
            .select_from(balances.outerjoin(expired, and_(*(expired.c[column.name] == column for column in KEY))))
            .where(balances.c.product_id == product_id)
            .group_by(balances.c.warehouse_id)
            .order_by(balances.c.warehouse_id)
        )
        rows = await self._connection.execute(statement)
        totals = [WarehouseTotal(place, int(has), int(held), int(has) - int(held)) for place, has, held in rows]
        return StockSummary(
            product_id,
            sku,
            sum(total.on_hand for total in totals),
            sum(total.reserved for total in totals),
            sum(total.available for total in totals),
            totals,
        )

    async def movement_page(
        self, criteria: MovementFilter, sort: MovementSort, after: Sequence[Any] | None, limit: int
    ) -> list[Movement]:
        descending = sort.startswith("-")
        by_event = sort.lstrip("-") == MovementSort.OCCURRED_AT
        order = (movements.c.occurred_at, movements.c.id) if by_event else (movements.c.id,)
        statement = _filtered_movements(select(*MOVEMENT_COLUMNS).select_from(MOVEMENTS_WITH_NAMES), criteria)
        if after is not None:
            statement = statement.where(behind(order, after, descending=descending))
        directions = [column.desc() if descending else column.asc() for column in order]
        rows = await self._connection.execute(statement.order_by(*directions).limit(limit))
        return [_movement(row) for row in rows]

    async def integrity(self, at: datetime, examples: int) -> IntegrityReport:
        return await check_integrity(self._connection, at, examples)

    async def _in_order(self, condition: ColumnElement[bool]) -> list[BalanceKey]:
        statement = (
            select(*KEY)
            .select_from(WITH_NAMES.join(locations, locations.c.id == balances.c.location_id))
            .where(condition)
            .order_by(case((lots.c.expires_on.is_(None), 1), else_=0), lots.c.expires_on, balances.c.lot)
            .order_by(locations.c.code_key)
        )
        return [BalanceKey(*row) for row in await self._connection.execute(statement)]


def _guarded(dialect: str) -> Insert:
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


def _unguarded(dialect: str) -> Insert:
    return upsert(dialect, balances, {"below_zero_allowed": true(), **_sums()})


def _sums() -> dict[str, Any]:
    return {
        "reserved": lambda new: balances.c.reserved + new.reserved,
        "on_hand": lambda new: balances.c.on_hand + new.on_hand,
        # Written out, as aiomysql joins many rows in one statement only where all parameters are the rows'.
        "version": balances.c.version + literal_column("1"),
        "updated_at": lambda new: new.updated_at,
    }


def _row(change: BalanceChange, at: datetime, *, below_zero: bool) -> dict[str, Any]:
    return {
        "product_id": change.key.product_id,
        "location_id": change.key.location_id,
        "lot": change.key.lot,
        "warehouse_id": change.warehouse_id,
        "on_hand": change.on_hand,
        "reserved": change.reserved,
        "below_zero_allowed": below_zero,
        "version": 1,
        "updated_at": at,
    }


def _update(change: BalanceChange, at: datetime) -> Any:
    on_hand, reserved = balances.c.on_hand + change.on_hand, balances.c.reserved + change.reserved
    guards = [column == value for column, value in zip(KEY, _values(change.key), strict=True)]
    guards.append(reserved >= 0)
    if change.guarded and change.on_hand < 0:
        guards.append(on_hand >= 0)
    if change.guarded and change.on_hand < change.reserved:
        guards.append(on_hand >= reserved)
    below_zero = and_(balances.c.below_zero_allowed, on_hand < reserved) if change.guarded else true()
    # The first assignment reads the old values everywhere only because it is the first: MySQL goes from left to right.
    assignments = (
        (balances.c.below_zero_allowed, below_zero),
        (balances.c.on_hand, on_hand),
        (balances.c.reserved, reserved),
        (balances.c.version, balances.c.version + 1),
        (balances.c.updated_at, at),
    )
    return update(balances).where(*guards).ordered_values(*assignments)


def _values(key: BalanceKey) -> tuple[UUID, UUID, str]:
    return key.product_id, key.location_id, key.lot


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


def _matching(keys: Collection[BalanceKey]) -> Iterator[ColumnElement[bool]]:
    """In key order. Few at a time: MariaDB compares every row with every tuple, and 500 take three times as long per
    key as 100."""
    ordered = sorted(keys)
    for start in range(0, len(ordered), KEY_CHUNK):
        yield tuple_(*KEY).in_([_values(key) for key in ordered[start : start + KEY_CHUNK]])


def _expired(at: datetime) -> Subquery:
    """What reservations hold that have expired and were not swept yet: next to nothing, and found by index."""
    return (
        select(
            reservation_lines.c.product_id,
            reservation_lines.c.location_id,
            reservation_lines.c.lot,
            func.sum(reservation_lines.c.quantity).label("quantity"),
        )
        .select_from(reservation_lines.join(reservations, reservations.c.id == reservation_lines.c.reservation_id))
        .where(reservations.c.status == ReservationStatus.ACTIVE, reservations.c.expires_at <= at)
        .group_by(reservation_lines.c.product_id, reservation_lines.c.location_id, reservation_lines.c.lot)
        .subquery("expired")
    )


def _shown(at: datetime) -> Select[Any]:
    """Balances as clients see them at this time."""
    expired = _expired(at)
    joined = WITH_NAMES.outerjoin(expired, and_(*(expired.c[column.name] == column for column in KEY)))
    return select(*BALANCE_COLUMNS, expired.c.quantity.label("expired")).select_from(joined)


def _filtered(statement: Select[Any], criteria: BalanceFilter, at: datetime) -> Select[Any]:
    for name in ("product_id", "warehouse_id", "location_id", "lot"):
        value = getattr(criteria, name)
        if value is not None:
            statement = statement.where(balances.c[name] == value)
    if criteria.sku is not None:
        statement = statement.where(products.c.sku_key == sku_key(criteria.sku))
    return statement.where(_is_low(criteria, at)) if criteria.low else statement


def _is_low(criteria: BalanceFilter, at: datetime) -> ColumnElement[bool]:
    others, expired = balances.alias("others"), _expired(at)
    held = and_(*(expired.c[column.name] == others.c[column.name] for column in KEY))
    available = (
        select(func.sum(others.c.on_hand - others.c.reserved + func.coalesce(expired.c.quantity, 0)))
        .select_from(others.outerjoin(expired, held))
        .where(others.c.product_id == balances.c.product_id)
        .correlate(balances)
    )
    if criteria.warehouse_id is not None:
        available = available.where(others.c.warehouse_id == criteria.warehouse_id)
    return and_(products.c.reorder_point.is_not(None), available.scalar_subquery() <= products.c.reorder_point)


def _filtered_movements(statement: Select[Any], criteria: MovementFilter) -> Select[Any]:
    for name in ("product_id", "warehouse_id", "location_id", "command_id", "reference"):
        value = getattr(criteria, name)
        if value is not None:
            statement = statement.where(movements.c[name] == value)
    if criteria.sku is not None:
        statement = statement.where(products.c.sku_key == sku_key(criteria.sku))
    if criteria.occurred_from is not None:
        statement = statement.where(movements.c.occurred_at >= criteria.occurred_from)
    if criteria.occurred_to is not None:
        statement = statement.where(movements.c.occurred_at < criteria.occurred_to)
    return statement


def _balance(row: Row[Any]) -> Balance:
    reserved = row.reserved - int(row.expired or 0)
    return Balance(
        row.product_id,
        row.sku,
        row.warehouse_id,
        row.location_id,
        row.lot or None,
        row.expires_on,
        row.on_hand,
        reserved,
        row.on_hand - reserved,
        row.version,
        row.updated_at,
    )


def _movement(row: Row[Any]) -> Movement:
    values = row._asdict()
    values["lot"] = values["lot"] or None
    values["kind"] = MovementKind(values["kind"])
    return Movement(**values)
