"""A batch of products as it was sent: which rows are valid, and what became of each."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from pydantic import ValidationError

from warehouse.catalogue.schemas import ProductUpsert, fields_given
from warehouse.catalogue.upserting import ProductChange, UpsertResult
from warehouse.errors import FieldError
from warehouse.http.validation import field_errors
from warehouse.upserts import UpsertStatus

UPSERT_PRODUCTS = "upsert_products"
"""The kind of a task that does what a batch says."""


class Batch:
    """`changes` are what the valid rows say."""

    def __init__(self, rows: Sequence[Any]) -> None:
        self._rows = rows
        self._changes: dict[int, ProductChange] = {}
        self._faults: dict[int, list[FieldError]] = {}
        for index, row in enumerate(rows):
            self._read(index, row)

    @property
    def changes(self) -> Sequence[ProductChange]:
        return list(self._changes.values())

    def document(self, results: Sequence[UpsertResult]) -> Mapping[str, Any]:
        """The `BatchRead` of it. The results are those of the changes, in their order."""
        fates = [replace(result, index=index) for index, result in zip(self._changes, results, strict=True)]
        fates += [
            UpsertResult(index, _sku(self._rows[index]), UpsertStatus.FAILED, None, None, errors)
            for index, errors in self._faults.items()
        ]
        fates.sort(key=lambda fate: fate.index)
        counts = {status.value: sum(fate.status is status for fate in fates) for status in UpsertStatus}
        return {**counts, "results": fates}

    def _read(self, index: int, row: Any) -> None:
        try:
            read = ProductUpsert.model_validate(row)
        except ValidationError as error:
            self._faults[index] = field_errors(error, row)
        else:
            fields = fields_given(read)
            self._changes[index] = ProductChange(fields.pop("sku"), fields)


def _sku(row: Any) -> str:
    sku = row.get("sku") if isinstance(row, dict) else None
    return sku if isinstance(sku, str) else ""
