import json
from contextlib import suppress
from typing import Any

import pytest
from fastapi import FastAPI, Request
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel
from starlette.responses import Response

from tests.unit.http.asgi import CALLER_ID, application, client, http_scope
from warehouse.auth.model import Caller, Role
from warehouse.commands.model import Answer, Command, Outcome
from warehouse.errors import Code, Conflict, MalformedRequest, Unauthenticated
from warehouse.http.idempotency import (
    DESCRIPTION,
    OptionalKey,
    RequiredKey,
    command_for,
    parse_key,
    request_hash,
    to_response,
)

KEY = st.text(st.characters(min_codepoint=0x20, max_codepoint=0x7E), min_size=1, max_size=255)


class Line(BaseModel):
    quantity: int
    attributes: dict[str, Any] = {}


class Body(BaseModel):
    lines: list[Line] = []
    reason: str | None = None


class LaterBody(Body):
    """As a later version of the service might have it."""

    priority: int = 0


@given(KEY.filter(lambda key: not key.startswith('"') and key == key.strip(" ")))
def test_a_bare_key_is_taken_as_it_is(key: str) -> None:
    assert parse_key(key) == key


@given(KEY)
def test_a_quoted_key_is_unquoted(key: str) -> None:
    quoted = key.replace("\\", "\\\\").replace('"', '\\"')

    assert parse_key(f'"{quoted}"') == key


def test_a_key_is_the_same_quoted_or_bare() -> None:
    assert parse_key('"7c9e-1"') == parse_key("7c9e-1") == parse_key(" 7c9e-1\t")


@pytest.mark.parametrize(
    "header",
    ["", " ", '""', '"', '"a', '"a"b', '"a\\x"', '"a"; q=1', '"a", "b"', "a\nb", "a\tb", "é", "a\x7f", "x" * 256],
)
def test_a_malformed_key_names_the_header(header: str) -> None:
    with pytest.raises(MalformedRequest) as caught:
        parse_key(header)
    assert caught.value.code is Code.IDEMPOTENCY_KEY_MALFORMED
    assert [each.pointer for each in caught.value.errors] == ["Idempotency-Key"]


@given(st.text(st.characters(max_codepoint=255)))
def test_no_header_gives_anything_but_a_key_or_our_error(header: str) -> None:
    with suppress(MalformedRequest):
        key = parse_key(header)
        assert 1 <= len(key) <= 255
        assert key.isascii()
        assert key.isprintable()


def test_the_retention_is_documented() -> None:
    assert "24 hours" in DESCRIPTION


def echoing() -> FastAPI:
    app = application()

    @app.post("/stock/receipts")
    async def receive_stock(key: RequiredKey) -> dict[str, str]:
        return {"key": key}

    @app.post("/products")
    async def create_product(key: OptionalKey) -> dict[str, str | None]:
        return {"key": key}

    return app


@pytest.mark.parametrize("path", ["/stock/receipts", "/products"])
async def test_the_key_is_handed_to_the_endpoint(path: str) -> None:
    async with client(echoing()) as http:
        response = await http.post(path, headers={"Idempotency-Key": '"a b"'})

    assert response.json() == {"key": "a b"}


async def test_a_required_key_that_is_absent_is_a_400() -> None:
    async with client(echoing()) as http:
        response = await http.post("/stock/receipts")

    assert (response.status_code, response.json()["code"]) == (400, "idempotency_key_required")


async def test_an_optional_key_may_be_absent() -> None:
    async with client(echoing()) as http:
        response = await http.post("/products")

    assert response.json() == {"key": None}


@pytest.mark.parametrize("path", ["/stock/receipts", "/products"])
@pytest.mark.parametrize("keys", [[""], ["a", "b"], ["a", "a"], ['"a']])
async def test_an_empty_a_broken_and_a_second_key_are_malformed(path: str, keys: list[str]) -> None:
    async with client(echoing()) as http:
        response = await http.post(path, headers=[("Idempotency-Key", key) for key in keys])

    assert (response.status_code, response.json()["code"]) == (400, "idempotency_key_malformed")


def hash_of(text: str, model: type[BaseModel] = Body, method: str = "POST", path: str = "/v1/x") -> bytes:
    return request_hash(method, path, model.model_validate_json(text))


@pytest.mark.parametrize(
    "spelling",
    [
        '{"lines": [{"quantity": 1, "attributes": {"b": 2, "a": 1}}]}',
        '{"reason": null, "lines": [{"attributes": {"a": 1, "b": 2}, "quantity": 1}]}',
    ],
)
def test_two_spellings_of_a_request_have_one_hash(spelling: str) -> None:
    assert hash_of(spelling) == hash_of('{"lines":[{"quantity":1,"attributes":{"a":1,"b":2}}]}')


def test_a_field_that_a_later_version_adds_keeps_the_hash() -> None:
    assert hash_of('{"reason":"x"}') == hash_of('{"reason":"x"}', LaterBody)


@pytest.mark.parametrize(
    "other",
    [
        hash_of('{"lines":[{"quantity":2}]}'),
        hash_of('{"lines":[{"quantity":1},{"quantity":1}]}'),
        hash_of('{"lines":[{"quantity":1}]}', method="PUT"),
        hash_of('{"lines":[{"quantity":1}]}', path="/v1/y"),
        request_hash("POST", "/v1/x", None),
    ],
)
def test_another_request_has_another_hash(other: bytes) -> None:
    assert hash_of('{"lines":[{"quantity":1}]}') != other


def test_a_hash_is_made_of_numbers_of_any_size() -> None:
    assert len(hash_of('{"lines":[{"quantity":1,"attributes":{"a":1e400,"b":' + "9" * 100 + "}}]}")) == 32


def command(key: str | None = "k", **more: Any) -> Command:
    caller = Caller(CALLER_ID, "tester", Role.OPERATOR)
    scope = {**http_scope("/v1/stock/receipts", "POST"), "state": {"caller": caller, "request_id": "r1"}}
    return command_for(Request(scope), key, Body(reason="x"), **more)


def test_a_command_knows_its_caller_and_its_request() -> None:
    made = command()

    assert (made.caller_id, made.actor, made.key) == (CALLER_ID, "tester", "k")
    assert made.request_hash == request_hash("POST", "/v1/stock/receipts", Body(reason="x"))


def test_nobody_commands_without_a_key_of_the_api() -> None:
    with pytest.raises(Unauthenticated):
        command_for(Request(http_scope()), None, None)


def test_the_answer_of_a_command_is_the_result_as_json() -> None:
    answer = command(status=200, headers=lambda result: {"ETag": f'"{result["id"]}"'}).success({"id": 7})

    assert answer == Answer(200, b'{"id":7}', {"Content-Type": "application/json", "ETag": '"7"'})


def test_a_command_can_have_an_answer_of_its_own() -> None:
    assert command(success=lambda result: Answer(299, result)).success(b"sealed") == Answer(299, b"sealed")


def test_a_refusal_is_recorded_as_the_problem_that_the_client_gets() -> None:
    answer = command().refusal(Conflict("5 asked for, 3 there.", code=Code.INSUFFICIENT_STOCK))

    assert (answer.status, answer.headers) == (409, {"Content-Type": "application/problem+json"})
    assert json.loads(answer.body)["code"] == "insufficient_stock"
    assert json.loads(answer.body)["request_id"] == "r1"


def sent(replayed: bool) -> Response:
    answer = Answer(201, b'{"id":7}', {"Content-Type": "application/json", "Location": "/v1/x/7"})
    return to_response(Outcome(answer, replayed, None))


def test_an_outcome_is_answered_byte_for_byte() -> None:
    response = sent(replayed=False)

    assert (response.status_code, response.body) == (201, b'{"id":7}')
    assert response.headers["content-type"] == "application/json"
    assert response.headers["location"] == "/v1/x/7"
    assert "idempotent-replayed" not in response.headers


def test_a_replay_says_so_and_is_the_same_otherwise() -> None:
    first, again = sent(replayed=False), sent(replayed=True)

    assert again.headers["idempotent-replayed"] == "true"
    assert (again.status_code, again.body) == (first.status_code, first.body)
