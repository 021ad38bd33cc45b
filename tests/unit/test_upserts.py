"""What a row of an upsert does to a draft: it names fields, and None takes one back to its default."""

from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from warehouse.catalogue.model import ProductDraft, Tracking
from warehouse.upserts import revised


@dataclass(frozen=True)
class Draft:
    name: str
    unit: str = "each"
    notes: tuple[str, ...] = ()
    tags: dict[str, str] = field(default_factory=dict)


FULL = Draft("Bread", "kg", ("fresh",), {"colour": "brown"})


def test_fields_that_are_not_named_stay() -> None:
    assert revised(FULL, {}) == FULL
    assert revised(FULL, {"unit": "g"}) == Draft("Bread", "g", ("fresh",), {"colour": "brown"})


def test_none_takes_a_field_back_to_its_default() -> None:
    assert revised(FULL, {"unit": None, "notes": None}) == Draft("Bread", tags={"colour": "brown"})


def test_the_draft_itself_is_left_as_it_is() -> None:
    revised(FULL, {"name": "Cake", "unit": None})
    assert Draft("Bread", "kg", ("fresh",), {"colour": "brown"}) == FULL


def test_a_field_that_the_draft_has_not_is_a_bug_and_not_lost() -> None:
    with pytest.raises(TypeError, match="colour"):
        revised(FULL, {"colour": "brown"})


@given(st.fixed_dictionaries({}, optional={"name": st.text(), "unit": st.none() | st.text()}))
def test_a_repeated_revision_changes_nothing_more(fields: dict[str, str | None]) -> None:
    once = revised(FULL, fields)
    assert revised(once, fields) == once


def test_a_products_own_defaults_come_back() -> None:
    draft = ProductDraft(sku="A-1", name="Bread")
    changed = revised(draft, {"tracking": Tracking.LOT, "unit": "kg"})
    assert (changed.tracking, changed.unit) == (Tracking.LOT, "kg")
    assert revised(changed, {"tracking": None, "unit": None}) == draft
