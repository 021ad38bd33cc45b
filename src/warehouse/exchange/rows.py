"""What a row of each kind of file says, with everything that is wrong with it at once."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime
from functools import lru_cache
from typing import Any, Protocol, TypeVar
from uuid import UUID

from warehouse import lengths
from warehouse.catalogue.model import NegativeStock, ProductStatus, Tracking
from warehouse.catalogue.upserting import ProductChange
from warehouse.clock import CLOCK_SKEW
from warehouse.errors import FieldError, Invalid
from warehouse.exchange.fields import (
    Fault,
    Reader,
    attribute,
    attribute_key,
    barcodes,
    choice,
    day,
    exact_attribute,
    json_object,
    member,
    missing,
    moment,
    read_fields,
    text,
    whole,
)
from warehouse.exchange.occurrences import Occurrences
from warehouse.exchange.tables import Row, RowError
from warehouse.ids import stable_id
from warehouse.locations.model import LocationKind
from warehouse.locations.upserting import PlaceChange
from warehouse.quantities import MAX_QUANTITY
from warehouse.stock.bulk import LedgerRow
from warehouse.stock.model import MovementKind

MOST_IGNORED = 1000
"""Names of ignored columns that are kept, cut to `LONGEST_IGNORED`."""
LONGEST_IGNORED = 64

Item = TypeVar("Item", covariant=True)

PRODUCT_READERS: Mapping[str, Reader] = {
    "sku": text(lengths.SKU),
    "name": text(lengths.PRODUCT_NAME),
    "description": text(lengths.DESCRIPTION, lines=True),
    "category": text(lengths.CATEGORY),
    "unit": text(lengths.UNIT),
    "barcodes": barcodes,
    "reorder_point": whole(0, lengths.REORDER_POINT),
    "tracking": member(Tracking),
    "negative_stock": member(NegativeStock),
    "status": member(ProductStatus),
}
NOT_IMPORTED = ("id", "version", "created_at", "updated_at")
"""Of a product as exports have it; these are made anew."""
PRODUCT_COLUMNS = frozenset((*PRODUCT_READERS, *NOT_IMPORTED, "attributes"))
WAREHOUSE_READERS: Mapping[str, Reader] = {
    "warehouse": text(lengths.CODE),
    "warehouse_name": text(lengths.PLACE_NAME),
    "address": text(lengths.ADDRESS, lines=True),
}
LOCATION_READERS: Mapping[str, Reader] = {
    "code": text(lengths.CODE),
    "name": text(lengths.PLACE_NAME),
    "kind": member(LocationKind),
    "parent": text(lengths.CODE),
}
MOVEMENT_TYPES: Mapping[str, MovementKind] = {
    "receipt": MovementKind.RECEIPT,
    "shipment": MovementKind.SHIPMENT,
    "adjustment": MovementKind.ADJUSTMENT,
    "sale": MovementKind.SHIPMENT,
}


class RowReader(Protocol[Item]):
    """Reads the rows of one file in their order."""

    @property
    def ignored(self) -> Collection[str]:
        """The columns met so far that mean nothing here."""
        ...

    def read(self, row: Row) -> Item | list[RowError]: ...

    def column(self, field: str) -> str:
        """The column in which a field of the item stands."""
        ...

    def close(self) -> None: ...


class ProductRows:
    """Columns that are not a product's fields are attributes; several may also stand in `attributes`, in a JSON object.
    `columns` None: each row names its own."""

    def __init__(self, columns: Sequence[str] | None) -> None:
        _require(columns, ["sku"])
        self._readers = _present(PRODUCT_READERS, columns)
        self._attributes = None if columns is None else _attribute_columns(columns)
        self._ignored = {name for name in NOT_IMPORTED if columns and name in columns}

    @property
    def ignored(self) -> Collection[str]:
        return sorted(self._ignored)

    def read(self, row: Row) -> ProductChange | list[RowError]:
        fields, errors = read_fields(row.line, row.values, self._readers, never_null=("sku", "name"))
        errors += missing(row.line, fields, errors, ["sku"])
        attributes = self._read_attributes(row, errors)
        if errors:
            return errors
        if attributes:
            fields["attributes"] = attributes
        return ProductChange(fields.pop("sku"), fields)

    def column(self, field: str) -> str:
        return field

    def close(self) -> None:
        pass

    def _read_attributes(self, row: Row, errors: list[RowError]) -> dict[str, Any]:
        if self._attributes is not None:
            attributes, faults = read_fields(row.line, row.values, self._attributes, never_null=())
        else:
            self._ignored.update(name for name in NOT_IMPORTED if name in row.values)
            names = [name for name in row.values if name not in PRODUCT_COLUMNS]
            attributes, faults = _named_attributes(row.line, {name: row.values[name] for name in names})
        nested, more = _nested_attributes(row)
        errors += [*faults, *more]
        return attributes | nested


def _attribute_columns(columns: Sequence[str]) -> list[tuple[str, Reader]]:
    names = [column for column in columns if column not in PRODUCT_COLUMNS]
    for name in names:
        try:
            attribute_key(name)
        except Fault as fault:
            raise _header_error(name, fault.code, f"{name[: lengths.ATTRIBUTE_KEY]!r}: {fault.detail}") from fault
    return [(name, attribute) for name in names]


def _nested_attributes(row: Row) -> tuple[dict[str, Any], list[RowError]]:
    try:
        nested = json_object(row.values.get("attributes"))
    except Fault as fault:
        return {}, [RowError(row.line, "attributes", fault.code, fault.detail)]
    attributes: dict[str, Any] = {}
    errors: list[RowError] = []
    for name, value in nested.items():
        try:
            attribute_key(name)
            attributes[name] = None if value is None else exact_attribute(value)
        except Fault as fault:
            errors.append(RowError(row.line, name[: lengths.ATTRIBUTE_KEY], fault.code, fault.detail))
    return attributes, errors


def _named_attributes(line: int, values: Mapping[str, Any]) -> tuple[dict[str, Any], list[RowError]]:
    faults = {name: fault for name in values if (fault := _key_fault(line, name))}
    readers = [(name, attribute) for name in values if name not in faults]
    attributes, more = read_fields(line, values, readers, never_null=())
    return attributes, [*faults.values(), *more]


def _key_fault(line: int, name: str) -> RowError | None:
    try:
        attribute_key(name)
    except Fault as fault:
        return RowError(line, name[: lengths.ATTRIBUTE_KEY], fault.code, fault.detail)
    return None


class PlaceRows:
    """A row without a `code` describes the warehouse alone."""

    def __init__(self, columns: Sequence[str] | None) -> None:
        _require(columns, ["warehouse"])
        self._warehouse_readers = _present(WAREHOUSE_READERS, columns)
        self._location_readers = _present(LOCATION_READERS, columns)
        self._unknown = _Unknown({*WAREHOUSE_READERS, *LOCATION_READERS}, columns)

    @property
    def ignored(self) -> Collection[str]:
        return self._unknown.names

    def read(self, row: Row) -> PlaceChange | list[RowError]:
        self._unknown.note(row)
        site, errors = read_fields(row.line, row.values, self._warehouse_readers, ("warehouse", "warehouse_name"))
        place, more = read_fields(row.line, row.values, self._location_readers, never_null=("code",))
        errors += more
        errors += missing(row.line, {**site, **place}, errors, ["warehouse", "code"] if place else ["warehouse"])
        if errors:
            return errors
        if "warehouse_name" in site:
            site["name"] = site.pop("warehouse_name")
        return PlaceChange(site.pop("warehouse"), site, place.pop("code", None), place)

    def column(self, field: str) -> str:
        return field

    def close(self) -> None:
        pass


class MovementRows:
    """Each row gets a command id made of what it says and of how often the file has said so before: a repeated file
    repeats its ids, while equal rows within one file differ."""

    def __init__(self, columns: Sequence[str] | None, now: datetime) -> None:
        self._quantity = _quantity_column(columns)
        _require(columns, ["timestamp", "type", "sku", "location", self._quantity])
        self._readers = _present(_movement_readers(now), columns)
        self._unknown = _Unknown({name for name, _ in self._readers}, columns)
        self._occurrences = Occurrences()

    @property
    def ignored(self) -> Collection[str]:
        return self._unknown.names

    def read(self, row: Row) -> LedgerRow | list[RowError]:
        self._unknown.note(row)
        self._quantity = "qty" if "qty" in row.values else "quantity"
        fields, errors = read_fields(row.line, row.values, self._readers, never_null=NEVER_NULL)
        if errors or not fields.keys() >= MOVEMENT_NEEDS[self._quantity]:
            return errors + missing(row.line, fields, errors, MOVEMENT_NEEDS[self._quantity])
        if fault := _sign_fault(fields["type"], fields[self._quantity]):
            return [RowError(row.line, self._quantity, "out_of_range", fault)]
        return self._ledger_row(fields)

    def column(self, field: str) -> str:
        return self._quantity if field == "quantity" else field

    def close(self) -> None:
        self._occurrences.close()

    def _ledger_row(self, fields: Mapping[str, Any]) -> LedgerRow:
        optional = fields.get
        kind, sku, warehouse, location = fields["type"], fields["sku"], optional("warehouse"), fields["location"]
        lot, expires_on, quantity = optional("lot"), optional("expires_on"), fields[self._quantity]
        reason, reference, occurred_at = optional("reason"), optional("reference"), fields["timestamp"]
        command_id = self._command_id(
            "movement",
            _instant_text(occurred_at),
            kind,
            sku,
            warehouse or "",
            location,
            lot or "",
            str(expires_on) if expires_on else "",
            str(quantity),
            reason or "",
            reference or "",
        )
        return LedgerRow(
            command_id, kind, sku, warehouse, location, lot, expires_on, quantity, reason, reference, occurred_at
        )

    def _command_id(self, *content: str) -> UUID:
        first = stable_id(*content)
        before = self._occurrences.count(first)
        return stable_id(*content, str(before)) if before else first


QUANTITY_NAMES = ("qty", "quantity")
MOVEMENT_NEEDS = {name: dict.fromkeys(("timestamp", "type", "sku", "location", name)).keys() for name in QUANTITY_NAMES}
"""By what a row calls its quantity; sets that keep their order."""
NEVER_NULL = frozenset().union(*MOVEMENT_NEEDS.values())
_instant_text = lru_cache(1024)(datetime.isoformat)


def _movement_readers(now: datetime) -> Mapping[str, Reader]:
    quantity = whole(-MAX_QUANTITY, MAX_QUANTITY)
    return {
        "timestamp": moment(now + CLOCK_SKEW),
        "type": choice(MOVEMENT_TYPES),
        "sku": text(lengths.SKU),
        "warehouse": text(lengths.CODE),
        "location": text(lengths.CODE),
        "qty": quantity,
        "quantity": quantity,
        "lot": text(lengths.LOT),
        "expires_on": day,
        "reason": text(lengths.REASON),
        "reference": text(lengths.REFERENCE),
    }


def _quantity_column(columns: Sequence[str] | None) -> str:
    given = [name for name in QUANTITY_NAMES if columns and name in columns]
    if len(given) > 1:
        raise _header_error("quantity", "duplicate", "The header has both `qty` and `quantity`.")
    return given[0] if given else "qty"


def _sign_fault(kind: MovementKind, quantity: int) -> str | None:
    if quantity > 0:
        return None
    if kind is MovementKind.ADJUSTMENT:
        return None if quantity else "Must not be 0."
    return "Must be greater than 0."


class _Unknown:
    """Notes the columns that mean nothing."""

    def __init__(self, known: Collection[str], columns: Sequence[str] | None) -> None:
        self._known = frozenset(known)
        self._vary = columns is None
        self.names: dict[str, None] = {}
        self._note(columns or ())

    def note(self, row: Row) -> None:
        if self._vary:
            self._note(row.values)

    def _note(self, columns: Iterable[str]) -> None:
        for name in columns:
            if name not in self._known and len(self.names) < MOST_IGNORED:
                self.names[name[:LONGEST_IGNORED]] = None


def _present(readers: Mapping[str, Reader], columns: Sequence[str] | None) -> list[tuple[str, Reader]]:
    return [(name, reader) for name, reader in readers.items() if columns is None or name in columns]


def _require(columns: Sequence[str] | None, names: Iterable[str]) -> None:
    """Each row of a file without a header is asked by itself."""
    absent = [name for name in names if columns is not None and name not in columns]
    if absent:
        errors = [FieldError(f"/{name}", "missing", f"The header has no column `{name}`.") for name in absent]
        raise Invalid(f"The header lacks {', '.join(f'`{name}`' for name in absent)}.", errors=errors)


def _header_error(column: str, code: str, detail: str) -> Invalid:
    return Invalid(detail, errors=[FieldError(f"/{column}", code, detail)])
