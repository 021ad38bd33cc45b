import copy
from collections.abc import Iterator
from enum import StrEnum
from typing import Any
from uuid import UUID

import pytest
from fastapi import APIRouter, FastAPI
from pydantic import BaseModel, Field, SkipValidation
from starlette.responses import Response

from tests.unit.http.asgi import application, client
from warehouse.http.conditional import IfMatch
from warehouse.http.docs import install_docs
from warehouse.http.health import health_router
from warehouse.http.idempotency import OptionalKey, RequiredKey
from warehouse.http.openapi import customise, document
from warehouse.http.pagination import Cursor, Limit, Page
from warehouse.http.problems import STATUS

Json = dict[str, Any]


class Status(StrEnum):
    ACTIVE = "active"
    ARCHIVED = "archived"


class ProductCreate(BaseModel):
    title: str = Field(examples=[{"title": "kept"}])
    name: str | None = None


class ProductUpdate(BaseModel):
    title: str = ""
    name: str | None = None


class ProductRead(BaseModel):
    id: UUID
    title: str
    name: str | None
    version: int


class ProductPage(Page[ProductRead]):
    pass


class ProductBatch(BaseModel):
    products: list[SkipValidation[ProductCreate]]


class CommandRead(BaseModel):
    command_id: UUID


def products() -> APIRouter:
    router = APIRouter(prefix="/products", tags=["products"])

    @router.get("", response_model=ProductPage)
    async def list_products(
        status: Status | None = None, q: str | None = None, limit: Limit = 50, cursor: Cursor = None
    ) -> None: ...

    @router.post("", response_model=ProductRead, status_code=201)
    async def create_product(key: OptionalKey, body: ProductCreate) -> None:
        """Make a product."""

    @router.get("/{product_id}", response_model=ProductRead)
    async def get_product(product_id: UUID) -> None: ...

    @router.patch("/{product_id}", response_model=ProductRead)
    async def update_product(product_id: UUID, if_match: IfMatch, body: ProductUpdate) -> None: ...

    @router.delete("/{product_id}", status_code=204)
    async def delete_product(product_id: UUID, if_match: IfMatch) -> Response:
        return Response(status_code=204)

    return router


def others() -> APIRouter:
    router = APIRouter(tags=["stock"])

    @router.post(
        "/receipts", response_model=CommandRead, status_code=201, responses={404: {}, 200: {"model": CommandRead}}
    )
    async def receive_stock(key: RequiredKey, body: ProductCreate) -> None: ...

    @router.post("/batch", response_model=CommandRead)
    async def upsert_products(body: ProductBatch) -> None: ...

    @router.post("/warehouses", response_model=ProductRead, status_code=201, responses={200: {"model": ProductRead}})
    async def create_warehouse(key: RequiredKey, body: ProductCreate) -> None: ...

    @router.post("/api-keys", response_model=ProductRead, status_code=201)
    async def create_api_key(body: ProductCreate) -> None: ...

    @router.delete("/api-keys/{key_id}", status_code=204)
    async def revoke_api_key(key_id: UUID) -> None: ...

    return router


def shop() -> FastAPI:
    app = application()
    app.include_router(products(), prefix="/v1")
    app.include_router(others(), prefix="/v1")
    app.include_router(health_router({}))
    install_docs(app)
    customise(app)
    return app


@pytest.fixture(scope="module")
def written() -> Json:
    return document(shop())


@pytest.fixture
def by_name(written: Json) -> dict[str, Json]:
    return {operation["operationId"]: operation for path in written["paths"].values() for operation in path.values()}


def references(node: Any) -> Iterator[str]:
    if isinstance(node, dict):
        if isinstance(node.get("$ref"), str):
            yield node["$ref"]
        for value in node.values():
            yield from references(value)
    elif isinstance(node, list):
        for value in node:
            yield from references(value)


def resolved(written: Json, reference: str) -> Any:
    node: Any = written
    for step in reference.removeprefix("#/").split("/"):
        node = node[step]
    return node


def parameter(operation: Json, name: str) -> Json:
    [found] = [each for each in operation["parameters"] if each["name"] == name]
    return dict(found)


async def test_the_document_is_served_without_the_pages_in_it() -> None:
    async with client(shop()) as http:
        served = (await http.get("/openapi.json")).json()

    assert served == document(shop())
    assert not {"/", "/docs", "/redoc", "/openapi.json"} & served["paths"].keys()


def test_it_says_who_made_it_under_which_licence_and_where_it_is(written: Json) -> None:
    assert written["info"]["license"] == {"name": "MIT", "identifier": "MIT"}
    assert written["info"]["contact"]["name"]
    assert written["servers"][0]["url"] == "/"


def test_operations_are_named_after_their_functions(by_name: dict[str, Json]) -> None:
    assert {"list_products", "create_product", "get_product", "update_product", "livez"} <= by_name.keys()


def test_two_operations_of_one_name_are_refused() -> None:
    app = shop()
    router = APIRouter(tags=["products"])

    @router.get("/again")
    async def list_products() -> None: ...

    app.include_router(router)
    with pytest.raises(RuntimeError, match="list_products"):
        document(app)


@pytest.mark.parametrize("tags", [[], ["products", "stock"], ["unheard-of"]])
def test_an_operation_has_exactly_one_tag_that_is_explained(tags: list[str]) -> None:
    app = shop()
    router = APIRouter(tags=[*tags])

    @router.get("/x")
    async def get_x() -> None: ...

    app.include_router(router)
    with pytest.raises(RuntimeError, match="get_x needs exactly one tag"):
        document(app)


def test_every_reference_leads_somewhere(written: Json) -> None:
    assert all(resolved(written, reference) for reference in references(written))


def test_fastapis_own_error_schemas_are_gone(written: Json) -> None:
    assert not {"HTTPValidationError", "ValidationError"} & written["components"]["schemas"].keys()
    assert "HTTPValidationError" not in str(written)


def test_every_error_of_an_operation_is_a_problem(written: Json, by_name: dict[str, Json]) -> None:
    for name, operation in by_name.items():
        for status, response in operation["responses"].items():
            if int(status) >= 400 and (name, status) != ("readyz", "503"):
                content = resolved(written, response["$ref"])["content"]
                assert content == {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}}


def test_there_is_a_shared_response_for_every_status_that_an_operation_can_answer(written: Json) -> None:
    shared = {kind.__name__ for kind, status in STATUS.items() if status != 405}

    assert written["components"]["responses"].keys() == shared


@pytest.mark.parametrize(
    ("name", "statuses"),
    [
        ("list_products", {200, 400, 401, 403, 406, 422, 429, 500, 503}),
        ("get_product", {200, 304, 401, 403, 404, 406, 422, 429, 500, 503}),
        ("create_product", {201, 400, 401, 403, 406, 409, 413, 415, 422, 429, 500, 503}),
        ("update_product", {200, 400, 401, 403, 404, 406, 409, 412, 413, 415, 422, 428, 429, 500, 503}),
        ("delete_product", {204, 400, 401, 403, 404, 406, 409, 412, 422, 428, 429, 500, 503}),
        ("receive_stock", {200, 201, 400, 401, 403, 404, 406, 409, 413, 415, 422, 429, 500, 503}),
        ("livez", {200, 406, 500}),
    ],
)
def test_an_operation_tells_every_status_that_follows_from_its_shape(
    by_name: dict[str, Json], name: str, statuses: set[int]
) -> None:
    assert {int(status) for status in by_name[name]["responses"]} == statuses


ALWAYS = ("X-Request-Id", "RateLimit", "RateLimit-Policy")


@pytest.mark.parametrize(
    ("name", "status", "headers"),
    [
        ("list_products", "200", {*ALWAYS, "Link"}),
        ("get_product", "200", {*ALWAYS, "ETag"}),
        ("get_product", "304", {"X-Request-Id", "ETag"}),
        ("create_product", "201", {*ALWAYS, "ETag", "Location", "Idempotent-Replayed"}),
        ("update_product", "200", {*ALWAYS, "ETag"}),
        ("receive_stock", "201", {*ALWAYS, "Idempotent-Replayed"}),
        ("receive_stock", "200", {*ALWAYS, "Idempotent-Replayed"}),
        ("delete_product", "204", {*ALWAYS}),
    ],
)
def test_a_success_tells_its_headers(by_name: dict[str, Json], name: str, status: str, headers: set[str]) -> None:
    assert by_name[name]["responses"][status]["headers"].keys() == headers


def test_everything_needs_a_key_but_what_is_public(by_name: dict[str, Json]) -> None:
    assert by_name["livez"]["security"] == by_name["readyz"]["security"] == []
    assert by_name["list_products"]["security"] == [{"apiKey": []}]


def test_the_key_is_a_bearer_token(written: Json) -> None:
    scheme = written["components"]["securitySchemes"]["apiKey"]

    assert (scheme["type"], scheme["scheme"]) == ("http", "bearer")


def test_an_operation_tells_the_role_it_needs_after_what_it_does(by_name: dict[str, Json]) -> None:
    assert by_name["create_product"]["description"] == "Make a product.\n\nNeeds the role `manager` or above."


def test_a_parameter_that_may_be_left_out_is_not_one_that_may_be_null(by_name: dict[str, Json]) -> None:
    assert parameter(by_name["list_products"], "q")["schema"] == {"type": "string"}
    assert parameter(by_name["list_products"], "status")["schema"] == {"$ref": "#/components/schemas/Status"}
    assert parameter(by_name["create_product"], "Idempotency-Key")["schema"] == {"type": "string"}


def test_a_field_that_may_be_null_says_so(written: Json) -> None:
    name = written["components"]["schemas"]["ProductRead"]["properties"]["name"]

    assert name == {"anyOf": [{"type": "string"}, {"type": "null"}]}


def test_titles_are_only_those_that_somebody_meant(written: Json) -> None:
    schema = written["components"]["schemas"]["ProductCreate"]

    assert "title" not in schema
    assert schema["properties"]["title"] == {"type": "string", "examples": [{"title": "kept"}]}
    assert written["info"]["title"] == "Warehouse"


def test_a_model_that_is_not_validated_is_named_all_the_same(written: Json) -> None:
    products = written["components"]["schemas"]["ProductBatch"]["properties"]["products"]

    assert products == {"type": "array", "items": {"$ref": "#/components/schemas/ProductCreate"}}


def test_headers_that_decide_are_documented(by_name: dict[str, Json]) -> None:
    assert parameter(by_name["receive_stock"], "Idempotency-Key")["required"]
    assert not parameter(by_name["create_product"], "Idempotency-Key")["required"]
    assert "24 hours" in parameter(by_name["create_product"], "Idempotency-Key")["description"]
    assert parameter(by_name["update_product"], "If-Match")["required"]
    assert not parameter(by_name["get_product"], "If-None-Match")["required"]


def test_a_patch_is_documented_as_a_merge_patch_and_nothing_else(by_name: dict[str, Json]) -> None:
    content = by_name["update_product"]["requestBody"]["content"]

    assert list(content) == ["application/merge-patch+json"]


def test_an_absent_field_of_a_patch_has_no_default_that_a_client_might_send(written: Json) -> None:
    assert "default" not in written["components"]["schemas"]["ProductUpdate"]["properties"]["title"]


def test_a_rehearsal_makes_no_record_that_could_be_had(by_name: dict[str, Json]) -> None:
    rehearsed = by_name["create_warehouse"]["responses"]["200"]

    assert "Location" not in rehearsed["headers"]
    assert "links" not in rehearsed


def test_a_new_record_is_linked_to_what_can_be_done_with_it(by_name: dict[str, Json]) -> None:
    links = by_name["create_product"]["responses"]["201"]["links"]

    assert links.keys() == {"get_product", "update_product", "delete_product"}
    assert links["get_product"] == {
        "operationId": "get_product",
        "parameters": {"product_id": "$response.body#/id"},
    }
    assert by_name["create_api_key"]["responses"]["201"]["links"].keys() == {"revoke_api_key"}


def test_the_document_is_made_once_and_again_the_same() -> None:
    app = shop()
    first = copy.deepcopy(app.openapi())

    assert app.openapi() is app.openapi()
    assert app.openapi() == first == document(shop())
