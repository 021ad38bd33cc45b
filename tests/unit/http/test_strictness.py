from typing import Annotated, Any

import pytest
from fastapi import FastAPI, File, Query
from httpx import Response as Answer
from pydantic import BaseModel
from starlette.types import Message

from tests.unit.http.asgi import application, client, http_scope
from warehouse.http.pagination import Cursor, Limit


class Body(BaseModel):
    name: str = ""
    attributes: dict[str, Any] = {}


def shop() -> FastAPI:
    app = application()

    @app.get("/products")
    async def list_products(limit: Limit = 50, q: str = "", cursor: Cursor = None) -> None: ...

    @app.get("/stock")
    async def list_balances(
        days: Annotated[list[int], Query()], lots: Annotated[list[str] | None, Query()] = None
    ) -> None: ...

    @app.get("/products/by-sku/{sku}")
    async def get_product_by_sku(sku: str) -> None: ...

    @app.post("/products")
    async def create_product(body: Body) -> None: ...

    @app.post("/products/batch")
    async def upsert_products(file: Annotated[bytes, File()]) -> None: ...

    @app.post("/reservations/confirm")
    async def confirm_reservation() -> None: ...

    return app


async def request(method: str, path: str, **more: Any) -> Answer:
    async with client(shop()) as http:
        return await http.request(method, path, **more)


def faults(response: Answer) -> list[tuple[str, str]]:
    assert response.status_code == 422, response.text
    return [(each["pointer"], each["code"]) for each in response.json()["errors"]]


async def test_an_unknown_parameter_is_refused_and_named() -> None:
    assert faults(await request("GET", "/products?limit=1&colour=red&x=1")) == [
        ("?colour", "unknown_parameter"),
        ("?x", "unknown_parameter"),
    ]


async def test_an_operation_without_parameters_takes_none() -> None:
    assert faults(await request("GET", "/products/by-sku/a?sku=b")) == [("?sku", "unknown_parameter")]


async def test_what_is_a_list_is_given_as_often_as_one_likes() -> None:
    assert (await request("GET", "/stock?lots=a&lots=b&days=1&days=2")).status_code == 200
    assert faults(await request("GET", "/stock?lots=a&lots=b&days=1&lot=c")) == [("?lot", "unknown_parameter")]


async def test_a_parameter_given_twice_is_refused() -> None:
    assert faults(await request("GET", "/products?limit=1&limit=2")) == [("?limit", "repeated_parameter")]


async def test_every_known_parameter_is_taken() -> None:
    assert (await request("GET", "/products?limit=1&q=a&cursor=x")).status_code == 200


@pytest.mark.parametrize("name", ["%ff%fe", "%00", "%ED%A0%80", "", "x" * 3000])
async def test_a_parameter_of_any_name_is_refused_politely(name: str) -> None:
    assert [code for _, code in faults(await request("GET", f"/products?{name}=1"))] == ["unknown_parameter"]


@pytest.mark.parametrize(
    "media_type",
    ["application/json", "APPLICATION/JSON", "application/json; charset=utf-8", "application/merge-patch+json"],
)
async def test_json_of_every_kind_is_read(media_type: str) -> None:
    response = await request("POST", "/products", content=b"{}", headers={"Content-Type": media_type})

    assert response.status_code == 200


@pytest.mark.parametrize(
    "media_type",
    [
        "text/plain",
        "application/xml",
        "text/json",
        "application/jsonx",
        "json",
        "",
        "application/x-www-form-urlencoded",
    ],
)
async def test_a_body_of_another_media_type_is_a_415(media_type: str) -> None:
    response = await request("POST", "/products", content=b"{}", headers={"Content-Type": media_type})

    assert (response.status_code, response.json()["code"]) == (415, "unsupported_media_type")


async def test_a_body_without_a_media_type_is_a_415() -> None:
    assert (await request("POST", "/products", content=b"{}")).status_code == 415


async def test_a_chunked_body_of_another_media_type_is_a_415() -> None:
    async def chunks() -> Any:
        yield b"{}"

    response = await request("POST", "/products", content=chunks(), headers={"Content-Type": "text/plain"})

    assert response.status_code == 415


async def test_a_body_that_nothing_announces_is_a_415_as_well() -> None:
    """As HTTP/2 may bring one: neither a length nor a transfer coding."""
    sent: list[Message] = []

    async def receive() -> Message:
        return {"type": "http.request", "body": rb'"\u0000" no JSON', "more_body": False}

    async def send(message: Message) -> None:
        sent.append(message)

    await shop()(http_scope("/products", "POST"), receive, send)

    assert sent[0]["status"] == 415


async def test_an_upload_is_not_held_to_json() -> None:
    assert (await request("POST", "/products/batch", files={"file": b"sku\n"})).status_code == 200


async def test_an_operation_that_reads_no_body_does_not_mind_its_media_type() -> None:
    response = await request("POST", "/reservations/confirm", content=b"x", headers={"Content-Type": "text/plain"})

    assert response.status_code == 200


@pytest.mark.parametrize(
    ("body", "pointers"),
    [
        (rb'{"name":"a\u0000"}', ["/name"]),
        (rb'{"name":"\ud800"}', ["/name"]),
        (rb'{"name":"\udc00\ud800"}', ["/name"]),
        (rb'{"attributes":{"a":[1,{"b":"\u0000"}]}}', ["/attributes/a/1/b"]),
        (rb'{"attributes":{"\ud800":1}}', ["/attributes/?"]),
        (rb'{"attributes":{"a":"\u0000","b":"\u0000"}}', ["/attributes/a", "/attributes/b"]),
        (rb'["\u0000"]', ["/0"]),
    ],
)
async def test_nul_and_lone_surrogates_in_the_body_are_named(body: bytes, pointers: list[str]) -> None:
    response = await request("POST", "/products", content=body, headers={"Content-Type": "application/json"})

    assert faults(response) == [(pointer, "characters") for pointer in pointers]


@pytest.mark.parametrize("body", [rb'{"name":"\u00e9\ud83d\ude00"}', '{"name":"é😀"}'.encode(), rb'{"name":"\\u0000"}'])
async def test_every_other_character_is_taken(body: bytes) -> None:
    response = await request("POST", "/products", content=body, headers={"Content-Type": "application/json"})

    assert response.status_code == 200


async def test_the_characters_of_a_deep_body_are_looked_at_as_well() -> None:
    body = b'{"attributes":{"a":' + b"[" * 400 + rb'"\u0000"' + b"]" * 400 + b"}}"
    response = await request("POST", "/products", content=body, headers={"Content-Type": "application/json"})

    assert faults(response) == [("/attributes/a" + "/0" * 400, "characters")]


@pytest.mark.parametrize(
    ("url", "pointer"), [("/products?q=a%00b", "?q"), ("/products/by-sku/a%00b", "{sku}"), ("/products?q=%00", "?q")]
)
async def test_nul_in_the_address_is_named(url: str, pointer: str) -> None:
    assert faults(await request("GET", url)) == [(pointer, "characters")]
