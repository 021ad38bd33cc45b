"""The ledger's invariants, each asked in one statement and so of one snapshot."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Select, Table, and_, case, func, literal, not_, or_, select

from warehouse.stock.model import Drift, IntegrityReport, ReservationStatus
from warehouse.storage.connection import Connection
from warehouse.storage.tables import balances, movements, reservation_lines, reservations

KEY_NAMES = ("product_id", "location_id", "lot")


async def check_integrity(connection: Connection, at: datetime, examples: int) -> IntegrityReport:
    """See `StockRepository.integrity`."""
    drifts: list[Drift] = []
    count = 0
    for rule, statement in (("on_hand", _on_hand()), ("reserved", _reserved()), ("bounds", _bounds())):
        rows = (await connection.execute(statement.limit(max(1, examples)))).all()
        count += rows[0].found if rows else 0
        drifts.extend(
            Drift(rule, row.product_id, row.location_id, row.lot or None, int(row.stored), int(row.expected))
            for row in rows
        )
    return IntegrityReport(
        ok=count == 0,
        balances=await _count(connection, balances),
        movements=await _count(connection, movements),
        drift_count=count,
        drifts=drifts[:examples],
        checked_at=at,
    )


async def _count(connection: Connection, target: Table) -> int:
    return int(await connection.scalar(select(func.count()).select_from(target)) or 0)


def _on_hand() -> Select[Any]:
    sums = _sums(movements, movements.c.delta, select(movements))
    return _unequal(balances.c.on_hand, sums)


def _reserved() -> Select[Any]:
    joined = reservation_lines.join(reservations, reservations.c.id == reservation_lines.c.reservation_id)
    opened = select(reservation_lines).select_from(joined).where(reservations.c.status == ReservationStatus.ACTIVE)
    return _unequal(balances.c.reserved, _sums(reservation_lines, reservation_lines.c.quantity, opened))


def _sums(target: Table, quantity: ColumnElement[int], rows: Select[Any]) -> Any:
    keys = [target.c[name] for name in KEY_NAMES]
    return rows.with_only_columns(*keys, func.sum(quantity).label("total")).group_by(*keys).subquery("sums")


def _unequal(stored: ColumnElement[int], sums: Any) -> Select[Any]:
    expected = func.coalesce(sums.c.total, 0)
    joined = balances.outerjoin(sums, and_(*(sums.c[name] == balances.c[name] for name in KEY_NAMES)))
    return _report(stored, expected).select_from(joined).where(stored != expected)


def _bounds() -> Select[Any]:
    on_hand, reserved = balances.c.on_hand, balances.c.reserved
    broken = or_(
        reserved < 0,
        and_(not_(balances.c.below_zero_allowed), or_(on_hand < 0, reserved > on_hand)),
    )
    return _report(
        case((reserved < 0, reserved), else_=on_hand), case((reserved < 0, literal(0)), else_=reserved)
    ).where(broken)


def _report(stored: ColumnElement[Any], expected: ColumnElement[Any]) -> Select[Any]:
    keys: Sequence[Any] = [balances.c[name] for name in KEY_NAMES]
    found = func.count().over().label("found")
    return select(*keys, stored.label("stored"), expected.label("expected"), found)
