"""Bad bodies of every kind: each is answered with a 4xx problem document that names the fault, and changes nothing."""

import gzip
import json
from collections.abc import AsyncIterator, Iterator
from uuid import uuid4

import pytest
from httpx import AsyncClient, Response

from tests.api.answers import pointers, problem
from tests.api.calls import Call, Json, new_call, new_key
from tests.api.conftest import Unchanged
from tests.api.document import DOCUMENT, OPERATIONS, Operation
from tests.api.mutations import mutations
from warehouse.settings import LimitSettings

JSON = {"Content-Type": "application/json"}
TOO_LARGE = 10_000_000
MAX_BODY = LimitSettings().body_bytes
WITH_BODY = [operation for operation in OPERATIONS.values() if operation.body is not None]
ROW: Json = DOCUMENT["components"]["schemas"]["ProductUpsert"]
BROKEN = (
    b"{",
    b"}",
    b"{]",
    b'{"sku"}',
    b"{'sku': 1}",
    b'{"sku": 1,}',
    b'{"sku": .5}',
    b'{"sku": 01}',
    b'{"sku": 0x10}',
    b'{"sku": undefined}',
    b'{"sku": "a\nb"}',
    b'{"sku": "a\x00b"}',
    b'{"sku": "\\x41"}',
    b'{"sku": "\\u12"}',
    b'{"sku": "\xff"}',
    b'{"sku": "\xed\xa0\x80"}',
    b'{"sku": "\xc0\xaf"}',
    b"// nothing\n{}",
    b"\x00",
    b" ",
    b"\x1f\x8b\x08\x00",
    b"<sku/>",
    b'{"sku": ' + b"9" * 5000 + b"}",
)


OTHER_MEDIA_TYPES = (
    "",
    "json",
    "text/plain",
    "text/json",
    "application/xml",
    "application/jsonp",
    "application/x-www-form-urlencoded",
    "multipart/form-data; boundary=x",
    "application/json, text/plain",
    "*/*",
)


async def send_raw(call: Call, client: AsyncClient, body: bytes, **headers: str) -> Response:
    call = call.with_new_key()
    return await call.send(client, content=body, headers={**call.headers, **JSON, **headers})


def _on_nothing(operation: Operation) -> Call:
    """Every header that the operation may need, and ids of what there is not."""
    ids = dict.fromkeys(operation.path_parameters, str(uuid4()))
    return Call(operation, ids, headers={"If-Match": "*", **new_key()})


def _deep() -> Iterator[bytes]:
    """Nested as deep as JSON's parser goes, less deep, and deeper."""
    for depth in (100, 300, 900, 950, 980, 1100, 100_000):
        deep = b"[" * depth + b"]" * depth
        yield deep
        for start in (b"", b'"\\u0041",'):  # with an escape the texts of the body are looked at
            yield b'{"colour":[%s%s]}' % (start, deep)
            yield b'{"products":[%s%s]}' % (start, deep)


def _twice(body: str) -> Iterator[bytes]:
    """The body with its first member once more, before the others and in an object of its own."""
    name, value = next(iter(json.loads(body).items()))
    member = f"{json.dumps(name)}: {json.dumps(value)}"
    yield f"{{{member}, {body[1:]}".encode()
    yield f'{{"deeper": [{{{member}, {member}}}], {body[1:]}'.encode()


@pytest.mark.parametrize("operation", WITH_BODY, ids=str)
async def test_every_field_of_a_wrong_type_or_beyond_its_bounds_is_named(
    client: AsyncClient, unchanged: Unchanged, operation: Operation
) -> None:
    call = await new_call(client, operation.name)
    assert operation.body is not None
    async with unchanged():
        for mutation in mutations(call.json, operation.body):
            response = await send_raw(call, client, json.dumps(mutation.body).encode())
            assert response.status_code == 422, f"{mutation}: {response.text}"
            assert pointers(response) == {mutation.pointer}, mutation
    assert (await call.send(client)).is_success


async def test_every_bad_field_of_a_row_in_a_batch_is_named_in_its_result(
    client: AsyncClient, unchanged: Unchanged
) -> None:
    call = await new_call(client, "upsert_products")
    async with unchanged():
        for mutation in mutations(call.json["products"][0], ROW):
            body = json.dumps({"products": [mutation.body]}).encode()
            response = await send_raw(call, client, body)
            if response.status_code == 422:  # characters that no row may hold
                assert pointers(response) == {f"/products/0{mutation.pointer}"}
                continue
            assert [fate["status"] for fate in response.json()["results"]] == ["failed"], mutation
            errors = response.json()["results"][0]["errors"]
            assert {error["pointer"] for error in errors} == {mutation.pointer}, mutation


@pytest.mark.parametrize("operation", WITH_BODY, ids=str)
async def test_what_is_no_object_is_no_body(client: AsyncClient, unchanged: Unchanged, operation: Operation) -> None:
    call = _on_nothing(operation)
    async with unchanged():
        for body in (b"null", b"[]", b'"text"', b"7", b"true", b"NaN"):
            assert pointers(await send_raw(call, client, body)) == {""}


@pytest.mark.parametrize("operation", WITH_BODY, ids=str)
async def test_a_body_that_is_missing_is_asked_for(client: AsyncClient, operation: Operation) -> None:
    call = _on_nothing(operation)
    assert pointers(await call.send(client)) == {""}
    assert pointers(await send_raw(call, client, b"")) == {""}


@pytest.mark.parametrize("operation", WITH_BODY, ids=str)
async def test_what_cannot_be_parsed_is_a_400(client: AsyncClient, unchanged: Unchanged, operation: Operation) -> None:
    call = await new_call(client, operation.name)
    valid = json.dumps(call.json)
    async with unchanged():
        for body in (*BROKEN, valid[:-1].encode(), (valid + "}").encode(), valid.encode("utf-16"), *_twice(valid)):
            problem(await send_raw(call, client, body), 400, "malformed_request")


@pytest.mark.parametrize("operation", WITH_BODY, ids=str)
async def test_no_depth_of_nesting_is_too_much(client: AsyncClient, unchanged: Unchanged, operation: Operation) -> None:
    call = await new_call(client, operation.name)
    refusals = {200, 400, 422} if operation.name == "upsert_products" else {400, 422}
    async with unchanged():
        for body in _deep():
            assert (await send_raw(call, client, body)).status_code in refusals


@pytest.mark.parametrize("operation", WITH_BODY, ids=str)
async def test_a_body_beyond_the_limit_is_a_413(
    client: AsyncClient, unchanged: Unchanged, operation: Operation
) -> None:
    call = await new_call(client, operation.name)
    valid = json.dumps(call.json).encode()
    async with unchanged():
        too_much = valid + b" " * (TOO_LARGE - len(valid))
        problem(await send_raw(call, client, too_much), 413, "payload_too_large")

        async def chunks() -> AsyncIterator[bytes]:
            for start in range(0, len(too_much), 65536):
                yield too_much[start : start + 65536]

        response = await call.send(client, content=chunks(), headers={**call.headers, **JSON})
        problem(response, 413, "payload_too_large")
    just_enough = valid + b" " * (MAX_BODY - len(valid))
    assert (await send_raw(call, client, just_enough)).is_success


@pytest.mark.parametrize("operation", WITH_BODY, ids=str)
async def test_another_media_type_is_a_415(client: AsyncClient, unchanged: Unchanged, operation: Operation) -> None:
    call = await new_call(client, operation.name)
    body = json.dumps(call.json).encode()
    async with unchanged():
        for media_type in OTHER_MEDIA_TYPES:
            response = await send_raw(call, client, body, **{"Content-Type": media_type})
            problem(response, 415, "unsupported_media_type")


async def test_a_body_that_is_not_as_its_content_encoding_says_is_refused(
    client: AsyncClient, unchanged: Unchanged
) -> None:
    call = await new_call(client, "create_product")
    body = json.dumps(call.json).encode()
    async with unchanged():
        for coding in ("gzip", "zstd"):
            plain = await send_raw(call, client, body, **{"Content-Encoding": coding})
            problem(plain, 400, "malformed_request")
        for coding in ("br", "gzip, zstd"):
            unknown = await send_raw(call, client, gzip.compress(body), **{"Content-Encoding": coding})
            problem(unknown, 415, "unsupported_media_type")


@pytest.mark.parametrize(
    ("text", "accepted"),
    [
        ("9007199254740992", True),
        ("9007199254740993", False),
        ("-9007199254740993", False),
        ("1" + "0" * 30, False),
        ("1e300", True),
        ("-1e-300", True),
        ("0.1", True),
        ("1e19", True),
        ("true", True),
        ("0", True),
        ("1e400", False),
        ("NaN", False),
        ("-Infinity", False),
        ("null", False),
        ("[]", False),
        ("{}", False),
        ('"' + "x" * 1025 + '"', False),
        ('"a\\u0000"', False),
        ('"\\ud800"', False),
    ],
)
async def test_an_attribute_is_kept_exactly_or_refused(client: AsyncClient, text: str, accepted: bool) -> None:
    call = await new_call(client, "create_product")
    body = json.dumps({**call.json, "attributes": {"depth": "value"}}).replace('"value"', text)
    response = await send_raw(call, client, body.encode())
    if accepted:
        read = await client.get(response.headers["location"])
        assert read.json()["attributes"] == response.json()["attributes"] == {"depth": json.loads(text)}
    else:
        assert pointers(response) == {"/attributes/depth"}


@pytest.mark.parametrize("attributes", [{"": 1}, {"x" * 65: 1}, {"a\0": 1}, {f"n{number}": 1 for number in range(65)}])
async def test_a_bad_name_or_number_of_attributes_is_named(
    client: AsyncClient, unchanged: Unchanged, attributes: Json
) -> None:
    call = await new_call(client, "create_product")
    async with unchanged():
        found = pointers(await call.but(json={**call.json, "attributes": attributes}).send(client))
        assert {pointer.split("/")[1] for pointer in found} == {"attributes"}
