from typing import Annotated, Any
from uuid import UUID, uuid4

import pytest
from fastapi import FastAPI, Header
from httpx import Response as Answer
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from tests.unit.http.asgi import application, client
from warehouse.http.conditional import IfMatch
from warehouse.http.idempotency import RequiredKey
from warehouse.http.pagination import Limit
from warehouse.http.validation import MAX_ERRORS, field_errors, json_pointer

JSON = {"Content-Type": "application/json"}
KEY = {"Idempotency-Key": "k"}


class Line(BaseModel):
    model_config = ConfigDict(extra="forbid")

    quantity: int = Field(gt=0)
    attributes: dict[str, str | int] = {}
    product_id: UUID | None = None

    @field_validator("quantity")
    @classmethod
    def _even(cls, quantity: int) -> int:
        if quantity % 2:
            raise ValueError("Must be even.")
        return quantity


class Body(BaseModel):
    model_config = ConfigDict(extra="forbid")

    lines: list[Line]


def shop() -> FastAPI:
    app = application()

    @app.get("/products")
    async def list_products(limit: Limit = 50, x_client_id: Annotated[int, Header()] = 1) -> None: ...

    @app.post("/products")
    async def create_product(key: RequiredKey, body: Body) -> None: ...

    @app.patch("/products/{product_id}")
    async def update_product(product_id: UUID, precondition: IfMatch, body: Body) -> None: ...

    return app


async def post(content: bytes | None = None, **more: Any) -> Answer:
    async with client(shop()) as http:
        return await http.post("/products", content=content, headers={**JSON, **KEY}, **more)


def pointers(response: Answer) -> list[tuple[str, str]]:
    assert response.status_code == 422, response.text
    return [(each["pointer"], each["code"]) for each in response.json()["errors"]]


@pytest.mark.parametrize(
    ("body", "faults"),
    [
        (b'{"lines":[{"quantity":0}]}', [("/lines/0/quantity", "greater_than")]),
        (b'{"lines":[{"quantity":2},{"quantity":3}]}', [("/lines/1/quantity", "value_error")]),
        (b'{"lines":[{}]}', [("/lines/0/quantity", "missing")]),
        (b"{}", [("/lines", "missing")]),
        (b'{"lines":[],"a/b~c":1}', [("/a~1b~0c", "extra_forbidden")]),
        (b'{"lines":[{"quantity":2,"product_id":"x"}]}', [("/lines/0/product_id", "uuid_parsing")]),
        (b'{"lines":{"0":1}}', [("/lines", "list_type")]),
        (b"[]", [("", "model_attributes_type")]),
        (b'{"lines":[{"quantity":1e400}]}', [("/lines/0/quantity", "finite_number")]),
        (b'{"lines":[{"quantity":NaN}]}', [("/lines/0/quantity", "finite_number")]),
    ],
)
async def test_every_fault_of_the_body_is_named_by_a_json_pointer(body: bytes, faults: list[tuple[str, str]]) -> None:
    assert pointers(await post(body)) == faults


async def test_a_pointer_leads_through_the_body_and_not_through_the_types_of_a_union() -> None:
    response = await post(b'{"lines":[{"quantity":2,"attributes":{"str":[]}}]}')

    assert {pointer for pointer, _ in pointers(response)} == {"/lines/0/attributes/str"}


async def test_what_a_validator_says_reaches_the_client_without_pydantics_prefix() -> None:
    response = await post(b'{"lines":[{"quantity":3}]}')

    assert response.json()["detail"] == "/lines/0/quantity: Must be even."


async def test_the_detail_counts_the_faults_that_it_does_not_tell() -> None:
    response = await post(b'{"lines":[{"quantity":0},{"quantity":0},{"quantity":0}]}')

    assert response.json()["detail"] == "/lines/0/quantity: Input should be greater than 0 (and 2 more)"


async def test_a_body_of_countless_faults_is_answered_with_the_first_of_them() -> None:
    response = await post(b'{"lines":[' + b",".join([b"0"] * (MAX_ERRORS + 1)) + b"]}")

    assert len(pointers(response)) == MAX_ERRORS


async def test_the_value_at_fault_is_not_repeated() -> None:
    response = await post(b'{"lines":"hunter2"}')

    assert response.status_code == 422
    assert "hunter2" not in response.text


async def test_an_absent_body_is_a_fault_of_the_whole() -> None:
    assert pointers(await post()) == [("", "missing")]


@pytest.mark.parametrize(
    "content",
    [
        b'{"lines":',
        b"{'lines':[]}",
        b"\xff\xfe",
        b'{"a":"\x00"}',
        b"[" * 200_000,
        b'{"lines":' + b"1" * 5000 + b"}",
        b"\xef",
    ],
)
async def test_a_body_that_cannot_be_parsed_is_a_400(content: bytes) -> None:
    response = await post(content)

    assert (response.status_code, response.json()["code"]) == (400, "malformed_request")


async def test_a_query_parameter_is_named_with_a_question_mark() -> None:
    async with client(shop()) as http:
        response = await http.get("/products", params={"limit": 0})

    assert pointers(response) == [("?limit", "greater_than_equal")]


async def test_a_header_is_named_as_it_is_written() -> None:
    async with client(shop()) as http:
        response = await http.get("/products", headers={"x-client-id": "x"})

    assert pointers(response) == [("X-Client-Id", "int_parsing")]


async def test_a_part_of_the_path_is_named_in_braces() -> None:
    async with client(shop()) as http:
        response = await http.patch("/products/7", json={"lines": []}, headers={"If-Match": "*"})

    assert pointers(response) == [("{product_id}", "uuid_parsing")]


async def test_without_an_idempotency_key_the_answer_is_400_whatever_else_is_wrong() -> None:
    async with client(shop()) as http:
        response = await http.post("/products", json={})

    assert (response.status_code, response.json()["code"]) == (400, "idempotency_key_required")


async def test_without_if_match_the_answer_is_428_whatever_else_is_wrong() -> None:
    async with client(shop()) as http:
        response = await http.patch(f"/products/{uuid4()}", json={})

    assert (response.status_code, response.json()["code"]) == (428, "precondition_required")


def test_the_faults_of_a_row_are_named_from_the_row_on() -> None:
    row = {"quantity": 0, "x": 1}
    with pytest.raises(ValidationError) as caught:
        Line.model_validate(row)

    assert [each.pointer for each in field_errors(caught.value, row)] == ["/quantity", "/x"]


def test_a_json_pointer_escapes_slashes_and_tildes() -> None:
    assert json_pointer(["a/b", 0, "~"]) == "/a~1b/0/~0"
