"""Movements from many rows at once, each row a command of its own: the path of a file of hundreds of thousands.

A row costs a few microseconds here: what rows share is looked up and judged once, in an `_Account`.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from enum import StrEnum
from uuid import UUID

from warehouse.catalogue.model import Product, ProductStatus, Tracking, sku_key
from warehouse.errors import Code, FieldError
from warehouse.ids import new_id
from warehouse.locations.model import Warehouse, WarehouseStatus
from warehouse.quantities import MAX_ON_HAND
from warehouse.stock.ledger import expire_on
from warehouse.stock.model import NO_LOT, BalanceChange, BalanceKey, Movement, MovementKind
from warehouse.stock.places import Place, find_places
from warehouse.unit_of_work import UnitOfWork

Spelling = tuple[str, str | None, str, str | None]
"""SKU, warehouse, location and lot as a row writes them."""


@dataclass(slots=True)
class LedgerRow:
    """One movement to post: a receipt, a shipment or an adjustment. `quantity` is positive, but in an adjustment, where
    it is the signed change. `warehouse` None stands for any one; then the location's code must be unique over all
    warehouses. `expires_on` counts where stock comes in. The same `command_id` always names the same movement."""

    command_id: UUID
    kind: MovementKind
    sku: str
    warehouse: str | None
    location: str
    lot: str | None
    expires_on: date | None
    quantity: int
    reason: str | None
    reference: str | None
    occurred_at: datetime

    @property
    def delta(self) -> int:
        return -self.quantity if self.kind is MovementKind.SHIPMENT else self.quantity

    @property
    def spelling(self) -> Spelling:
        return self.sku, self.warehouse, self.location, self.lot


class RowStatus(StrEnum):
    POSTED = "posted"
    REPEATED = "repeated"
    REFUSED = "refused"


@dataclass(frozen=True, slots=True)
class RowOutcome:
    """What became of a row; pointers in `errors` are relative to it, as `/sku`."""

    status: RowStatus
    errors: Sequence[FieldError] = ()


POSTED = RowOutcome(RowStatus.POSTED)
REPEATED = RowOutcome(RowStatus.REPEATED)


async def post_rows(uow: UnitOfWork, rows: Sequence[LedgerRow], actor: str, at: datetime) -> list[RowOutcome]:
    """Post the rows in the caller's transaction, in their order; an outcome for each.

    A row whose command has been carried out before is `repeated`. A refused row changes nothing, and the rows behind
    it are decided without it. Raises `TransactionConflict`.
    """
    done = await uow.stock.recorded({row.command_id for row in rows})
    fresh = [row for row in rows if row.command_id not in done]
    ledger = _Ledger(await _resolve(uow, fresh), actor, at, done)
    await ledger.note_lots(uow, fresh)
    await ledger.open(uow)
    outcomes = [ledger.take(row) for row in rows]
    await ledger.write(uow)
    return await _settled(uow, rows, outcomes)


async def _settled(uow: UnitOfWork, rows: Sequence[LedgerRow], outcomes: Sequence[RowOutcome]) -> list[RowOutcome]:
    """A row may lack the very stock that another caller, importing the same file, took for it before our locks."""
    refused = {row.command_id for row, outcome in zip(rows, outcomes, strict=True) if outcome.errors}
    done = await uow.stock.recorded(refused) if refused else ()
    if not done:
        return list(outcomes)
    return [REPEATED if row.command_id in done else outcome for row, outcome in zip(rows, outcomes, strict=True)]


@dataclass(slots=True)
class _Account:
    """A balance as the rows so far leave it. `refusal_in` and `refusal_out` say why nothing may come in or go out,
    whatever the quantity. `change` and `posted` are of these rows alone."""

    product: Product
    warehouse: Warehouse
    key: BalanceKey
    refusal_in: RowOutcome | None
    refusal_out: RowOutcome | None
    on_hand: int = 0
    reserved: int = 0
    change: int = 0
    posted: bool = False

    def refusal(self, delta: int) -> RowOutcome | None:
        """Why these rows cannot change the balance by so much."""
        if (refusal := self.refusal_in if delta > 0 else self.refusal_out) is not None:
            return refusal
        after = self.on_hand + delta
        if delta < 0 and after < self.reserved and not self.product.allows_negative:
            has = max(0, self.on_hand - self.reserved)
            detail = f"{-delta} of {self.product.sku} asked for, {has} available at this location."
            return _refused(FieldError("/quantity", Code.INSUFFICIENT_STOCK, detail))
        if abs(after) > MAX_ON_HAND:
            detail = f"The balance would go beyond {MAX_ON_HAND}."
            return _refused(FieldError("/quantity", Code.QUANTITY_OUT_OF_RANGE, detail))
        return None

    def post(self, delta: int) -> None:
        self.on_hand += delta
        self.change += delta
        self.posted = True


class _Ledger:
    """Decides row by row in memory; `write` then takes everything to the database at once."""

    def __init__(
        self, accounts: Mapping[Spelling, _Account | RowOutcome], actor: str, at: datetime, done: set[UUID]
    ) -> None:
        self._by_spelling = accounts
        found = {account.key: account for account in accounts.values() if isinstance(account, _Account)}
        # One lock order for every caller keeps the database out of deadlocks.
        self._accounts = dict(sorted(found.items(), key=_lock_order))
        self._expiries: dict[tuple[UUID, str], date | None] = {}
        self._movements: list[Movement] = []
        self._actor = actor
        self._at = at
        self._done = done

    async def note_lots(self, uow: UnitOfWork, rows: Iterable[LedgerRow]) -> None:
        """The first row that brings a lot in says when it expires, unless that is known already."""
        for row in rows:
            if row.lot is not None and row.delta > 0:
                self._note_lot(row)
        if self._expiries:
            conflicts = await uow.stock.note_lots(self._expiries)
            self._expiries.update({(product_id, lot): known for product_id, lot, known in conflicts})

    async def open(self, uow: UnitOfWork) -> None:
        """Lock the balances and take over what they hold."""
        if not self._accounts:
            return
        held = await uow.stock.lock(self._accounts)
        reserved = [key for key, balance in held.items() if balance.reserved]
        if reserved and await expire_on(uow, reserved, self._at):
            held = await uow.stock.lock(self._accounts)
        for key, balance in held.items():
            account = self._accounts[key]
            account.on_hand, account.reserved = balance.on_hand, balance.reserved

    def take(self, row: LedgerRow) -> RowOutcome:
        if row.command_id in self._done:
            return REPEATED
        account = self._by_spelling[row.spelling]
        if isinstance(account, RowOutcome):
            return account
        delta = row.delta
        refusal = account.refusal(delta) or (row.expires_on and self._expiry_refusal(row, account)) or None
        if refusal is not None:
            return refusal
        account.post(delta)
        self._done.add(row.command_id)
        self._movements.append(self._movement(row, account, delta))
        return POSTED

    async def write(self, uow: UnitOfWork) -> None:
        if not self._movements:
            return
        changes = [
            BalanceChange(
                account.key, account.warehouse.id, account.change, 0, guarded=not account.product.allows_negative
            )
            for account in self._accounts.values()
            if account.posted
        ]
        await uow.stock.apply_all(changes, self._at)
        await uow.stock.append(self._movements)

    def _note_lot(self, row: LedgerRow) -> None:
        account = self._by_spelling[row.spelling]
        if isinstance(account, _Account) and account.refusal_in is None:
            lot = account.key.product_id, account.key.lot
            self._expiries[lot] = self._expiries.get(lot) or row.expires_on

    def _expiry_refusal(self, row: LedgerRow, account: _Account) -> RowOutcome | None:
        if row.delta < 0:
            return None
        if row.lot is None:
            return _refused(FieldError("/expires_on", "lot_not_tracked", "Only lots expire."))
        known = self._expiries[account.key.product_id, account.key.lot]
        if known == row.expires_on:
            return None
        return _refused(FieldError("/expires_on", Code.LOT_MISMATCH, f"Lot {row.lot} is known to expire on {known}."))

    def _movement(self, row: LedgerRow, account: _Account, delta: int) -> Movement:
        # By position, as keywords cost a third more; the order is that of the fields.
        return Movement(
            new_id(),
            row.command_id,
            1,
            account.product.id,
            account.product.sku,
            account.warehouse.id,
            account.key.location_id,
            row.lot,
            delta,
            row.kind,
            row.reason,
            row.reference,
            self._actor,
            row.occurred_at,
            self._at,
        )


async def _resolve(uow: UnitOfWork, rows: Sequence[LedgerRow]) -> Mapping[Spelling, _Account | RowOutcome]:
    """The account of every spelling, one for all spellings of one balance, or why it has none."""
    spellings = dict.fromkeys(row.spelling for row in rows)
    if not spellings:
        return {}
    products = {sku_key(each.sku): each for each in await uow.products.find((), {sku for sku, *_ in spellings})}
    places = await find_places(uow, {(warehouse, location) for _, warehouse, location, _ in spellings})
    accounts: dict[BalanceKey, _Account] = {}
    resolved: dict[Spelling, _Account | RowOutcome] = {}
    for spelling in spellings:
        sku, warehouse, location, lot = spelling
        product, place = products.get(sku_key(sku)), places.find(warehouse, location)
        if product is None or isinstance(place, FieldError):
            resolved[spelling] = _unresolved(product, place)
        else:
            key = BalanceKey(product.id, place.location.id, lot or NO_LOT)
            resolved[spelling] = accounts.setdefault(key, _account(product, place, key))
    return resolved


def _unresolved(product: Product | None, place: Place | FieldError) -> RowOutcome:
    unknown = [] if product else [FieldError("/sku", "unknown_product", "There is no such product.")]
    return _refused(*unknown, *([place] if isinstance(place, FieldError) else []))


def _account(product: Product, place: Place, key: BalanceKey) -> _Account:
    errors = _lot_errors(product, key)
    if place.warehouse.status is WarehouseStatus.ARCHIVED:
        errors.append(FieldError("/location", Code.ARCHIVED, f"Warehouse {place.warehouse.code} is archived."))
    refusal_out = _refused(*errors) if errors else None
    if product.status is ProductStatus.ARCHIVED:
        errors.append(FieldError("/sku", Code.ARCHIVED, f"Product {product.sku} is archived."))
    refusal_in = _refused(*errors) if errors else None
    return _Account(product, place.warehouse, key, refusal_in, refusal_out)


def _lot_errors(product: Product, key: BalanceKey) -> list[FieldError]:
    if product.tracking is Tracking.LOT and key.lot == NO_LOT:
        return [FieldError("/lot", "lot_required", f"Product {product.sku} is tracked by lot; name one.")]
    if product.tracking is Tracking.NONE and key.lot != NO_LOT:
        return [FieldError("/lot", "lot_not_tracked", f"Product {product.sku} is not tracked by lot.")]
    return []


def _lock_order(item: tuple[BalanceKey, _Account]) -> tuple[int, int, str]:
    """That of the keys, without comparing them piece by piece."""
    key, _ = item
    return key.product_id.int, key.location_id.int, key.lot


def _refused(*errors: FieldError) -> RowOutcome:
    return RowOutcome(RowStatus.REFUSED, errors)
