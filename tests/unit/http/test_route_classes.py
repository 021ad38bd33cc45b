"""What is dear is marked by slowapi's decorator: what is relied on of its tables is asserted here as well."""

import re
from collections.abc import Iterator

import pytest
from fastapi import FastAPI, Request

from tests.unit.http.asgi import http_scope
from warehouse.app import create_app
from warehouse.http import route_classes
from warehouse.http.access import REQUIRED_ROLE
from warehouse.http.route_classes import RouteClass, RouteClasses, heavy
from warehouse.http.routes import operations
from warehouse.settings import DatabaseSettings, Settings

HEAVY = {
    "get_product_snapshot",
    "upsert_products",
    "get_integrity",
    "create_import",
    "create_export",
    "report_stock_as_of",
    "report_movement_summary",
    "report_low_stock",
    "report_stock_ageing",
    "report_abc_analysis",
    "report_dead_stock",
}


@pytest.fixture(scope="module")
def warehouse(tmp_path_factory: pytest.TempPathFactory) -> FastAPI:
    url = f"sqlite+aiosqlite:///{tmp_path_factory.mktemp('data')}/warehouse.db"
    return create_app(Settings(database=DatabaseSettings(url=url)))


def requests(app: FastAPI) -> Iterator[tuple[str, str, str]]:
    """A method and a path of each operation behind its name."""
    for each in operations(app):
        if each.name in REQUIRED_ROLE:
            for method in each.methods:
                yield each.name, method, re.sub(r"\{\w+\}", "019f0000-0000-7000-8000-0000000000c1", each.path)


def class_of(app: FastAPI, method: str, path: str, root_path: str = "") -> RouteClass:
    return RouteClasses().of({**http_scope(root_path + path, method), "app": app, "root_path": root_path})


def test_the_operations_that_go_over_whole_tables_are_heavy_and_no_others(warehouse: FastAPI) -> None:
    found = {
        name for name, method, path in requests(warehouse) if class_of(warehouse, method, path) == RouteClass.HEAVY
    }
    assert found == HEAVY


def test_all_others_are_reads_and_writes_by_their_methods(warehouse: FastAPI) -> None:
    for name, method, path in requests(warehouse):
        if name not in HEAVY:
            expected = RouteClass.DEFAULT if method == "GET" else RouteClass.WRITES
            assert class_of(warehouse, method, path) == expected, name


def test_head_is_as_dear_as_get(warehouse: FastAPI) -> None:
    assert class_of(warehouse, "HEAD", "/v1/products/snapshot") == RouteClass.HEAVY
    assert class_of(warehouse, "HEAD", "/v1/products") == RouteClass.DEFAULT


@pytest.mark.parametrize("method", ["POST", "DELETE", "OPTIONS"])
def test_a_heavy_path_is_heavy_for_its_own_method_alone(warehouse: FastAPI, method: str) -> None:
    assert class_of(warehouse, method, "/v1/products/snapshot") == RouteClass.WRITES


@pytest.mark.parametrize("path", ["/v1/products/snapshot/", "/v1/products/snapshot\n", "/x/v1/products/snapshot", "/"])
def test_what_only_looks_like_a_heavy_path_is_not_heavy(warehouse: FastAPI, path: str) -> None:
    assert class_of(warehouse, "GET", path) == RouteClass.DEFAULT


def test_the_prefix_of_a_proxy_changes_nothing(warehouse: FastAPI) -> None:
    for _, method, path in requests(warehouse):
        assert class_of(warehouse, method, path, "/warehouse") == class_of(warehouse, method, path)


def test_what_has_parameters_in_its_path_cannot_be_marked() -> None:
    app = FastAPI()

    @app.get("/things/{thing_id}/parts")
    @heavy
    async def list_parts(request: Request, thing_id: str) -> None: ...

    with pytest.raises(ValueError, match="thing_id"):
        class_of(app, "GET", "/things/1/parts")


def test_slowapi_lists_what_is_marked_under_the_endpoints_name_with_the_scope_given() -> None:
    @heavy
    async def marked(request: Request) -> None: ...

    [limit] = route_classes._marks._route_limits[f"{__name__}.marked"]
    assert limit.scope == "heavy"
    assert f"{marked.__module__}.{marked.__name__}" == f"{__name__}.marked"


async def test_slowapi_itself_refuses_nothing_and_leaves_the_answer_alone() -> None:
    @heavy
    async def marked(request: Request) -> str:
        return "done"

    request = Request(http_scope())
    assert [await marked(request=request) for _ in range(3)] == ["done"] * 3
    assert not vars(request.state)["_state"]


def test_slowapi_demands_the_parameter_that_its_users_are_told_of() -> None:
    async def unaware() -> None: ...

    with pytest.raises(Exception, match="request"):
        heavy(unaware)
