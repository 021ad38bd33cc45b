import logging
from collections.abc import Mapping

import pytest
from fastapi import APIRouter, FastAPI, Request
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.http.asgi import application, client, http_scope
from warehouse.http.headers import fields_of
from warehouse.http.request_id import RequestIdMiddleware, request_id_of, trace_id_of

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
PARENT = f"00-{TRACE}-00f067aa0ba902b7-01"


def shop() -> FastAPI:
    app = application()
    router = APIRouter(prefix="/v1")

    @router.get("/products/{product_id}")
    async def get_product(request: Request, product_id: str) -> dict[str, str | None]:
        return {"request_id": request.state.request_id, "trace_id": request.state.trace_id}

    @router.delete("/products/{product_id}")
    async def delete_product(product_id: str) -> None:
        raise ZeroDivisionError

    app.include_router(router)
    app.add_middleware(RequestIdMiddleware)
    return app


def headers(**values: str) -> Mapping[bytes, bytes]:
    scope = http_scope(headers={name.replace("_", "-"): value for name, value in values.items()})
    return fields_of(scope)


async def test_the_clients_request_id_is_echoed_and_known_to_the_endpoint() -> None:
    async with client(shop()) as http:
        response = await http.get("/v1/products/1", headers={"X-Request-Id": "order-42.a"})

    assert response.headers["x-request-id"] == response.json()["request_id"] == "order-42.a"


async def test_without_one_every_request_gets_its_own() -> None:
    async with client(shop()) as http:
        first, second = await http.get("/v1/products/1"), await http.get("/v1/products/1")

    assert len(first.headers["x-request-id"]) == 32
    assert first.headers["x-request-id"] != second.headers["x-request-id"]


@pytest.mark.parametrize("path", ["/nowhere", "/v1/products/1?x=1"])
async def test_a_problem_has_the_request_id_of_its_response(path: str) -> None:
    async with client(shop()) as http:
        response = await http.get(path)

    assert response.json()["request_id"] == response.headers["x-request-id"] != ""


async def test_a_500_has_it_too() -> None:
    async with client(shop()) as http:
        response = await http.delete("/v1/products/1", headers={"X-Request-Id": "r1"})

    assert (response.status_code, response.headers["x-request-id"]) == (500, "r1")
    assert response.json()["request_id"] == "r1"


@pytest.mark.parametrize("given", ["", "x" * 129, "a b", "a\tb", 'a"b', "<script>", "é", "a,b", "a;b", "%0a"])
def test_a_request_id_that_could_harm_is_replaced(given: str) -> None:
    assert request_id_of(headers(x_request_id=given)) != given


@given(st.text(st.characters(max_codepoint=255)))
def test_a_request_id_is_always_short_and_safe(given: str) -> None:
    request_id = request_id_of(headers(x_request_id=given))

    assert 1 <= len(request_id) <= 128
    assert request_id.isascii()
    assert not set(request_id) & set(' "\\\r\n<>')


@pytest.mark.parametrize("parent", [PARENT, f"00-{TRACE}-00f067aa0ba902b7-00", f"cc-{TRACE}-00f067aa0ba902b7-01-what"])
def test_a_valid_traceparent_gives_its_trace_id(parent: str) -> None:
    assert trace_id_of(headers(traceparent=parent)) == TRACE


@pytest.mark.parametrize(
    "parent",
    [
        "",
        "garbage",
        PARENT.upper(),
        f"ff-{TRACE}-00f067aa0ba902b7-01",
        f"00-{'0' * 32}-00f067aa0ba902b7-01",
        f"00-{TRACE}-{'0' * 16}-01",
        f"00-{TRACE}-00f067aa0ba902b7-01-more",
        f"00-{TRACE}-00f067aa0ba902b7",
        f"{PARENT},{PARENT}",
    ],
)
def test_an_invalid_traceparent_is_ignored(parent: str) -> None:
    assert trace_id_of(headers(traceparent=parent)) is None


async def test_the_trace_id_is_known_to_the_endpoint() -> None:
    async with client(shop()) as http:
        traced = await http.get("/v1/products/1", headers={"traceparent": PARENT})
        untraced = await http.get("/v1/products/1")

    assert traced.json()["trace_id"] == TRACE
    assert untraced.json()["trace_id"] is None


async def logged(caplog: pytest.LogCaptureFixture, method: str, path: str, **more: str) -> str:
    caplog.clear()
    with caplog.at_level(logging.INFO, "warehouse.http.request_id"):
        async with client(shop()) as http:
            await http.request(method, path, headers=more)
    [line] = [record.getMessage() for record in caplog.records if record.name == "warehouse.http.request_id"]
    return line


async def test_a_request_is_one_line_with_the_template_of_its_route(caplog: pytest.LogCaptureFixture) -> None:
    line = await logged(caplog, "GET", "/v1/products/1")

    assert line.startswith("http.request method=GET route=/v1/products/{product_id} status=200 ms=")
    assert line.endswith("caller='tester'")


@pytest.mark.parametrize(("method", "path"), [("GET", "/v1/products/hunter2?q=hunter2"), ("GET", "/hunter2")])
async def test_what_was_asked_for_and_keys_are_not_logged(
    caplog: pytest.LogCaptureFixture, method: str, path: str
) -> None:
    assert "hunter2" not in await logged(caplog, method, path, Authorization="Bearer hunter2")


async def test_a_failed_request_is_logged_with_its_status(caplog: pytest.LogCaptureFixture) -> None:
    assert "status=500" in await logged(caplog, "DELETE", "/v1/products/1")
