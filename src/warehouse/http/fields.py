"""The types of input fields that several slices share. Texts are stripped; single-line ones hold no control
characters."""

import re
import unicodedata
from datetime import UTC, date, datetime
from typing import Annotated
from uuid import UUID

from pydantic import AfterValidator, AwareDatetime, BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints

from warehouse import lengths
from warehouse.clock import CLOCK_SKEW, EARLIEST, utc_now
from warehouse.quantities import MAX_QUANTITY

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")
_DAY = re.compile(r"\d{4}-\d\d-\d\d", re.ASCII)
_MOMENT = re.compile(r"\d{4}-\d\d-\d\d[Tt ]", re.ASCII)
_CONTROL_BUT_LAYOUT = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")


class Input(BaseModel):
    """What clients send: a field that is not known is an error, and no type is bent into another."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class Output(BaseModel):
    """What clients get. Documentation alone: answers are encoded from the model's dataclasses, which have the same
    fields."""

    model_config = ConfigDict(json_schema_serialization_defaults_required=True)


def _single_line(text: str) -> str:
    if _CONTROL.search(text):
        raise ValueError("Control characters and line breaks are not allowed here.")
    return unicodedata.normalize("NFC", text)


def _multi_line(text: str) -> str:
    if _CONTROL_BUT_LAYOUT.search(text):
        raise ValueError("Control characters other than tabs and line breaks are not allowed here.")
    return text


def _in_history(moment: datetime) -> datetime:
    # The year first: at the ends of the calendar there is no comparing across time zones.
    if moment.year < EARLIEST.year or moment.year > 9998 or moment < EARLIEST:
        raise ValueError("Must be 1970 or later.")
    return moment.astimezone(UTC)


def _written_out(value: object) -> object:
    # pydantic also takes numbers for moments, and moments for days.
    if isinstance(value, str) and _MOMENT.match(value) is None:
        raise ValueError("Write a date and time, as in 2027-03-31T12:00:00Z.")
    return _not_a_number(value)


def _day_written_out(value: object) -> object:
    if isinstance(value, str) and _DAY.fullmatch(value) is None:
        raise ValueError("Write a date, as in 2027-03-31.")
    return _not_a_number(value)


def _not_a_number(value: object) -> object:
    if isinstance(value, int | float):
        raise ValueError("Must be a text.")
    return value


def _happened(moment: datetime) -> datetime:
    if moment > utc_now() + CLOCK_SKEW:
        raise ValueError("Must not be in the future.")
    return moment


def _line(length: int) -> StringConstraints:
    return StringConstraints(strip_whitespace=True, min_length=1, max_length=length)


Sku = Annotated[str, _line(lengths.SKU), AfterValidator(_single_line), Field(examples=["CJ-00025671"])]
ProductName = Annotated[str, _line(lengths.PRODUCT_NAME), AfterValidator(_single_line)]
Description = Annotated[str, StringConstraints(max_length=lengths.DESCRIPTION), AfterValidator(_multi_line)]
Category = Annotated[str, _line(lengths.CATEGORY), AfterValidator(_single_line)]
Unit = Annotated[str, _line(lengths.UNIT), AfterValidator(_single_line), Field(examples=["each"])]
Barcode = Annotated[str, _line(lengths.BARCODE), AfterValidator(_single_line)]
PlaceCode = Annotated[str, _line(lengths.CODE), AfterValidator(_single_line), Field(examples=["NORTH"])]
PlaceName = Annotated[str, _line(lengths.PLACE_NAME), AfterValidator(_single_line)]
Address = Annotated[str, _line(lengths.ADDRESS), AfterValidator(_multi_line)]
KeyName = Annotated[
    str, _line(lengths.KEY_NAME), AfterValidator(_single_line), Field(description="Movements name it as their actor.")
]
Lot = Annotated[str, _line(lengths.LOT), AfterValidator(_single_line)]
Reference = Annotated[str, _line(lengths.REFERENCE), AfterValidator(_single_line), Field(examples=["PO-4711"])]
Reason = Annotated[str, _line(lengths.REASON), AfterValidator(_single_line), Field(examples=["damaged"])]

Quantity = Annotated[int, Field(ge=1, le=MAX_QUANTITY, description="Whole base units.")]
SignedQuantity = Annotated[
    int, Field(ge=-MAX_QUANTITY, le=MAX_QUANTITY, description="Whole base units, negative where stock goes; not 0.")
]
CountedQuantity = Annotated[int, Field(ge=-MAX_QUANTITY, le=MAX_QUANTITY, description="Whole base units.")]

RecordId = Annotated[UUID, Field(strict=False)]
Day = Annotated[
    date, BeforeValidator(_day_written_out), Field(strict=False, description="A calendar day, as in 2027-03-31.")
]
Moment = Annotated[AwareDatetime, BeforeValidator(_written_out), Field(strict=False), AfterValidator(_in_history)]
"""A time with its offset from UTC."""
PastMoment = Annotated[Moment, AfterValidator(_happened)]
