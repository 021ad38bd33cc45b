from collections.abc import Collection, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, Row, and_, insert, or_, select, tuple_, update

from warehouse.cache import tags
from warehouse.stock.model import NO_LOT, BalanceKey, Reservation, ReservationLine, ReservationStatus
from warehouse.storage.connection import Connection
from warehouse.storage.dialects import behind, common
from warehouse.storage.tables import products, reservation_lines, reservations

ACTIVE = ReservationStatus.ACTIVE
HEADER = tuple(reservations.c[name] for name in Reservation.__dataclass_fields__ if name != "lines")
LINE = tuple(
    products.c.sku if name == "sku" else reservation_lines.c[name] for name in ReservationLine.__dataclass_fields__
)

_INSERT, _INSERT_LINES = insert(reservations), insert(reservation_lines)


class SqlReservationRepository:
    def __init__(self, connection: Connection, touch: tags.Touch) -> None:
        self._connection = connection
        self._touch = touch

    async def add(self, reservation: Reservation) -> None:
        header = {column.name: getattr(reservation, column.name) for column in HEADER}
        await self._connection.execute(_INSERT, header)
        rows = [
            {
                "reservation_id": reservation.id,
                "line": number,
                "product_id": line.product_id,
                "location_id": line.location_id,
                "lot": line.lot or NO_LOT,
                "warehouse_id": line.warehouse_id,
                "quantity": line.quantity,
            }
            for number, line in enumerate(reservation.lines, start=1)
        ]
        await self._connection.execute(_INSERT_LINES, rows)

    async def get(self, reservation_id: UUID) -> Reservation | None:
        rows = await self._connection.execute(select(*HEADER).where(reservations.c.id == reservation_id))
        found = await self._with_lines(rows.all())
        return found[0] if found else None

    async def decide(self, reservation_id: UUID, status: ReservationStatus, at: datetime) -> bool:
        expired = reservations.c.expires_at <= at
        condition = expired if status is ReservationStatus.EXPIRED else ~expired
        return await self._change(reservation_id, condition, at, status=status)

    async def extend(self, reservation_id: UUID, expires_at: datetime, at: datetime) -> bool:
        if not await self._change(reservation_id, reservations.c.expires_at > at, at, expires_at=expires_at):
            return False
        # Cached stock counts until what is reserved of it expires.
        lines = select(reservation_lines.c.product_id).where(reservation_lines.c.reservation_id == reservation_id)
        for product_id in (await self._connection.execute(lines)).scalars():
            self._touch(tags.written_stock(product_id))
        return True

    async def due(self, at: datetime, limit: int) -> list[UUID]:
        statement = (
            select(reservations.c.id)
            .where(_due(at))
            .order_by(reservations.c.expires_at, reservations.c.id)
            .limit(limit)
        )
        return list((await self._connection.execute(statement)).scalars())

    async def due_on(self, keys: Collection[BalanceKey], at: datetime) -> list[UUID]:
        wanted = [(key.product_id, key.location_id, key.lot) for key in keys]
        held = tuple_(reservation_lines.c.product_id, reservation_lines.c.location_id, reservation_lines.c.lot)
        statement = (
            select(reservations.c.id)
            .join(reservation_lines, reservation_lines.c.reservation_id == reservations.c.id)
            .where(_due(at), held.in_(wanted))
            .distinct()
            .order_by(reservations.c.id)
        )
        return list((await self._connection.execute(statement)).scalars())

    async def page(
        self,
        status: ReservationStatus | None,
        reference: str | None,
        at: datetime,
        after: Sequence[Any] | None,
        limit: int,
    ) -> list[Reservation]:
        statement = select(*HEADER)
        if status is not None:
            statement = statement.where(_reads_as(self._connection.dialect.name, status, at))
        if reference is not None:
            statement = statement.where(reservations.c.reference == reference)
        if after is not None:
            statement = statement.where(behind((reservations.c.id,), after, descending=True))
        rows = await self._connection.execute(statement.order_by(reservations.c.id.desc()).limit(limit))
        return await self._with_lines(rows.all())

    async def _change(self, reservation_id: UUID, condition: ColumnElement[bool], at: datetime, **values: Any) -> bool:
        result = await self._connection.execute(
            update(reservations)
            .where(reservations.c.id == reservation_id, reservations.c.status == ACTIVE, condition)
            .values(version=reservations.c.version + 1, updated_at=at, **values)
        )
        return result.rowcount == 1

    async def _with_lines(self, headers: Sequence[Row[Any]]) -> list[Reservation]:
        if not headers:
            return []
        statement = (
            select(reservation_lines.c.reservation_id, *LINE)
            .join(products, products.c.id == reservation_lines.c.product_id)
            .where(reservation_lines.c.reservation_id.in_([header.id for header in headers]))
            .order_by(reservation_lines.c.reservation_id, reservation_lines.c.line)
        )
        lines: dict[UUID, list[ReservationLine]] = {header.id: [] for header in headers}
        for reservation_id, *values in await self._connection.execute(statement):
            line = ReservationLine(*values)
            lines[reservation_id].append(replace(line, lot=line.lot or None))
        return [_reservation(header, lines[header.id]) for header in headers]


def _due(at: datetime) -> ColumnElement[bool]:
    return and_(reservations.c.status == ACTIVE, reservations.c.expires_at <= at)


def _reads_as(dialect: str, status: ReservationStatus, at: datetime) -> ColumnElement[bool]:
    stored = reservations.c.status == status
    if status is ACTIVE:
        return and_(stored, reservations.c.expires_at > at)
    return or_(stored, _due(at)) if status is ReservationStatus.EXPIRED else common(dialect, stored)


def _reservation(header: Row[Any], lines: Sequence[ReservationLine]) -> Reservation:
    values = header._asdict()
    values["status"] = ReservationStatus(values["status"])
    return Reservation(**values, lines=lines)
