from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta, timezone
from enum import StrEnum
from types import MappingProxyType
from typing import Any
from uuid import UUID

import pytest

from warehouse.http.json import JsonResponse, encode


class Colour(StrEnum):
    RED = "red"


@dataclass(frozen=True, slots=True)
class Record:
    id: UUID
    colour: Colour
    codes: tuple[str, ...]
    attributes: Mapping[str, Any]
    made_on: date | None


def test_a_dataclass_goes_out_under_its_field_names_in_their_order() -> None:
    record = Record(UUID(int=1), Colour.RED, ("a", "b"), MappingProxyType({"k": 1}), date(2026, 11, 23))

    assert encode(record) == (
        b'{"id":"00000000-0000-0000-0000-000000000001","colour":"red","codes":["a","b"],'
        b'"attributes":{"k":1},"made_on":"2026-11-23"}'
    )


@pytest.mark.parametrize(
    ("moment", "written"),
    [
        (datetime(2026, 11, 23, 13, 30, tzinfo=UTC), b'"2026-11-23T13:30:00Z"'),
        (datetime(2026, 11, 23, 13, 30, 0, 12, tzinfo=UTC), b'"2026-11-23T13:30:00.000012Z"'),
        (datetime(2026, 11, 23, 13, 30), b'"2026-11-23T13:30:00Z"'),  # noqa: DTZ001 (what a database may give back)
        (datetime(2026, 11, 23, 13, 30, tzinfo=timezone(timedelta(hours=2))), b'"2026-11-23T13:30:00+02:00"'),
    ],
)
def test_a_time_always_has_its_offset(moment: datetime, written: bytes) -> None:
    assert encode(moment) == written


def test_what_is_not_a_finite_number_is_null() -> None:
    assert encode([float("nan"), float("inf")]) == b"[null,null]"


def test_what_has_no_json_form_is_refused() -> None:
    with pytest.raises(TypeError, match="object"):
        encode(object())


def test_the_response_says_that_it_is_json() -> None:
    response = JsonResponse({"a": 1}, 201, {"ETag": '"x"'})

    assert (response.status_code, response.body) == (201, b'{"a":1}')
    assert response.headers["content-type"] == "application/json"
    assert response.headers["etag"] == '"x"'
