"""The statements of the reports. Each aggregates in the database and comes in the order of its report; `:at` is bound
where they are executed."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, Date, Select, and_, case, func, literal_column, or_, select
from sqlalchemy.sql.selectable import FromClause, Subquery

from warehouse.catalogue.model import ProductStatus
from warehouse.exchange.report_model import (
    AbcAnalysis,
    AbcMeasure,
    DeadStock,
    LowStock,
    MovementSummary,
    ReportClock,
    StockAgeing,
    StockAsOf,
)
from warehouse.stock.model import MovementKind
from warehouse.stock.sql_reading import expired, lot_or_null, no_longer_held
from warehouse.storage.dialects import by_sorting
from warehouse.storage.tables import balances, locations, lots, movements, products, reversals, warehouses

DAY = timedelta(days=1)
ZERO: ColumnElement[int] = literal_column("0")
NAMED = (products.c.sku, products.c.name)
WAREHOUSE = warehouses.c.code.label("warehouse")


def stock_as_of(parameters: StockAsOf, at: datetime) -> Select[Any]:
    clock = movements.c.occurred_at if parameters.clock is ReportClock.OCCURRED else movements.c.recorded_at
    keys = (movements.c.product_id, movements.c.location_id, movements.c.lot)
    on_hand = func.sum(movements.c.delta)
    sums = _filtered(by_sorting(select(*keys, on_hand.label("on_hand"))), parameters).where(
        clock <= (parameters.as_of or at)
    )
    sums = sums.group_by(*keys) if parameters.include_zero else sums.group_by(*keys).having(on_hand != ZERO)
    held = sums.subquery("held")
    named = (
        held.join(products, products.c.id == held.c.product_id)
        .join(locations, locations.c.id == held.c.location_id)
        .join(warehouses, warehouses.c.id == locations.c.warehouse_id)
        .outerjoin(lots, and_(lots.c.product_id == held.c.product_id, lots.c.lot == held.c.lot))
    )
    place = (locations.c.warehouse_id, WAREHOUSE, held.c.location_id, locations.c.code.label("location"))
    return (
        select(held.c.product_id, *NAMED, *place, lot_or_null(held.c.lot), lots.c.expires_on, held.c.on_hand)
        .select_from(named)
        .order_by(products.c.sku_key, warehouses.c.code_key, locations.c.code_key, held.c.lot)
    )


def movement_summary(parameters: MovementSummary, at: datetime) -> Select[Any]:
    # Sessions are in UTC on every database.
    day = func.date(movements.c.occurred_at, type_=Date()).label("day")
    delta = movements.c.delta
    return (
        _filtered(
            select(
                day,
                movements.c.kind,
                func.count().label("movements"),
                func.sum(case((delta > ZERO, delta), else_=ZERO)).label("units_in"),
                func.sum(case((delta < ZERO, -delta), else_=ZERO)).label("units_out"),
            ),
            parameters,
        )
        .where(movements.c.occurred_at >= parameters.from_, movements.c.occurred_at < (parameters.to or at))
        .group_by(day, movements.c.kind)
        .order_by(day, movements.c.kind)
    )


def low_stock(parameters: LowStock, at: datetime) -> Select[Any]:
    by_warehouse = parameters.by_warehouse or parameters.warehouse_id is not None
    stock, outflow = _stock(parameters, by_warehouse), _outflow(parameters, by_warehouse, at)
    on_hand, reserved = func.coalesce(stock.c.on_hand, ZERO), func.coalesce(stock.c.reserved, ZERO)
    named = _named(products.outerjoin(stock, stock.c.product_id == products.c.id), stock, by_warehouse)
    same = [outflow.c[column.name] == stock.c[column.name] for column in _keys(balances, by_warehouse)]
    return (
        select(
            products.c.id.label("product_id"),
            *NAMED,
            *_place(stock, by_warehouse),
            on_hand.label("on_hand"),
            reserved.label("reserved"),
            products.c.reorder_point,
            func.coalesce(outflow.c.outflow, ZERO).label("outflow"),
        )
        .select_from(named.outerjoin(outflow, and_(*same)))
        .where(
            products.c.reorder_point.is_not(None),
            products.c.status == ProductStatus.ACTIVE,
            on_hand - reserved <= products.c.reorder_point,
        )
        .order_by(*_order(by_warehouse))
    )


def dead_stock(parameters: DeadStock, at: datetime) -> Select[Any]:
    by_warehouse = parameters.by_warehouse or parameters.warehouse_id is not None
    stock = _stock(parameters, by_warehouse)
    keys = _keys(movements, by_warehouse)
    kind, moment = movements.c.kind, movements.c.occurred_at
    shipped_at = func.max(case((kind == MovementKind.SHIPMENT, moment))).label("last_outflow_at")
    received_at = func.max(case((kind == MovementKind.RECEIPT, moment))).label("last_receipt_at")
    last = (
        _standing(_filtered(by_sorting(select(*keys, shipped_at, received_at)), parameters))
        .where(kind.in_((MovementKind.SHIPMENT, MovementKind.RECEIPT)))
        .group_by(*keys)
        .subquery("last")
    )
    named = _named(stock.join(products, products.c.id == stock.c.product_id), stock, by_warehouse)
    same = [last.c[column.name] == stock.c[column.name] for column in keys]
    idle = or_(last.c.last_outflow_at.is_(None), last.c.last_outflow_at <= at - parameters.idle_days * DAY)
    facts = (stock.c.on_hand, last.c.last_outflow_at, last.c.last_receipt_at)
    return (
        select(stock.c.product_id, *NAMED, *_place(stock, by_warehouse), *facts)
        .select_from(named.outerjoin(last, and_(*same)))
        .where(stock.c.on_hand > ZERO, idle)
        .order_by(*_order(by_warehouse))
    )


def lot_ages(parameters: StockAgeing, at: datetime) -> Select[Any]:
    """`arrived_0`, `arrived_1`… are what came in within each closed bucket."""
    keys = (balances.c.product_id, balances.c.warehouse_id, balances.c.lot)
    on_hand = func.sum(balances.c.on_hand)
    held = select(*keys, on_hand.label("on_hand")).group_by(*keys).having(on_hand > ZERO)
    if parameters.warehouse_id is not None:
        held = held.where(balances.c.warehouse_id == parameters.warehouse_id)
    stock, arrived = held.subquery("held"), _arrived(parameters, at)
    named = (
        stock.join(products, products.c.id == stock.c.product_id)
        .join(warehouses, warehouses.c.id == stock.c.warehouse_id)
        .outerjoin(lots, and_(lots.c.product_id == stock.c.product_id, lots.c.lot == stock.c.lot))
        .outerjoin(arrived, and_(*(arrived.c[column.name] == stock.c[column.name] for column in keys)))
    )
    sums = [func.coalesce(arrived.c[name], ZERO).label(name) for name in arrival_names(parameters.buckets)]
    return (
        select(stock.c.product_id, *NAMED, stock.c.warehouse_id, WAREHOUSE, stock.c.on_hand, lots.c.expires_on, *sums)
        .select_from(named)
        .order_by(products.c.sku_key, warehouses.c.code_key, stock.c.lot)
    )


def arrival_names(buckets: Sequence[int]) -> list[str]:
    return [f"arrived_{number}" for number in range(len(buckets))]


def shipped(parameters: AbcAnalysis, at: datetime) -> Select[Any]:
    units, lines = func.sum(-movements.c.delta).label("units"), func.count().label("movements")
    gone = (
        _shipments(by_sorting(select(movements.c.product_id, units, lines)), parameters)
        .where(movements.c.occurred_at >= parameters.from_, movements.c.occurred_at < (parameters.to or at))
        .group_by(movements.c.product_id)
        .subquery("gone")
    )
    measure = func.coalesce(gone.c.units if parameters.by is AbcMeasure.UNITS else gone.c.movements, ZERO)
    return (
        select(
            products.c.id.label("product_id"),
            *NAMED,
            func.coalesce(gone.c.units, ZERO).label("units"),
            func.coalesce(gone.c.movements, ZERO).label("movements"),
            func.sum(measure).over().label("total"),
        )
        .select_from(products.outerjoin(gone, gone.c.product_id == products.c.id))
        .where(or_(products.c.status == ProductStatus.ACTIVE, gone.c.product_id.is_not(None)))
        .order_by(measure.desc(), products.c.sku_key)
    )


def _filtered(statement: Select[Any], parameters: Any) -> Select[Any]:
    """Movements of one warehouse, or of one product, where the parameters name it."""
    for name in ("warehouse_id", "product_id"):
        if (wanted := getattr(parameters, name, None)) is not None:
            statement = statement.where(movements.c[name] == wanted)
    return statement


def _standing(statement: Select[Any]) -> Select[Any]:
    """Movements whose command was not reversed, or whose reversal was, and so on."""
    first = select(reversals.c.command_id, reversals.c.reversal_id, literal_column("1").label("depth"))
    chain = first.cte("chain", recursive=True)
    further = select(chain.c.command_id, reversals.c.reversal_id, chain.c.depth + literal_column("1"))
    chain = chain.union_all(further.join(reversals, reversals.c.command_id == chain.c.reversal_id))
    odd = func.max(chain.c.depth) % literal_column("2") == literal_column("1")
    # Not by NOT IN: MariaDB would look through them all again for each movement.
    undone = select(chain.c.command_id).group_by(chain.c.command_id).having(odd).subquery("undone")
    joined = movements.outerjoin(undone, undone.c.command_id == movements.c.command_id)
    return statement.select_from(joined).where(undone.c.command_id.is_(None))


def _shipments(statement: Select[Any], parameters: Any) -> Select[Any]:
    return _standing(_filtered(statement, parameters)).where(movements.c.kind == MovementKind.SHIPMENT)


def _keys(source: FromClause, by_warehouse: bool) -> list[ColumnElement[Any]]:
    return [source.c.product_id, source.c.warehouse_id] if by_warehouse else [source.c.product_id]


def _stock(parameters: LowStock | DeadStock, by_warehouse: bool) -> Subquery:
    """On hand and reserved as they are at `:at`."""
    past = expired()
    same, quantity = no_longer_held(balances, past)
    keys = _keys(balances, by_warehouse)
    sums = select(
        *keys,
        func.sum(balances.c.on_hand).label("on_hand"),
        func.sum(balances.c.reserved - quantity).label("reserved"),
    )
    if parameters.warehouse_id is not None:
        sums = sums.where(balances.c.warehouse_id == parameters.warehouse_id)
    return sums.select_from(balances.outerjoin(past, same)).group_by(*keys).subquery("stock")


def _outflow(parameters: LowStock, by_warehouse: bool, at: datetime) -> Subquery:
    keys = _keys(movements, by_warehouse)
    since = at - parameters.outflow_days * DAY
    return (
        _shipments(by_sorting(select(*keys, func.sum(-movements.c.delta).label("outflow"))), parameters)
        .where(movements.c.occurred_at > since)
        .group_by(*keys)
        .subquery("outflow")
    )


def _named(source: Any, stock: Subquery, by_warehouse: bool) -> Any:
    return source.join(warehouses, warehouses.c.id == stock.c.warehouse_id) if by_warehouse else source


def _place(stock: Subquery, by_warehouse: bool) -> Sequence[ColumnElement[Any]]:
    return (stock.c.warehouse_id, WAREHOUSE) if by_warehouse else ()


def _order(by_warehouse: bool) -> Sequence[ColumnElement[Any]]:
    return (products.c.sku_key, warehouses.c.code_key) if by_warehouse else (products.c.sku_key,)


def _arrived(parameters: StockAgeing, at: datetime) -> Subquery:
    """What came into a warehouse within each closed bucket. The sum over a command leaves out what it moved about
    within the warehouse."""
    keys = (movements.c.product_id, movements.c.warehouse_id, movements.c.lot)
    units = func.sum(movements.c.delta)
    # All movements of a command happened at once.
    moment = func.max(movements.c.occurred_at).label("moment")
    edges = [at - (last + 1) * DAY for last in parameters.buckets]
    arrivals = (
        _standing(_filtered(by_sorting(select(*keys, moment, units.label("units"))), parameters))
        .where(
            movements.c.occurred_at > edges[-1],
            movements.c.kind.not_in((MovementKind.SHIPMENT, MovementKind.REVERSAL)),
        )
        .group_by(*keys, movements.c.command_id)
        .having(units > ZERO)
        .subquery("arrivals")
    )
    sums = []
    for number, (name, edge) in enumerate(zip(arrival_names(parameters.buckets), edges, strict=True)):
        within = arrivals.c.moment > edge
        if number:
            within = and_(within, arrivals.c.moment <= edges[number - 1])
        sums.append(func.sum(case((within, arrivals.c.units), else_=ZERO)).label(name))
    into = [arrivals.c[column.name] for column in keys]
    return select(*into, *sums).group_by(*into).subquery("arrived")
