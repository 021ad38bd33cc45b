"""The balances that the rows of a file mean, and what may become of each."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import partial

from warehouse.catalogue.model import StockTerms, Tracking, sku_key
from warehouse.errors import Code, FieldError
from warehouse.locations.model import Warehouse, WarehouseStatus
from warehouse.overlapping import overlapped
from warehouse.quantities import MAX_ON_HAND
from warehouse.stock.model import NO_LOT, BalanceKey
from warehouse.stock.places import Codes, Place, find_places
from warehouse.unit_of_work import UnitOfWork

MOST_REMEMBERED = 50_000
"""Products; then it begins anew."""

Spelling = tuple[str, str | None, str, str | None]
"""SKU, warehouse, location and lot as a row writes them."""


class RowStatus(StrEnum):
    POSTED = "posted"
    REPEATED = "repeated"
    REFUSED = "refused"


@dataclass(frozen=True, slots=True)
class RowOutcome:
    """What became of a row; pointers in `errors` are relative to it, as `/sku`."""

    status: RowStatus
    errors: Sequence[FieldError] = ()


def refused(*errors: FieldError) -> RowOutcome:
    return RowOutcome(RowStatus.REFUSED, errors)


@dataclass(slots=True)
class Account:
    """A balance as the rows so far leave it. `refusal_in` and `refusal_out` say why nothing may come in or go out,
    whatever the quantity. `change` and `posted` are of these rows alone."""

    product: StockTerms
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
            return refused(FieldError("/quantity", Code.INSUFFICIENT_STOCK, detail))
        if abs(after) > MAX_ON_HAND:
            detail = f"The balance would go beyond {MAX_ON_HAND}."
            return refused(FieldError("/quantity", Code.QUANTITY_OUT_OF_RANGE, detail))
        return None

    def post(self, delta: int) -> None:
        self.on_hand += delta
        self.change += delta
        self.posted = True


class Accounts:
    """Remembers the products from one transaction to the next, and asks then only whether they are unchanged."""

    def __init__(self) -> None:
        self._products: dict[str, StockTerms] = {}

    async def find(self, uow: UnitOfWork, spellings: Collection[Spelling]) -> Mapping[Spelling, Account | RowOutcome]:
        """The account of every spelling, one for all spellings of one balance, or why it has none."""
        if not spellings:
            return {}
        codes = {(warehouse, location) for _, warehouse, location, _ in spellings}
        found = await find_places(uow, codes)
        places = {each: found.find(*each) for each in codes}
        skus = {sku for sku, *_ in spellings}
        known = {sku: self._products[sku] for sku in skus if sku in self._products}
        if known:
            checking = uow.products.are_unchanged({each.id: each.version for each in known.values()})
            unchanged, accounts = await overlapped(checking, partial(_accounts, spellings, known, places))
            if unchanged and len(known) == len(skus):
                return accounts
            if not unchanged:
                self._products.clear()
                known = {}
        new = await self._find_products(uow, skus - known.keys())
        return _accounts(spellings, known | new, places)

    async def _find_products(self, uow: UnitOfWork, skus: Collection[str]) -> dict[str, StockTerms]:
        """By the SKUs as they are written; those that are not there are asked for each time."""
        found = {sku_key(each.sku): each for each in await uow.products.terms(skus)}
        new = {sku: found[key] for sku in skus if (key := sku_key(sku)) in found}
        if len(self._products) + len(new) > MOST_REMEMBERED:
            self._products.clear()
        self._products.update(new)
        return new


def _accounts(
    spellings: Collection[Spelling],
    products: Mapping[str, StockTerms],
    places: Mapping[Codes, Place | FieldError],
) -> Mapping[Spelling, Account | RowOutcome]:
    accounts: dict[BalanceKey, Account] = {}
    resolved: dict[Spelling, Account | RowOutcome] = {}
    for spelling in spellings:
        sku, warehouse, location, lot = spelling
        product, place = products.get(sku), places[warehouse, location]
        if product is None or isinstance(place, FieldError):
            resolved[spelling] = _unresolved(product, place)
        else:
            key = BalanceKey(product.id, place.location.id, lot or NO_LOT)
            resolved[spelling] = accounts.get(key) or accounts.setdefault(key, _account(product, place, key))
    return resolved


def _unresolved(product: StockTerms | None, place: Place | FieldError) -> RowOutcome:
    unknown = [] if product else [FieldError("/sku", "unknown_product", "There is no such product.")]
    return refused(*unknown, *([place] if isinstance(place, FieldError) else []))


def _account(product: StockTerms, place: Place, key: BalanceKey) -> Account:
    errors = _lot_errors(product, key)
    if place.warehouse.status is WarehouseStatus.ARCHIVED:
        errors.append(FieldError("/location", Code.ARCHIVED, f"Warehouse {place.warehouse.code} is archived."))
    refusal_out = refused(*errors) if errors else None
    if product.is_archived:
        errors.append(FieldError("/sku", Code.ARCHIVED, f"Product {product.sku} is archived."))
    refusal_in = refused(*errors) if errors else None
    return Account(product, place.warehouse, key, refusal_in, refusal_out)


def _lot_errors(product: StockTerms, key: BalanceKey) -> list[FieldError]:
    if product.tracking is Tracking.LOT and key.lot == NO_LOT:
        return [FieldError("/lot", "lot_required", f"Product {product.sku} is tracked by lot; name one.")]
    if product.tracking is Tracking.NONE and key.lot != NO_LOT:
        return [FieldError("/lot", "lot_not_tracked", f"Product {product.sku} is not tracked by lot.")]
    return []
