"""RFC 7396 as products know it."""

from typing import Any

import pytest

from warehouse.catalogue.model import ProductDraft, Tracking
from warehouse.catalogue.upserting import merged
from warehouse.errors import Invalid

BREAD = ProductDraft(
    "A", "Bread", description="sour", unit="loaf", barcodes=("1",), attributes={"brand": "x", "size": 5}
)


def attributes(patch: dict[str, Any] | None) -> dict[str, Any]:
    return dict(merged(BREAD, {"attributes": patch}).attributes)


def test_a_field_that_is_not_named_stays() -> None:
    assert merged(BREAD, {}) == BREAD
    assert merged(BREAD, {"name": "Rye"}) == ProductDraft(
        "A", "Rye", description="sour", unit="loaf", barcodes=("1",), attributes={"brand": "x", "size": 5}
    )


def test_null_takes_a_field_back_to_its_default() -> None:
    changed = merged(BREAD, {"description": None, "unit": None, "barcodes": None})
    assert (changed.description, changed.unit, changed.barcodes) == (None, "each", ())


def test_attributes_are_merged_one_by_one() -> None:
    assert attributes({"brand": "y", "new": True}) == {"brand": "y", "size": 5, "new": True}
    assert attributes({"brand": None, "unknown": None}) == {"size": 5}
    assert attributes({}) == {"brand": "x", "size": 5}
    assert attributes(None) == {}


def test_what_may_not_be_is_named() -> None:
    with pytest.raises(Invalid) as refused:
        merged(BREAD, {"tracking": Tracking.LOT, "attributes": {f"a{number}": number for number in range(63)}})
    assert [error.pointer for error in refused.value.errors] == ["/attributes", "/tracking"]
