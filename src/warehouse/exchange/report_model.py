"""Reports of the ledger: what may be asked, and what a row says. docs/reports.md defines each of them.

Quantities are whole base units; days that are counted are 24 hours.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import date, datetime
from enum import StrEnum
from typing import Any, Protocol, TypeAlias
from uuid import UUID

from warehouse.stock.model import MovementKind

DEFAULT_OUTFLOW_DAYS = 28
DEFAULT_IDLE_DAYS = 90
DEFAULT_EXPIRING_DAYS = 30
DEFAULT_BUCKETS = (30, 60, 90, 180)
DEFAULT_A_PERCENT = 80
DEFAULT_B_PERCENT = 95


class ReportKind(StrEnum):
    STOCK_AS_OF = "stock_as_of"
    MOVEMENT_SUMMARY = "movement_summary"
    LOW_STOCK = "low_stock"
    STOCK_AGEING = "stock_ageing"
    ABC_ANALYSIS = "abc_analysis"
    DEAD_STOCK = "dead_stock"


class ReportFormat(StrEnum):
    JSON = "json"
    CSV = "csv"

    @property
    def media_type(self) -> str:
        return "application/json" if self is ReportFormat.JSON else "text/csv; charset=utf-8"


class ReportClock(StrEnum):
    """By when movements happened, or by when they were written."""

    OCCURRED = "occurred"
    RECORDED = "recorded"


class AbcMeasure(StrEnum):
    UNITS = "units"
    MOVEMENTS = "movements"


class AbcClass(StrEnum):
    A = "A"
    B = "B"
    C = "C"


@dataclass(frozen=True, slots=True)
class StockAsOf:
    """`as_of` None stands for the moment of the snapshot."""

    as_of: datetime | None = None
    clock: ReportClock = ReportClock.OCCURRED
    warehouse_id: UUID | None = None
    product_id: UUID | None = None
    include_zero: bool = False


@dataclass(frozen=True, slots=True)
class MovementSummary:
    """`from_` is inclusive, `to` exclusive; None stands for the moment of the snapshot."""

    from_: datetime
    to: datetime | None = None
    warehouse_id: UUID | None = None
    product_id: UUID | None = None


@dataclass(frozen=True, slots=True)
class LowStock:
    """With `warehouse_id` rows are by warehouse, of this one alone."""

    outflow_days: int = DEFAULT_OUTFLOW_DAYS
    by_warehouse: bool = False
    warehouse_id: UUID | None = None


@dataclass(frozen=True, slots=True)
class StockAgeing:
    """`buckets` are the last days of all age buckets but the last, which is open, in ascending order."""

    buckets: tuple[int, ...] = DEFAULT_BUCKETS
    expiring_days: int = DEFAULT_EXPIRING_DAYS
    warehouse_id: UUID | None = None


@dataclass(frozen=True, slots=True)
class AbcAnalysis:
    """`from_` is inclusive, `to` exclusive; None stands for the moment of the snapshot."""

    from_: datetime
    to: datetime | None = None
    by: AbcMeasure = AbcMeasure.UNITS
    a_percent: int = DEFAULT_A_PERCENT
    b_percent: int = DEFAULT_B_PERCENT
    warehouse_id: UUID | None = None


@dataclass(frozen=True, slots=True)
class DeadStock:
    """With `warehouse_id` rows are by warehouse, of this one alone."""

    idle_days: int = DEFAULT_IDLE_DAYS
    by_warehouse: bool = False
    warehouse_id: UUID | None = None


ReportParameters: TypeAlias = StockAsOf | MovementSummary | LowStock | StockAgeing | AbcAnalysis | DeadStock


class ReportRow(Protocol):
    """A frozen dataclass: its fields are the members of the JSON object, in their order."""

    def counted(self) -> Mapping[str, int]:
        """What the summary adds up."""
        ...


@dataclass(frozen=True, slots=True)
class StockAsOfRow:
    product_id: UUID
    sku: str
    name: str
    warehouse_id: UUID
    warehouse: str
    location_id: UUID
    location: str
    lot: str | None
    expires_on: date | None
    on_hand: int

    def counted(self) -> Mapping[str, int]:
        return {"on_hand": self.on_hand}


@dataclass(frozen=True, slots=True)
class MovementSummaryRow:
    day: date
    kind: MovementKind
    movements: int
    units_in: int
    units_out: int
    net: int

    def counted(self) -> Mapping[str, int]:
        return {
            "movements": self.movements,
            "units_in": self.units_in,
            "units_out": self.units_out,
            "net": self.net,
        }


@dataclass(frozen=True, slots=True)
class LowStockRow:
    """`warehouse_id` and `warehouse` are None in a row of all warehouses together."""

    product_id: UUID
    sku: str
    name: str
    warehouse_id: UUID | None
    warehouse: str | None
    on_hand: int
    reserved: int
    available: int
    reorder_point: int
    outflow: int
    daily_outflow: float
    days_of_cover: float | None

    def counted(self) -> Mapping[str, int]:
        return {"out_of_stock": int(self.available <= 0)}


@dataclass(frozen=True, slots=True)
class LotAge:
    """What is on hand of one lot in one warehouse, or of all that has no lot; and how much of it came in within each
    closed age bucket."""

    product_id: UUID
    sku: str
    name: str
    warehouse_id: UUID
    warehouse: str
    on_hand: int
    expires_on: date | None
    arrived: Sequence[int]

    @property
    def place(self) -> tuple[UUID, UUID]:
        return self.product_id, self.warehouse_id


@dataclass(frozen=True, slots=True)
class StockAgeingRow:
    """`ages` holds the units in each bucket, by its label."""

    product_id: UUID
    sku: str
    name: str
    warehouse_id: UUID
    warehouse: str
    on_hand: int
    ages: Mapping[str, int]
    expired: int
    expiring: int

    def counted(self) -> Mapping[str, int]:
        return {"on_hand": self.on_hand, **self.ages, "expired": self.expired, "expiring": self.expiring}


@dataclass(frozen=True, slots=True)
class Shipped:
    """What of a product went out, and how much did of all products together in the measure asked for."""

    product_id: UUID
    sku: str
    name: str
    units: int
    movements: int
    total: int


@dataclass(frozen=True, slots=True)
class AbcRow:
    rank: int
    product_id: UUID
    sku: str
    name: str
    units: int
    movements: int
    share_percent: float
    cumulative_percent: float
    abc_class: AbcClass

    def counted(self) -> Mapping[str, int]:
        return {"units": self.units, "movements": self.movements, f"class_{self.abc_class.lower()}": 1}


@dataclass(frozen=True, slots=True)
class DeadStockRow:
    """`warehouse_id` and `warehouse` are None in a row of all warehouses together."""

    product_id: UUID
    sku: str
    name: str
    warehouse_id: UUID | None
    warehouse: str | None
    on_hand: int
    last_outflow_at: datetime | None
    days_since_outflow: int | None
    last_receipt_at: datetime | None

    def counted(self) -> Mapping[str, int]:
        return {"on_hand": self.on_hand}


def written_out(parameters: ReportParameters) -> dict[str, Any]:
    """The parameters by the names that clients know."""
    return {field.name.rstrip("_"): getattr(parameters, field.name) for field in fields(parameters)}
