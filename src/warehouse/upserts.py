"""What upserts of every kind share: what became of a row, and how a row's fields change a draft."""

import dataclasses
from collections.abc import Mapping
from enum import StrEnum
from functools import cache
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

    Draft = TypeVar("Draft", bound=DataclassInstance)


class UpsertStatus(StrEnum):
    """A row made a record, changed one, found it as it should be, or was refused."""

    CREATED = "created"
    UPDATED = "updated"
    UNCHANGED = "unchanged"
    FAILED = "failed"


def revised(draft: "Draft", fields: Mapping[str, Any]) -> "Draft":
    """The draft with these fields in place of its own; None takes a field that has a default back to it."""
    defaults = _defaults(type(draft))
    return dataclasses.replace(
        draft, **{name: defaults.get(name) if value is None else value for name, value in fields.items()}
    )


@cache
def _defaults(draft: "type[DataclassInstance]") -> Mapping[str, Any]:
    return {
        field.name: field.default for field in dataclasses.fields(draft) if field.default is not dataclasses.MISSING
    }
