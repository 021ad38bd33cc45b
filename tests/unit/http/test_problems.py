import json
import logging
from collections.abc import Iterator
from typing import Any
from uuid import UUID, uuid4

import pytest
from fastapi import FastAPI
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.types import Message, Receive, Scope, Send

from tests.unit.http.asgi import application, client, http_scope
from warehouse import errors
from warehouse.errors import Code, Conflict, FieldError, NotFound, StaleVersion, Unavailable, WarehouseError
from warehouse.http.problems import (
    STATUS,
    TITLES,
    InternalErrorMiddleware,
    MethodNotAllowed,
    Problem,
    problem_for,
    problem_response,
    status_of,
)

TEXT = st.text(st.characters(), max_size=50)  # lone surrogates and control characters too


def subclasses(kind: type[WarehouseError]) -> Iterator[type[WarehouseError]]:
    for each in kind.__subclasses__():
        yield each
        yield from subclasses(each)


def problem(error: WarehouseError) -> dict[str, Any]:
    response = problem_response(error, instance="/v1/stock", request_id="r1")
    document: dict[str, Any] = json.loads(bytes(response.body))
    return document


def test_every_error_of_the_domain_has_a_status() -> None:
    assert all(any(base in STATUS for base in kind.__mro__) for kind in subclasses(WarehouseError))


def test_every_code_has_a_title() -> None:
    assert TITLES.keys() == set(Code)


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (errors.MalformedRequest("x", code=Code.BAD_CURSOR), 400),
        (errors.Unauthenticated("x"), 401),
        (errors.Forbidden("x"), 403),
        (errors.NotFound("x"), 404),
        (MethodNotAllowed(["GET"]), 405),
        (errors.NotAcceptable("x"), 406),
        (errors.Conflict("x", code=Code.INSUFFICIENT_STOCK), 409),
        (errors.StaleVersion("x", current_version=2), 412),
        (errors.TooLarge("x"), 413),
        (errors.UnsupportedMediaType("x"), 415),
        (errors.UnsupportedCoding("x"), 415),
        (errors.Invalid("x", code=Code.IDEMPOTENCY_KEY_REUSED), 422),
        (errors.PreconditionRequired("x"), 428),
        (errors.Unavailable("x"), 503),
        (errors.TransactionConflict("x"), 503),
    ],
)
def test_each_kind_of_error_has_its_status(error: WarehouseError, status: int) -> None:
    assert status_of(error) == status
    assert problem(error)["status"] == status


def test_a_problem_has_every_member_of_the_contract() -> None:
    fault = FieldError("/lines/0/quantity", "greater_than", "Must be above 0.")
    error = Conflict("5 asked for, 3 there.", code=Code.INSUFFICIENT_STOCK, errors=[fault])

    response = problem_response(error, instance="/v1/stock/shipments", request_id="r1")

    assert response.headers["content-type"] == "application/problem+json"
    assert json.loads(bytes(response.body)) == {
        "type": "urn:warehouse:problem:insufficient_stock",
        "title": "There is not enough stock",
        "status": 409,
        "detail": "5 asked for, 3 there.",
        "instance": "/v1/stock/shipments",
        "code": "insufficient_stock",
        "request_id": "r1",
        "errors": [{"pointer": "/lines/0/quantity", "code": "greater_than", "detail": "Must be above 0."}],
    }


def test_the_document_is_what_the_schema_says() -> None:
    try:
        Problem.model_validate(problem(NotFound("There is no such product.")))
    except ValidationError as error:
        pytest.fail(str(error))


def test_a_stale_version_tells_the_current_one() -> None:
    assert problem(StaleVersion("x", current_version=7))["current_version"] == 7


def test_further_members_cannot_take_the_place_of_ours() -> None:
    assert problem(Conflict("x", code=Code.IN_USE, extra={"status": 200, "code": "y"}))["status"] == 409


@pytest.mark.parametrize(
    ("error", "name", "value"),
    [
        (errors.Unauthenticated("x"), "www-authenticate", "Bearer"),
        (errors.Unavailable("x", retry_after=7), "retry-after", "7"),
        (MethodNotAllowed(["GET", "POST"]), "allow", "GET, POST"),
        (errors.NotAcceptable("x"), "vary", "Accept-Encoding"),
        (errors.UnsupportedCoding("x"), "accept-encoding", "gzip, zstd"),
    ],
)
def test_a_problem_brings_the_header_that_its_status_asks_for(error: WarehouseError, name: str, value: str) -> None:
    assert problem_response(error, instance="/", request_id="").headers[name] == value


@given(TEXT, TEXT, TEXT)
def test_a_problem_can_be_encoded_whatever_its_texts_hold(detail: str, pointer: str, path: str) -> None:
    error = NotFound(detail, errors=[FieldError(pointer, "x", detail)])

    body = problem_response(error, instance=path, request_id="r").body

    assert json.loads(bytes(body))["code"] == "not_found"


def test_a_middleware_answers_with_the_request_id_of_the_scope() -> None:
    scope = {**http_scope("/v1/a b"), "state": {"request_id": "abc"}}

    body = json.loads(bytes(problem_for(NotFound("x"), scope).body))

    assert (body["request_id"], body["instance"]) == ("abc", "/v1/a%20b")


async def test_an_unknown_path_is_a_problem() -> None:
    async with client(application()) as http:
        response = await http.get("/nowhere")

    assert (response.status_code, response.json()["code"]) == (404, "not_found")
    assert response.headers["content-type"] == "application/problem+json"


def with_products() -> FastAPI:
    app = application()

    @app.get("/products/{product_id}")
    async def get_product(product_id: UUID) -> Response:
        raise NotFound("There is no such product.")

    @app.patch("/products/{product_id}")
    async def update_product(product_id: UUID) -> None: ...

    @app.delete("/products/{product_id}")
    async def delete_product(product_id: UUID) -> None:
        raise ZeroDivisionError("mysql://root:hunter2@db")

    @app.get("/products")
    async def list_products(status: int) -> None:
        raise HTTPException(status, "mysql://root:hunter2@db")

    return app


async def test_a_405_lists_every_method_of_the_path_and_not_of_the_first_route_alone() -> None:
    async with client(with_products()) as http:
        response = await http.put(f"/products/{uuid4()}")

    assert (response.status_code, response.json()["code"]) == (405, "method_not_allowed")
    assert response.headers["allow"] == "DELETE, GET, HEAD, PATCH"


async def test_what_an_endpoint_raises_is_a_problem() -> None:
    async with client(with_products()) as http:
        response = await http.get(f"/products/{uuid4()}")

    assert (response.status_code, response.json()["detail"]) == (404, "There is no such product.")


async def test_a_malformed_id_in_the_path_is_named() -> None:
    async with client(with_products()) as http:
        response = await http.get("/products/none")

    assert response.status_code == 422
    assert [each["pointer"] for each in response.json()["errors"]] == ["{product_id}"]


async def test_an_unexpected_error_is_a_500_that_says_nothing_of_it(caplog: pytest.LogCaptureFixture) -> None:
    async with client(with_products()) as http:
        response = await http.delete(f"/products/{uuid4()}")

    assert (response.status_code, response.json()["code"]) == (500, "internal_error")
    assert "hunter2" not in response.text
    assert "Traceback" not in response.text
    assert any(record.exc_info for record in caplog.records if record.levelno == logging.ERROR)


@pytest.mark.parametrize(
    ("status", "answered", "code"),
    [(400, 400, "malformed_request"), (413, 413, "payload_too_large"), (418, 500, "internal_error")],
)
async def test_an_http_exception_of_a_library_is_a_problem_without_its_text(
    status: int, answered: int, code: str
) -> None:
    async with client(with_products()) as http:
        response = await http.get("/products", params={"status": status})

    assert (response.status_code, response.json()["code"]) == (answered, code)
    assert "hunter2" not in response.text


def test_a_media_type_that_is_not_read_is_not_told_as_a_matter_of_codings() -> None:
    """RFC 9110, 12.5.3."""
    response = problem_response(errors.UnsupportedMediaType("x"), instance="/", request_id="")
    assert "accept-encoding" not in response.headers


async def test_what_is_raised_within_the_reading_of_a_body_is_told_as_it_is() -> None:
    app = with_products()

    @app.post("/products")
    async def create_product(body: dict[str, int]) -> None: ...

    async def receive() -> Message:
        raise errors.TooLarge("More than can be carried.")

    sent: list[Message] = []

    async def send(message: Message) -> None:
        sent.append(message)

    await app(http_scope("/products", "POST", {"Content-Type": "application/json"}), receive, send)

    assert sent[0]["status"] == 413
    assert json.loads(sent[1]["body"])["detail"] == "More than can be carried."


async def test_a_failure_in_the_midst_of_an_answer_is_handed_on_so_that_the_connection_is_cut() -> None:
    async def failing(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        raise ZeroDivisionError

    sent: list[Message] = []

    async def receive() -> Message:
        return {"type": "http.disconnect"}

    async def send(message: Message) -> None:
        sent.append(message)

    with pytest.raises(ZeroDivisionError):
        await InternalErrorMiddleware(failing)(http_scope(), receive, send)
    assert [message["type"] for message in sent] == ["http.response.start"]


async def test_a_failing_service_under_us_is_a_503() -> None:
    app = application()

    @app.get("/products")
    async def list_products() -> None:
        raise Unavailable("The database does not answer.", retry_after=3)

    async with client(app) as http:
        response = await http.get("/products")

    assert (response.status_code, response.headers["retry-after"]) == (503, "3")
