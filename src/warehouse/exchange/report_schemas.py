"""What reports may be asked for, on the wire."""

from abc import abstractmethod
from collections.abc import Mapping
from datetime import datetime
from itertools import pairwise
from typing import Annotated

from pydantic import AfterValidator, ConfigDict, Field, ValidationInfo, field_validator

from warehouse.exchange.report_model import (
    DEFAULT_A_PERCENT,
    DEFAULT_B_PERCENT,
    DEFAULT_BUCKETS,
    DEFAULT_EXPIRING_DAYS,
    DEFAULT_IDLE_DAYS,
    DEFAULT_OUTFLOW_DAYS,
    AbcAnalysis,
    AbcMeasure,
    DeadStock,
    LowStock,
    MovementSummary,
    ReportClock,
    ReportKind,
    ReportParameters,
    StockAgeing,
    StockAsOf,
)
from warehouse.http.fields import Input, Moment, PastMoment, RecordId

MOST_DAYS = 3660
MOST_BUCKETS = 12


def _ascending(days: list[int]) -> list[int]:
    if any(following <= day for day, following in pairwise(days)):
        raise ValueError("Each bucket must end later than the one before it.")
    return days


Days = Annotated[int, Field(ge=1, le=MOST_DAYS)]
BucketDay = Annotated[int, Field(ge=0, le=MOST_DAYS)]
Buckets = Annotated[list[BucketDay], Field(min_length=1, max_length=MOST_BUCKETS), AfterValidator(_ascending)]
Percent = Annotated[int, Field(ge=1, le=100)]
OnlyWarehouse = Annotated[RecordId | None, Field(description="Only this warehouse.")]
OnlyProduct = Annotated[RecordId | None, Field(description="Only this product.")]
ThisWarehouseAlone = Annotated[RecordId | None, Field(description="Only this warehouse; its rows are by warehouse.")]
ByWarehouse = Annotated[
    bool, Field(description="A row for each product and warehouse, in place of one for all warehouses together.")
]
From = Annotated[PastMoment, Field(alias="from", description="The first moment of the range.")]
To = Annotated[Moment | None, Field(description="The end of the range, not within it; by default now.")]


class ReportInput(Input):
    @abstractmethod
    def parameters(self) -> ReportParameters: ...


class StockAsOfInput(ReportInput):
    """What was on hand at a past moment, by product, location and lot."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [{"as_of": "2025-12-31T23:59:59.999999Z", "clock": "occurred", "include_zero": False}]
        }
    )

    as_of: PastMoment | None = Field(None, description="The moment, movements at it included; by default now.")
    clock: Annotated[ReportClock, Field(strict=False)] = Field(
        ReportClock.OCCURRED,
        description="`occurred`: what had happened by then. `recorded`: what had been written down by then.",
    )
    warehouse_id: OnlyWarehouse = None
    product_id: OnlyProduct = None
    include_zero: bool = Field(False, description="List also what has been there and was not any more.")

    def parameters(self) -> StockAsOf:
        return StockAsOf(self.as_of, self.clock, self.warehouse_id, self.product_id, self.include_zero)


class RangeInput(ReportInput):
    """Movements that happened from `from` up to, but not at, `to`."""

    from_: From
    to: To = None

    @field_validator("to")
    @classmethod
    def _forwards(cls, to: datetime | None, info: ValidationInfo) -> datetime | None:
        # What is wrong with `from` itself is told by itself.
        start = info.data.get("from_")
        if to is not None and start is not None and to < start:
            raise ValueError("to must not be before from.")
        return to


class MovementSummaryInput(RangeInput):
    """What moved on each day, by kind of movement."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"from": "2025-11-01T00:00:00Z", "to": "2025-12-01T00:00:00Z"}]}
    )

    warehouse_id: OnlyWarehouse = None
    product_id: OnlyProduct = None

    def parameters(self) -> MovementSummary:
        return MovementSummary(self.from_, self.to, self.warehouse_id, self.product_id)


class LowStockInput(ReportInput):
    """Products of which no more is available than their reorder point, and for how long that will last."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"outflow_days": 28, "by_warehouse": True}]})

    outflow_days: Days = Field(DEFAULT_OUTFLOW_DAYS, description="The days whose shipments tell the daily outflow.")
    by_warehouse: ByWarehouse = False
    warehouse_id: ThisWarehouseAlone = None

    def parameters(self) -> LowStock:
        return LowStock(self.outflow_days, self.by_warehouse, self.warehouse_id)


class StockAgeingInput(ReportInput):
    """How long ago what is on hand came in, and what of it expires."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"buckets": [30, 60, 90, 180], "expiring_days": 30}]})

    buckets: Buckets = Field(
        default_factory=lambda: [*DEFAULT_BUCKETS],
        description="The last day of each age bucket, ascending; what is older has one more.",
    )
    expiring_days: Days = Field(DEFAULT_EXPIRING_DAYS, description="Lots that expire within so many days are expiring.")
    warehouse_id: OnlyWarehouse = None

    def parameters(self) -> StockAgeing:
        return StockAgeing(tuple(self.buckets), self.expiring_days, self.warehouse_id)


class AbcAnalysisInput(RangeInput):
    """Products by how much of them was shipped, in three classes."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"from": "2025-01-01T00:00:00Z", "to": "2026-01-01T00:00:00Z", "by": "units"}]}
    )

    by: Annotated[AbcMeasure, Field(strict=False)] = Field(
        AbcMeasure.UNITS, description="Rank by the units shipped, or by how many movements shipped them."
    )
    a_percent: Percent = Field(DEFAULT_A_PERCENT, description="Up to this cumulative share products are of class A.")
    b_percent: Percent = Field(
        DEFAULT_B_PERCENT, validate_default=True, description="Up to this one of class B; the rest are of class C."
    )
    warehouse_id: OnlyWarehouse = None

    @field_validator("b_percent")
    @classmethod
    def _beyond_a(cls, b_percent: int, info: ValidationInfo) -> int:
        if b_percent < info.data.get("a_percent", 0):
            raise ValueError("b_percent must not be less than a_percent.")
        return b_percent

    def parameters(self) -> AbcAnalysis:
        return AbcAnalysis(self.from_, self.to, self.by, self.a_percent, self.b_percent, self.warehouse_id)


class DeadStockInput(ReportInput):
    """What is on hand of products that have not gone out for long."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"idle_days": 90}]})

    idle_days: Days = Field(DEFAULT_IDLE_DAYS, description="For how many days nothing was shipped.")
    by_warehouse: ByWarehouse = False
    warehouse_id: ThisWarehouseAlone = None

    def parameters(self) -> DeadStock:
        return DeadStock(self.idle_days, self.by_warehouse, self.warehouse_id)


REPORT_INPUTS: Mapping[ReportKind, type[ReportInput]] = {
    ReportKind.STOCK_AS_OF: StockAsOfInput,
    ReportKind.MOVEMENT_SUMMARY: MovementSummaryInput,
    ReportKind.LOW_STOCK: LowStockInput,
    ReportKind.STOCK_AGEING: StockAgeingInput,
    ReportKind.ABC_ANALYSIS: AbcAnalysisInput,
    ReportKind.DEAD_STOCK: DeadStockInput,
}
