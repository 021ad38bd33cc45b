"""The stock ledger: balances, the movements that make them, and reservations. Quantities are whole base units."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from enum import StrEnum
from uuid import UUID

from warehouse.errors import FieldError

NO_LOT = ""
"""The lot of stock that is not told apart by lot: a sentinel, for a unique key admits many NULLs."""


class MovementKind(StrEnum):
    RECEIPT = "receipt"
    SHIPMENT = "shipment"
    ADJUSTMENT = "adjustment"
    COUNT = "count"
    TRANSFER = "transfer"
    REVERSAL = "reversal"


class ReservationStatus(StrEnum):
    ACTIVE = "active"
    CONFIRMED = "confirmed"
    RELEASED = "released"
    EXPIRED = "expired"


class MovementSort(StrEnum):
    """`recorded_at` is the order in which the ledger was written, `occurred_at` that of the events."""

    RECORDED_AT = "recorded_at"
    RECORDED_AT_DESCENDING = "-recorded_at"
    OCCURRED_AT = "occurred_at"
    OCCURRED_AT_DESCENDING = "-occurred_at"


@dataclass(frozen=True, slots=True, order=True)
class BalanceKey:
    """Its order is the one in which every transaction takes its locks."""

    product_id: UUID
    location_id: UUID
    lot: str


@dataclass(frozen=True, slots=True)
class Balance:
    """Field names and order are those of the wire. `available` is on hand less reserved."""

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

    @property
    def key(self) -> BalanceKey:
        return BalanceKey(self.product_id, self.location_id, self.lot or NO_LOT)


@dataclass(frozen=True, slots=True)
class HeldBalance:
    """A balance whose row this transaction has locked."""

    key: BalanceKey
    warehouse_id: UUID
    on_hand: int
    reserved: int
    version: int

    @property
    def available(self) -> int:
        return self.on_hand - self.reserved


@dataclass(frozen=True, slots=True)
class BalanceChange:
    """What one transaction does to one balance. With `guarded` the database refuses it unless afterwards
    `0 <= reserved <= on_hand`; without (the product allows negative stock) only `reserved` must stay at 0 or above."""

    key: BalanceKey
    warehouse_id: UUID
    on_hand: int
    reserved: int
    guarded: bool


@dataclass(frozen=True, slots=True)
class Movement:
    """One row of the ledger. Field names and order are those of the wire. Never changed, never deleted."""

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


@dataclass(frozen=True, slots=True)
class ReservationLine:
    """Field names and order are those of the wire."""

    product_id: UUID
    sku: str
    warehouse_id: UUID
    location_id: UUID
    lot: str | None
    quantity: int

    @property
    def key(self) -> BalanceKey:
        return BalanceKey(self.product_id, self.location_id, self.lot or NO_LOT)


@dataclass(frozen=True, slots=True)
class Reservation:
    """A promise of stock until `expires_at`. Field names and order are those of the wire."""

    id: UUID
    status: ReservationStatus
    reference: str | None
    reason: str | None
    actor: str
    lines: Sequence[ReservationLine]
    expires_at: datetime
    version: int
    created_at: datetime
    updated_at: datetime


@dataclass(frozen=True, slots=True)
class ProductRef:
    """A product named by exactly one of its id and its SKU."""

    id: UUID | None = None
    sku: str | None = None


@dataclass(frozen=True, slots=True)
class StockLine:
    """So much of a product, at a location or anywhere in a warehouse (exactly one of the two is given).
    `quantity` is positive, but in an adjustment, where it is the signed change. `expires_on` counts in receipts."""

    product: ProductRef
    quantity: int
    location_id: UUID | None = None
    warehouse_id: UUID | None = None
    lot: str | None = None
    expires_on: date | None = None


@dataclass(frozen=True, slots=True)
class TransferLine:
    product: ProductRef
    quantity: int
    from_location_id: UUID
    to_location_id: UUID
    lot: str | None = None


@dataclass(frozen=True, slots=True)
class CountLine:
    """What was counted, and what the counter believed: exactly one of the two expectations is given.
    A balance that does not exist yet has on hand 0 and version 0."""

    product: ProductRef
    location_id: UUID
    on_hand: int
    lot: str | None = None
    expected_on_hand: int | None = None
    expected_version: int | None = None


@dataclass(frozen=True, slots=True)
class CommandHeader:
    """What all the lines of a command share. `occurred_at` is when it happened, not when it is written."""

    reference: str | None = None
    reason: str | None = None
    occurred_at: datetime | None = None
    dry_run: bool = False


@dataclass(frozen=True, slots=True)
class CommandResult:
    """What a stock command did. Field names and order are those of the wire."""

    command_id: UUID
    movements: Sequence[Movement]
    balances: Sequence[Balance]


@dataclass(frozen=True, slots=True)
class Rehearsal:
    """What a command would do now: the movements it would write, the balances that would result, and every error
    for which it would be refused. Field names and order are those of the wire."""

    ok: bool
    movements: Sequence[Movement]
    balances: Sequence[Balance]
    errors: Sequence[FieldError]

    @classmethod
    def of(
        cls, movements: Sequence[Movement], balances: Sequence[Balance], errors: Sequence[FieldError]
    ) -> "Rehearsal":
        return cls(not errors, movements, balances, errors)


@dataclass(frozen=True, slots=True)
class BalanceFilter:
    """`low` asks for balances of products whose available stock, in the warehouse asked for or else in all together,
    is at or below their reorder point."""

    product_id: UUID | None = None
    sku: str | None = None
    warehouse_id: UUID | None = None
    location_id: UUID | None = None
    lot: str | None = None
    low: bool = False


@dataclass(frozen=True, slots=True)
class MovementFilter:
    """`occurred_from` is inclusive, `occurred_to` exclusive."""

    product_id: UUID | None = None
    sku: str | None = None
    warehouse_id: UUID | None = None
    location_id: UUID | None = None
    command_id: UUID | None = None
    reference: str | None = None
    occurred_from: datetime | None = None
    occurred_to: datetime | None = None


@dataclass(frozen=True, slots=True)
class WarehouseTotal:
    warehouse_id: UUID
    on_hand: int
    reserved: int
    available: int


@dataclass(frozen=True, slots=True)
class StockSummary:
    """A product's stock, in all and by warehouse. Field names and order are those of the wire."""

    product_id: UUID
    sku: str
    on_hand: int
    reserved: int
    available: int
    warehouses: Sequence[WarehouseTotal]


@dataclass(frozen=True, slots=True)
class Drift:
    """A balance that breaks an invariant: `rule` is `on_hand`, `reserved` or `bounds`;
    `stored` what the balance says, `expected` what follows from the ledger."""

    rule: str
    product_id: UUID
    location_id: UUID
    lot: str | None
    stored: int
    expected: int


@dataclass(frozen=True, slots=True)
class IntegrityReport:
    """`drifts` lists the first of them, `drift_count` counts them all. Field names are those of the wire."""

    ok: bool
    balances: int
    movements: int
    drift_count: int
    drifts: Sequence[Drift]
    checked_at: datetime
