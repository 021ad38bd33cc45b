import pytest
from fastapi import APIRouter, FastAPI

from tests.unit.http.asgi import application, client
from warehouse.auth.model import Role
from warehouse.http.access import PUBLIC, REQUIRED_ROLE, check_access_table

READS = ("list_", "get_")


def with_operation(name: str, role: Role, path: str = "/v1/things") -> FastAPI:
    app = application(role)

    async def operation() -> None: ...

    operation.__name__ = name
    router = APIRouter()
    router.add_api_route(path, operation)
    app.include_router(router)
    return app


async def status(name: str, role: Role, path: str = "/v1/things") -> int:
    async with client(with_operation(name, role, path)) as http:
        return (await http.get(path)).status_code


@pytest.mark.parametrize("role", list(Role))
@pytest.mark.parametrize("name", list(REQUIRED_ROLE))
async def test_an_operation_is_open_to_its_role_and_those_above_alone(name: str, role: Role) -> None:
    assert await status(name, role) == (200 if role.covers(REQUIRED_ROLE[name]) else 403)


@pytest.mark.parametrize("role", list(Role))
async def test_an_operation_that_the_table_does_not_name_is_refused_to_everybody(role: Role) -> None:
    assert await status("get_everything", role) == 403


async def test_a_refusal_names_the_role_that_is_needed() -> None:
    async with client(with_operation("create_product", Role.OPERATOR)) as http:
        response = await http.get("/v1/things")

    assert response.json()["code"] == "forbidden"
    assert "manager" in response.json()["detail"]


@pytest.mark.parametrize("path", ["/livez", "/readyz", "/metrics"])
async def test_a_public_path_needs_no_role(path: str) -> None:
    assert await status("livez", Role.VIEWER, path) == 200


def test_a_viewer_reads_everything_but_what_is_for_admins_and_changes_nothing() -> None:
    allowed = {name for name, role in REQUIRED_ROLE.items() if role is Role.VIEWER}

    reads = {name for name in REQUIRED_ROLE if name.startswith(READS)} - {"list_api_keys", "list_breakers"}
    # Tasks that only read, and what one does with tasks of one's own.
    asked_for = {name for name in REQUIRED_ROLE if name.startswith("report_")} | {"create_export"}
    assert allowed == reads | asked_for | {"cancel_task", "retry_task", "follow_task"}


def test_only_admins_have_to_do_with_api_keys_and_breakers() -> None:
    theirs = [name for name in REQUIRED_ROLE if "api_key" in name or "breaker" in name]
    assert {REQUIRED_ROLE[name] for name in theirs} == {Role.ADMIN}


def test_nothing_of_the_api_is_public() -> None:
    assert not any(path.startswith("/v1") for path in (*PUBLIC.exact, *PUBLIC.prefixes))


def complete() -> FastAPI:
    app = FastAPI(docs_url=None, redoc_url=None)
    for name in REQUIRED_ROLE:
        app.include_router(with_operation(name, Role.ADMIN, f"/v1/{name}").router)
    return app


def test_a_complete_table_lets_the_application_start() -> None:
    check_access_table(complete())


def test_an_operation_without_a_role_stops_the_start() -> None:
    app = complete()

    @app.get("/v1/everything")
    async def get_everything() -> None: ...

    with pytest.raises(RuntimeError, match="get_everything"):
        check_access_table(app)


def test_a_role_for_no_operation_stops_the_start() -> None:
    with pytest.raises(RuntimeError, match="create_product"):
        check_access_table(FastAPI())
