"""Products from many rows at once: each row says something of the product that has its SKU, or makes it."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from warehouse import lengths
from warehouse.cache import tags
from warehouse.catalogue.model import Attribute, Product, ProductDraft, sku_key
from warehouse.errors import FieldError, Invalid
from warehouse.ids import new_id
from warehouse.unit_of_work import UnitOfWork
from warehouse.upserts import UpsertStatus, revised

_NAMELESS = FieldError("/name", "missing", "A new product needs a name.")


@dataclass(frozen=True, slots=True)
class ProductChange:
    """What one row says. `fields` holds valid values by the names of `ProductDraft`'s fields, but for `sku`; a field
    that is not there keeps what it has. None takes a field back to its default; `attributes` is a merge patch."""

    sku: str
    fields: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class UpsertResult:
    """`index` counts the rows from 0. `id` and `version` are None where there is no such product; pointers in
    `errors` are relative to the row, as `/name`."""

    index: int
    sku: str
    status: UpsertStatus
    id: UUID | None
    version: int | None
    errors: Sequence[FieldError] = ()


def merged(draft: ProductDraft, fields: Mapping[str, Any]) -> ProductDraft:
    """A product's draft with a merge patch (RFC 7396) applied: None takes a field back to its default, and in
    `attributes` removes the entry of that name.

    Raises `Invalid` naming every field that may not become so: `tracking` is settled when the product is made,
    and there are at most `lengths.ATTRIBUTES` attributes.
    """
    result = _patched(draft, fields)
    errors = _attribute_errors(result)
    if result.tracking is not draft.tracking:
        errors.append(FieldError("/tracking", "immutable", "It is settled when the product is made."))
    if errors:
        raise Invalid(errors[0].detail, errors=errors)
    return result


async def upsert_products(uow: UnitOfWork, changes: Sequence[ProductChange], at: datetime) -> list[UpsertResult]:
    """Write all the rows in a few statements of the caller's transaction; a result for each, in their order.

    A row sees what the rows before it did to the same SKU. A row that fails changes nothing, and a row that finds
    its product as it says writes nothing. Raises `TransactionConflict`.
    """
    stored = await uow.products.lock_by_sku({change.sku for change in changes})
    for key, product in stored.items():
        # Whoever made it as a row says may not have released it yet.
        uow.release(tags.written_product(product.id, key))
    catalogue = _Catalogue(stored)
    results = [catalogue.take(index, change) for index, change in enumerate(changes)]
    if added := list(catalogue.added()):
        await uow.products.add_all(added, at)
    if replaced := list(catalogue.replaced()):
        await uow.products.replace_all(replaced, at)
    return results


@dataclass(slots=True)
class _Entry:
    """A product on its way: `stored` as it was found, if it was, and `draft` as the rows so far leave it."""

    id: UUID
    stored: Product | None
    draft: ProductDraft
    changed: bool = False

    @property
    def version(self) -> int:
        """The one that it will have."""
        return 1 if self.stored is None else self.stored.version + self.changed


class _Catalogue:
    """The products that the rows speak of."""

    def __init__(self, stored: Mapping[str, Product]) -> None:
        self._entries = {key: _Entry(product.id, product, product.draft()) for key, product in stored.items()}

    def take(self, index: int, change: ProductChange) -> UpsertResult:
        key = sku_key(change.sku)
        entry = self._entries.get(key)
        try:
            if entry is None:
                entry = self._entries[key] = _Entry(new_id(), None, _new_draft(change))
                status = UpsertStatus.CREATED
            else:
                status = _revise(entry, change)
        except Invalid as error:
            return _failure(index, change.sku, entry, error.errors)
        return UpsertResult(index, change.sku, status, entry.id, entry.version)

    def added(self) -> Iterator[tuple[UUID, ProductDraft]]:
        """In the order of their SKUs: one order for every caller keeps the database out of deadlocks."""
        return ((entry.id, entry.draft) for _, entry in sorted(self._entries.items()) if entry.stored is None)

    def replaced(self) -> Iterator[tuple[Product, ProductDraft]]:
        return ((entry.stored, entry.draft) for entry in self._entries.values() if entry.stored and entry.changed)


def _failure(index: int, sku: str, entry: _Entry | None, errors: Sequence[FieldError]) -> UpsertResult:
    if entry is None:
        return UpsertResult(index, sku, UpsertStatus.FAILED, None, None, errors)
    return UpsertResult(index, sku, UpsertStatus.FAILED, entry.id, entry.version, errors)


def _revise(entry: _Entry, change: ProductChange) -> UpsertStatus:
    draft = merged(entry.draft, change.fields)
    if _same(draft, entry.draft):
        return UpsertStatus.UNCHANGED
    entry.draft, entry.changed = draft, True
    return UpsertStatus.UPDATED


def _new_draft(change: ProductChange) -> ProductDraft:
    draft = _patched(ProductDraft(sku=change.sku, name=""), change.fields)
    errors = _attribute_errors(draft)
    if not draft.name:
        errors.append(_NAMELESS)
    if errors:
        raise Invalid(errors[0].detail, errors=errors)
    return draft


def _patched(draft: ProductDraft, fields: Mapping[str, Any]) -> ProductDraft:
    if "attributes" in fields:
        fields = {**fields, "attributes": _patched_attributes(draft.attributes, fields["attributes"])}
    return revised(draft, fields)


def _patched_attributes(
    attributes: Mapping[str, Attribute], patch: Mapping[str, Attribute | None] | None
) -> dict[str, Attribute]:
    if patch is None:
        return {}
    return {key: value for key, value in {**attributes, **patch}.items() if value is not None}


def _attribute_errors(draft: ProductDraft) -> list[FieldError]:
    if len(draft.attributes) <= lengths.ATTRIBUTES:
        return []
    detail = f"There would be {len(draft.attributes)} of them; at most {lengths.ATTRIBUTES} are kept."
    return [FieldError("/attributes", "too_many", detail)]


def _same(one: ProductDraft, other: ProductDraft) -> bool:
    # Python takes True for 1; JSON does not.
    return one == other and all(
        isinstance(value, bool) == isinstance(other.attributes[key], bool) for key, value in one.attributes.items()
    )
