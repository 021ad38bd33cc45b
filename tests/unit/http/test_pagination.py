import base64
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest
from fastapi import FastAPI, Request
from hypothesis import example, given
from hypothesis import strategies as st
from starlette.responses import Response

from tests.unit.http.asgi import application, client
from warehouse.errors import Code, MalformedRequest
from warehouse.http.pagination import (
    MAX_CURSOR_LENGTH,
    Cursor,
    Limit,
    PageScope,
    decode_cursor,
    encode_cursor,
    json_page_response,
    page_response,
)


@dataclass(frozen=True, slots=True)
class Filter:
    q: str | None = None


NAMES = PageScope("products", (str, UUID), "name", Filter("bread"))
KINDS: dict[type, st.SearchStrategy[Any]] = {
    str: st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=300),
    int: st.integers(-(2**63), 2**63 - 1),
    UUID: st.uuids(),
    datetime: st.datetimes(timezones=st.just(UTC)),
}
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=5,
)


def forged(document: Any) -> str:
    return base64.urlsafe_b64encode(json.dumps(document).encode()).rstrip(b"=").decode()


def refused(text: str, scope: PageScope = NAMES) -> bool:
    with pytest.raises(MalformedRequest) as caught:
        decode_cursor(text, scope)
    return caught.value.code is Code.BAD_CURSOR


def test_no_cursor_is_the_start() -> None:
    assert decode_cursor(None, NAMES) is None


@given(st.lists(st.sampled_from(list(KINDS)), min_size=1, max_size=4), st.data())
def test_a_cursor_brings_back_the_position_it_was_made_of(kinds: list[type], data: st.DataObject) -> None:
    scope = PageScope("list", tuple(kinds))
    position = [data.draw(KINDS[kind]) for kind in kinds]

    assert decode_cursor(encode_cursor(position, scope), scope) == position


@given(st.text(st.characters()))
@example("")
@example("\0")
@example("W10")
@example("é")
@example("\ud800")
@example("A" * (MAX_CURSOR_LENGTH + 1))
@example(forged("[" * 100_000)[:8000])
def test_any_text_that_is_no_cursor_is_a_bad_cursor(text: str) -> None:
    assert refused(text)


@given(JSON)
def test_any_document_that_is_no_position_is_a_bad_cursor(document: Any) -> None:
    assert refused(forged(document))


@given(st.lists(JSON, max_size=3))
@example(["x", "no id"])
@example(["\0", "0" * 32])
@example(["x", 1])
def test_a_position_of_other_types_is_a_bad_cursor(values: list[Any]) -> None:
    assert refused(forged([PageScope("l", (int, UUID)).digest(), *values]), PageScope("l", (int, UUID)))


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        (int, 2**63),
        (int, -(2**63) - 1),
        (int, True),
        (int, 1.0),
        (int, "1"),
        (str, "a\0b"),
        (str, 1),
        (str, None),
        (UUID, "x"),
        (UUID, 1),
        (datetime, 2**62),
        (datetime, "2026-11-23"),
    ],
)
def test_a_value_that_the_database_could_choke_on_is_a_bad_cursor(kind: type, value: Any) -> None:
    scope = PageScope("list", (kind,))

    assert refused(forged([scope.digest(), value]), scope)


@pytest.mark.parametrize(
    "other",
    [
        PageScope("warehouses", (str, UUID), "name", Filter("bread")),
        PageScope("products", (str, UUID), "-name", Filter("bread")),
        PageScope("products", (str, UUID), "name", Filter("milk")),
        PageScope("products", (str, UUID), "name"),
    ],
)
def test_a_cursor_of_another_list_order_or_filter_is_a_bad_cursor(other: PageScope) -> None:
    assert refused(encode_cursor(["bread", UUID(int=1)], other))


def numbers(total: int = 7, *, as_json: bool = False) -> FastAPI:
    app = application()
    scope = PageScope("numbers", (int,))

    def after(cursor: Sequence[Any] | None, limit: int) -> list[int]:
        start = cursor[0] + 1 if cursor else 0
        return list(range(total))[start:][:limit]

    @app.get("/numbers")
    async def list_products(request: Request, q: str = "", limit: Limit = 50, cursor: Cursor = None) -> Response:
        found = after(decode_cursor(cursor, scope), limit + 1)
        if as_json:
            return json_page_response(request, list(map(str, found)), limit, lambda number: (number,), scope)
        return page_response(request, found, limit, lambda number: (number,), scope)

    return app


async def test_pages_followed_by_their_links_hold_every_row_once() -> None:
    seen: list[int] = []
    url: str | None = "/numbers?limit=3&q=a%20b%26c"
    async with client(numbers()) as http:
        while url:
            page = await http.get(url)
            seen += page.json()["data"]
            link = page.headers.get("link")
            assert page.json()["has_more"] is (link is not None)
            assert (page.json()["next_cursor"] is None) is (link is None)
            url = link and re.fullmatch(r'<(.+)>; rel="next"', link)[1]  # type: ignore[index]

    assert seen == list(range(7))


async def test_the_link_to_the_next_page_keeps_the_other_parameters() -> None:
    async with client(numbers()) as http:
        first = await http.get("/numbers", params={"limit": 2, "q": "a b&c"})
        second = await http.get("/numbers", params={"limit": 2, "q": "a b&c", "cursor": first.json()["next_cursor"]})

    for page in (first, second):
        assert page.headers["link"] == f'</numbers?limit=2&q=a+b%26c&cursor={page.json()["next_cursor"]}>; rel="next"'


@pytest.mark.parametrize("query", ["", "?limit=3", "?limit=7", "?limit=8", "?limit=3&q=x"])
@pytest.mark.parametrize("total", [0, 1, 7])
async def test_rows_that_are_json_already_make_the_same_answer(total: int, query: str) -> None:
    async with client(numbers(total)) as http, client(numbers(total, as_json=True)) as other:
        expected, found = [await each.get(f"/numbers{query}") for each in (http, other)]

    assert (found.content, found.headers) == (expected.content, expected.headers)


async def test_a_full_last_page_has_no_next() -> None:
    async with client(numbers(3)) as http:
        page = await http.get("/numbers", params={"limit": 3})

    assert page.json() == {"data": [0, 1, 2], "next_cursor": None, "has_more": False}
    assert "link" not in page.headers


@pytest.mark.parametrize("limit", ["0", "-1", "1001", "x", "1e3", "9" * 30])
async def test_a_limit_out_of_range_is_a_422(limit: str) -> None:
    async with client(numbers()) as http:
        response = await http.get("/numbers", params={"limit": limit})

    assert (response.status_code, response.json()["errors"][0]["pointer"]) == (422, "?limit")


@pytest.mark.parametrize("cursor", ["", "x", "%00", "é", "a" * 9000])
async def test_a_bad_cursor_is_a_400(cursor: str) -> None:
    async with client(numbers()) as http:
        response = await http.get("/numbers", params={"cursor": cursor})

    assert (response.status_code, response.json()["code"]) == (400, "bad_cursor")
