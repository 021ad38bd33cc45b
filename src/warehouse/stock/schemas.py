"""The ledger on the wire."""

from datetime import date, datetime, timedelta
from typing import Annotated, Any, Self
from uuid import UUID

from pydantic import Field, model_validator

from warehouse.clock import utc_now
from warehouse.http.fields import (
    CountedQuantity,
    Day,
    Input,
    Lot,
    Moment,
    Output,
    PastMoment,
    Quantity,
    Reason,
    RecordId,
    Reference,
    SignedQuantity,
    Sku,
)
from warehouse.http.pagination import Page
from warehouse.http.problems import FieldProblem
from warehouse.quantities import MAX_ON_HAND
from warehouse.stock.model import (
    CommandHeader,
    CountLine,
    MovementKind,
    ProductRef,
    ReservationStatus,
    StockLine,
    TransferLine,
)

MAX_LINES = 500
DEFAULT_HOLD = timedelta(minutes=15)
LONGEST_HOLD = timedelta(days=90)


class LineInput(Input):
    """The product by its SKU or its id: exactly one of them."""

    sku: Sku | None = None
    product_id: RecordId | None = None
    lot: Lot | None = None

    @model_validator(mode="after")
    def _one_product(self) -> Self:
        _exactly_one(sku=self.sku, product_id=self.product_id)
        return self

    def ref(self) -> ProductRef:
        return ProductRef(self.product_id, self.sku)


class PlacedLineInput(LineInput):
    """Where: at a location, or anywhere in a warehouse, which leaves the choice to the service."""

    location_id: RecordId | None = None
    warehouse_id: RecordId | None = None

    @model_validator(mode="after")
    def _one_place(self) -> Self:
        _exactly_one(location_id=self.location_id, warehouse_id=self.warehouse_id)
        return self


class ReceiptLineInput(PlacedLineInput):
    quantity: Quantity
    expires_on: Day | None = None

    @model_validator(mode="after")
    def _lot_expires(self) -> Self:
        _only_lots_expire(self.lot, self.expires_on)
        return self

    def line(self) -> StockLine:
        return StockLine(self.ref(), self.quantity, self.location_id, self.warehouse_id, self.lot, self.expires_on)


class ShipmentLineInput(PlacedLineInput):
    quantity: Quantity

    def line(self) -> StockLine:
        return StockLine(self.ref(), self.quantity, self.location_id, self.warehouse_id, self.lot)


class AdjustmentLineInput(PlacedLineInput):
    quantity: SignedQuantity
    expires_on: Day | None = None

    @model_validator(mode="after")
    def _changes_something(self) -> Self:
        if self.quantity == 0:
            raise ValueError("quantity must not be 0.")
        _only_lots_expire(self.lot, self.expires_on)
        return self

    def line(self) -> StockLine:
        return StockLine(self.ref(), self.quantity, self.location_id, self.warehouse_id, self.lot, self.expires_on)


class CountLineInput(LineInput):
    """What was counted, and what the counter believed: on hand or the balance's version, exactly one of them."""

    location_id: RecordId
    on_hand: CountedQuantity
    expected_on_hand: Annotated[int, Field(ge=-MAX_ON_HAND, le=MAX_ON_HAND)] | None = None
    expected_version: Annotated[int, Field(ge=0, le=MAX_ON_HAND)] | None = None

    @model_validator(mode="after")
    def _one_expectation(self) -> Self:
        _exactly_one(expected_on_hand=self.expected_on_hand, expected_version=self.expected_version)
        return self

    def line(self) -> CountLine:
        return CountLine(
            self.ref(), self.location_id, self.on_hand, self.lot, self.expected_on_hand, self.expected_version
        )


class TransferLineInput(LineInput):
    from_location_id: RecordId
    to_location_id: RecordId
    quantity: Quantity

    @model_validator(mode="after")
    def _goes_somewhere(self) -> Self:
        if self.from_location_id == self.to_location_id:
            raise ValueError("from_location_id and to_location_id must differ.")
        return self

    def line(self) -> TransferLine:
        return TransferLine(self.ref(), self.quantity, self.from_location_id, self.to_location_id, self.lot)


class CommandInput(Input):
    reference: Reference | None = None
    reason: Reason | None = None
    occurred_at: PastMoment | None = Field(None, description="When it happened, if not now.")
    dry_run: bool = Field(False, description="Tell what would happen, and do nothing.")

    def header(self) -> CommandHeader:
        return CommandHeader(self.reference, self.reason, self.occurred_at, self.dry_run)


class ReceiptInput(CommandInput):
    lines: Annotated[list[ReceiptLineInput], Field(min_length=1, max_length=MAX_LINES)]


class ShipmentInput(CommandInput):
    lines: Annotated[list[ShipmentLineInput], Field(min_length=1, max_length=MAX_LINES)]


class AdjustmentInput(CommandInput):
    reason: Reason = Field(description="Why, in a code of your own: damaged, lost, found…")
    lines: Annotated[list[AdjustmentLineInput], Field(min_length=1, max_length=MAX_LINES)]


class CountInput(CommandInput):
    lines: Annotated[list[CountLineInput], Field(min_length=1, max_length=MAX_LINES)]


class TransferInput(CommandInput):
    lines: Annotated[list[TransferLineInput], Field(min_length=1, max_length=MAX_LINES)]


class ReversalInput(CommandInput):
    command_id: RecordId = Field(description="The command whose every movement is to be undone.")


class ExpiryInput(Input):
    """Until when: `expires_at`, or `expires_in` seconds from now; not both."""

    expires_at: Moment | None = None
    expires_in: Annotated[int, Field(ge=1, le=LONGEST_HOLD // timedelta(seconds=1))] | None = None

    @model_validator(mode="after")
    def _one_expiry(self) -> Self:
        if self.expires_at is not None and self.expires_in is not None:
            raise ValueError("Give expires_at or expires_in, not both.")
        # That it lies ahead is for the service to check: a replay may come after it.
        if self.expires_at is not None and self.expires_at > utc_now() + LONGEST_HOLD:
            raise ValueError(f"expires_at must be at most {LONGEST_HOLD.days} days ahead.")
        return self

    def moment(self) -> datetime:
        hold = DEFAULT_HOLD if self.expires_in is None else timedelta(seconds=self.expires_in)
        return self.expires_at or utc_now() + hold


class ReservationInput(ExpiryInput):
    """Without an expiry it holds for 15 minutes."""

    reference: Reference | None = None
    reason: Reason | None = None
    dry_run: bool = Field(False, description="Tell what would happen, and do nothing.")
    lines: Annotated[list[ShipmentLineInput], Field(min_length=1, max_length=MAX_LINES)]

    def header(self) -> CommandHeader:
        return CommandHeader(self.reference, self.reason, dry_run=self.dry_run)


class ExtensionInput(ExpiryInput):
    @model_validator(mode="after")
    def _some_expiry(self) -> Self:
        _exactly_one(expires_at=self.expires_at, expires_in=self.expires_in)
        return self


class BalanceRead(Output):
    product_id: UUID
    sku: str
    warehouse_id: UUID
    location_id: UUID
    lot: str | None
    expires_on: date | None
    on_hand: int
    reserved: int
    available: int
    version: int
    updated_at: datetime


class BalancePage(Page[BalanceRead]):
    pass


class MovementRead(Output):
    id: UUID
    command_id: UUID
    line: int
    product_id: UUID
    sku: str
    warehouse_id: UUID
    location_id: UUID
    lot: str | None
    delta: int
    kind: MovementKind
    reason: str | None
    reference: str | None
    actor: str
    occurred_at: datetime
    recorded_at: datetime


class MovementPage(Page[MovementRead]):
    pass


class CommandRead(Output):
    """What a command did."""

    command_id: UUID
    movements: list[MovementRead]
    balances: list[BalanceRead]


class RehearsalRead(Output):
    """What a command would do (`dry_run`). Where `ok` is false it would be refused, for the errors listed."""

    ok: bool
    movements: list[MovementRead]
    balances: list[BalanceRead]
    errors: list[FieldProblem]


class ReservationLineRead(Output):
    product_id: UUID
    sku: str
    warehouse_id: UUID
    location_id: UUID
    lot: str | None
    quantity: int


class ReservationRead(Output):
    id: UUID
    status: ReservationStatus
    reference: str | None
    reason: str | None
    actor: str
    lines: list[ReservationLineRead]
    expires_at: datetime
    version: int
    created_at: datetime
    updated_at: datetime


class ReservationPage(Page[ReservationRead]):
    pass


class WarehouseTotalRead(Output):
    warehouse_id: UUID
    on_hand: int
    reserved: int
    available: int


class StockSummaryRead(Output):
    product_id: UUID
    sku: str
    on_hand: int
    reserved: int
    available: int
    warehouses: list[WarehouseTotalRead]


class DriftRead(Output):
    rule: str = Field(description="`on_hand`, `reserved` or `bounds`.")
    product_id: UUID
    location_id: UUID
    lot: str | None
    stored: int
    expected: int


class IntegrityRead(Output):
    """Whether every balance is what the ledger says. `drifts` lists the first 100."""

    ok: bool
    balances: int
    movements: int
    drift_count: int
    drifts: list[DriftRead]
    checked_at: datetime


REHEARSAL: dict[int | str, dict[str, Any]] = {
    200: {"model": RehearsalRead, "description": "The answer to a dry run."},
}
"""What every command documents beside its real answer."""


def _exactly_one(**values: object) -> None:
    if sum(value is not None for value in values.values()) != 1:
        raise ValueError(f"Give exactly one of {' and '.join(values)}.")


def _only_lots_expire(lot: str | None, expires_on: date | None) -> None:
    if expires_on is not None and lot is None:
        raise ValueError("expires_on needs a lot.")
