from uuid import UUID

import pytest
from fastapi import APIRouter, FastAPI
from starlette.applications import Starlette

from tests.unit.http.asgi import http_scope
from warehouse.http.routes import changed, methods_at, operations, route_path, templates


def nested() -> FastAPI:
    app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)
    version, things = APIRouter(prefix="/v1"), APIRouter(prefix="/things")

    @things.get("/{thing_id}")
    async def get_thing(thing_id: UUID) -> None: ...

    @things.delete("/{thing_id}")
    async def delete_thing(thing_id: UUID) -> None: ...

    @things.get("/by-name/{name}")
    async def get_thing_by_name(name: str) -> None: ...

    version.include_router(things)
    app.include_router(version)
    app.mount("/files", Starlette())
    return app


def test_operations_stand_under_all_their_prefixes() -> None:
    found = {each.name: each.path for each in operations(nested()) if each.api}

    assert found == {
        "get_thing": "/v1/things/{thing_id}",
        "delete_thing": "/v1/things/{thing_id}",
        "get_thing_by_name": "/v1/things/by-name/{name}",
    }


def test_a_route_is_known_by_its_whole_template() -> None:
    app = nested()

    assert set(templates(app).values()) >= {"/v1/things/{thing_id}", "/v1/things/by-name/{name}"}
    assert all(templates(app)[id(each.route)] == each.path for each in operations(app))


@pytest.mark.parametrize(
    ("path", "methods"),
    [
        ("/v1/things/1", ["DELETE", "GET", "HEAD"]),
        ("/v1/things/by-name/x", ["GET", "HEAD"]),
        ("/v1", []),
        ("/v1/things/1/2", []),
    ],
)
def test_the_methods_of_a_path_are_those_of_all_its_routes(path: str, methods: list[str]) -> None:
    assert methods_at(nested(), path) == methods


def test_head_is_not_listed_where_get_is_not() -> None:
    app = nested()

    @app.post("/v1/commands")
    async def command() -> None: ...

    assert methods_at(app, "/v1/commands") == ["POST"]


def test_a_changed_scope_is_a_copy_that_tells_its_route_outward() -> None:
    scope = http_scope("/v1", "HEAD")
    with changed(scope, method="GET") as inner:
        inner["route"] = "found"
    assert inner["method"] == "GET"
    assert (scope["method"], scope["route"]) == ("HEAD", "found")


@pytest.mark.parametrize(
    ("root", "path", "seen"),
    [("", "/v1/x", "/v1/x"), ("/a", "/a/v1/x", "/v1/x"), ("/a", "/ab/v1", "/ab/v1"), ("/a", "/v1", "/v1")],
)
def test_the_prefix_of_a_proxy_is_not_part_of_a_routes_path(root: str, path: str, seen: str) -> None:
    assert route_path({**http_scope(path), "root_path": root}) == seen
