from contextlib import suppress
from dataclasses import dataclass
from uuid import UUID

import pytest
from fastapi import FastAPI, Request
from hypothesis import given
from hypothesis import strategies as st
from starlette.responses import Response

from tests.unit.http.asgi import application, client, http_scope
from warehouse.errors import Code, MalformedRequest
from warehouse.http.conditional import (
    IfMatch,
    changed_response,
    created_headers,
    etag,
    not_modified,
    parse_if_match,
    read_response,
)
from warehouse.ids import new_id

HEADER_TEXT = st.text(st.characters(max_codepoint=255)) | st.text('"W/*, \t-0123456789abcdef')


@dataclass(frozen=True, slots=True)
class Thing:
    id: UUID
    version: int


THING = Thing(UUID("0190a5d4-7a5e-7c33-9a3a-2aad5a7632fb"), 3)
OTHER_ID = UUID("0190a5d4-7a5e-7c33-9a3a-0b9754757e6a")
TAG = etag(THING.id, THING.version)


def asking(header: str) -> Request:
    return Request(http_scope(headers={"If-None-Match": header}))


def test_a_tag_is_strong_and_quoted() -> None:
    assert TAG.startswith('"')
    assert TAG.endswith('"')
    assert len(TAG) > 2


@given(st.integers(1, 2**53))
def test_the_version_comes_back_from_the_tag(version: int) -> None:
    assert parse_if_match(etag(THING.id, version)).versions(THING.id) == frozenset({version})


def test_a_record_made_anew_has_another_tag_though_its_version_is_the_same() -> None:
    assert etag(new_id(), 1) != etag(new_id(), 1)


def test_a_star_matches_any_version() -> None:
    assert parse_if_match(" * ").versions(THING.id) is None


@pytest.mark.parametrize("suffix", ["-zstd", "-gzip"])
def test_the_tag_of_an_encoded_representation_counts(suffix: str) -> None:
    assert parse_if_match(f'{TAG[:-1]}{suffix}"').versions(THING.id) == frozenset({3})


@pytest.mark.parametrize(
    "header",
    [
        f"W/{TAG}",
        etag(OTHER_ID, 3),
        '"abc"',
        '""',
        f'{TAG[:-1]}-br"',
        f'{TAG[:-1]}x"',
        f'{TAG[:-2]}-3"',
        f'{TAG[:-2]}03"',
        f'{TAG[:-2]}{"9" * 30}"',
        '"*"',
    ],
)
def test_a_weak_tag_and_another_records_tag_match_nothing(header: str) -> None:
    assert parse_if_match(header).versions(THING.id) == frozenset()


@pytest.mark.parametrize(
    "header",
    [f'{TAG}, "b"', f' ,, "a,b" ,\t{TAG} , ', f"{TAG},{TAG}", f'W/"x", {TAG}', f'"\xe9",{TAG}'],
)
def test_any_tag_of_a_list_may_match(header: str) -> None:
    assert parse_if_match(header).versions(THING.id) == frozenset({3})


@pytest.mark.parametrize(
    "header", ["", " ", ",", "abc", "3", '"a', 'a"', '"a" "b"', "'a'", '*, "a"', 'w/"a"', '"a"b', '"a";q=1', '"\x7f"']
)
def test_garbage_is_a_bad_precondition_that_names_the_header(header: str) -> None:
    with pytest.raises(MalformedRequest) as caught:
        parse_if_match(header)
    assert caught.value.code is Code.BAD_PRECONDITION
    assert [each.pointer for each in caught.value.errors] == ["If-Match"]


@given(HEADER_TEXT)
def test_no_header_gives_anything_but_versions_or_a_bad_precondition(header: str) -> None:
    with suppress(MalformedRequest):
        parse_if_match(header).versions(THING.id)


@pytest.mark.parametrize("header", [TAG, f"W/{TAG}", "*", f'"x", {TAG}', f'{TAG[:-1]}-gzip"', f'{TAG[:-1]}-zstd"'])
def test_a_known_tag_is_not_modified(header: str) -> None:
    assert not_modified(asking(header), TAG)


@pytest.mark.parametrize("header", ['"x"', etag(THING.id, 4), "", "garbage", f"{TAG} garbage", f'{TAG[:-1]}-br"'])
def test_an_unknown_tag_and_garbage_are_modified(header: str) -> None:
    assert not not_modified(asking(header), TAG)


def test_without_the_header_everything_is_modified() -> None:
    assert not not_modified(Request(http_scope()), TAG)


@given(HEADER_TEXT)
def test_no_if_none_match_breaks_a_read(header: str) -> None:
    not_modified(asking(header), TAG)


def things() -> FastAPI:
    app = application()

    @app.get("/products/{product_id}")
    async def get_product(request: Request, product_id: UUID) -> Response:
        return read_response(request, THING)

    @app.patch("/products/{product_id}")
    async def update_product(product_id: UUID, if_match: IfMatch) -> Response:
        versions = if_match.versions(product_id)
        return changed_response(Thing(product_id, max(versions or [0]) + 1))

    return app


async def test_a_read_has_its_tag_and_is_not_sent_twice() -> None:
    async with client(things()) as http:
        first = await http.get(f"/products/{THING.id}")
        second = await http.get(f"/products/{THING.id}", headers={"If-None-Match": first.headers["etag"]})

    assert (first.status_code, first.headers["etag"], first.json()["version"]) == (200, TAG, 3)
    assert (second.status_code, second.headers["etag"], second.content) == (304, TAG, b"")


async def test_a_change_has_the_new_tag() -> None:
    async with client(things()) as http:
        response = await http.patch(f"/products/{THING.id}", headers={"If-Match": TAG})

    assert response.headers["etag"] == etag(THING.id, 4)


async def test_several_if_match_headers_are_one_list() -> None:
    async with client(things()) as http:
        response = await http.patch(f"/products/{THING.id}", headers=[("If-Match", '"x"'), ("If-Match", TAG)])

    assert response.json()["version"] == 4


@pytest.mark.parametrize(("header", "status"), [(None, 428), ("garbage", 400)])
async def test_an_absent_precondition_is_428_and_a_malformed_one_400(header: str | None, status: int) -> None:
    async with client(things()) as http:
        response = await http.patch(f"/products/{THING.id}", headers={"If-Match": header} if header else {})

    assert response.status_code == status


def test_a_new_record_has_its_address_under_the_prefix_of_the_proxy() -> None:
    headers = created_headers(Request({**http_scope(), "root_path": "/inventory"}), "/v1/products")(THING)

    assert headers == {"Location": f"/inventory/v1/products/{THING.id}", "ETag": TAG}
