import asyncio

import pytest
from fastapi import FastAPI, Request
from httpx import AsyncClient
from starlette.types import Message, Receive, Scope, Send

from tests.unit.http.asgi import CALLER_ID, client, http_scope
from warehouse.auth.model import Caller, Role
from warehouse.errors import Unavailable
from warehouse.http.access import UNCONFIRMED
from warehouse.http.authentication import AuthenticationMiddleware
from warehouse.http.problems import install_problem_handlers


class OneKey:
    """Knows `wh_good`, and fails on `wh_down`."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    def recent(self, secret_text: str) -> Caller | None:
        return None

    def remembered(self, secret_text: str) -> Caller | None:
        return None

    async def verify(self, secret_text: str) -> Caller | None:
        self.asked.append(secret_text)
        if secret_text == "wh_down":  # noqa: S105 (no secret)
            raise Unavailable("The database does not answer.")
        return Caller(CALLER_ID, "tester", Role.VIEWER) if secret_text == "wh_good" else None  # noqa: S105 (no secret)


def guarded(verifier: OneKey) -> FastAPI:
    app = FastAPI(docs_url=None, redoc_url=None)
    install_problem_handlers(app)

    @app.get("/livez")
    @app.get("/v1/products")
    async def list_products(request: Request) -> str | None:
        caller = getattr(request.state, "caller", None)
        return caller and caller.name

    app.add_middleware(AuthenticationMiddleware, verifier=verifier)
    return app


@pytest.fixture
def verifier() -> OneKey:
    return OneKey()


@pytest.fixture
def http(verifier: OneKey) -> AsyncClient:
    return client(guarded(verifier))


@pytest.mark.parametrize("header", ["Bearer wh_good", "bearer wh_good", "BEARER  wh_good "])
async def test_a_known_key_tells_who_is_asking(http: AsyncClient, header: str) -> None:
    response = await http.get("/v1/products", headers={"Authorization": header})

    assert (response.status_code, response.json()) == (200, "tester")


@pytest.mark.parametrize(
    "header", [None, "", "Bearer", "Bearer ", "Bearer wh_bad", "Basic wh_good", "wh_good", "Bearerwh_good", "Bearer é"]
)
async def test_anything_else_is_a_401_that_says_how_to_authenticate(http: AsyncClient, header: str | None) -> None:
    headers = [] if header is None else [(b"Authorization", header.encode("latin-1"))]
    response = await http.get("/v1/products", headers=headers)

    assert (response.status_code, response.json()["code"]) == (401, "unauthenticated")
    assert response.headers["www-authenticate"] == "Bearer"
    assert response.headers["content-type"] == "application/problem+json"


async def test_a_key_never_stands_in_the_answer(http: AsyncClient) -> None:
    response = await http.get("/v1/products", headers={"Authorization": "Bearer wh_bad"})

    assert "wh_bad" not in response.text


@pytest.mark.parametrize("path", ["/v1/nowhere", "/v2", "/livez/", "/livez//", "/v1/products/", "/Livez", "/static"])
async def test_what_is_not_listed_as_public_is_refused_whether_it_exists_or_not(http: AsyncClient, path: str) -> None:
    assert (await http.get(path)).status_code == 401


async def test_no_method_gets_past(http: AsyncClient) -> None:
    for method in ("POST", "PUT", "PATCH", "DELETE", "OPTIONS", "HEAD", "TRACE", "PROPFIND"):
        assert (await http.request(method, "/v1/products")).status_code == 401


async def test_a_public_path_is_answered_without_a_key_and_without_asking_for_one(
    http: AsyncClient, verifier: OneKey
) -> None:
    response = await http.get("/livez", headers={"Authorization": "Bearer wh_bad"})

    assert (response.status_code, response.json()) == (200, None)
    assert verifier.asked == []


async def test_a_verifier_that_cannot_tell_is_a_503_and_not_a_401(http: AsyncClient) -> None:
    response = await http.get("/v1/products", headers={"Authorization": "Bearer wh_down"})

    assert (response.status_code, response.json()["code"]) == (503, "unavailable")
    assert response.headers["retry-after"] == "1"


async def test_dots_after_a_public_prefix_lead_nowhere(http: AsyncClient) -> None:
    response = await http.get("/static/%2e%2e/v1/products")

    assert response.status_code == 404


class Hanging(OneKey):
    """Remembers whose key `wh_good` is, and is never told again."""

    def remembered(self, secret_text: str) -> Caller | None:
        return Caller(CALLER_ID, "tester", Role.VIEWER) if secret_text == "wh_good" else None  # noqa: S105 (no secret)

    async def verify(self, secret_text: str) -> Caller | None:
        await asyncio.Event().wait()
        return None


async def test_who_is_remembered_does_not_wait_for_a_database_that_is_known_to_be_down() -> None:
    states = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        states.append(scope["state"])

    async def nothing() -> Message:
        return {"type": "http.disconnect"}

    async def ignored(_: Message) -> None: ...

    middleware = AuthenticationMiddleware(app, Hanging(), is_down=lambda: True)
    scope = http_scope("/v1/products", headers={"Authorization": "Bearer wh_good"})
    async with asyncio.timeout(30):
        await middleware(scope, nothing, ignored)
    assert [(state["caller"].name, state[UNCONFIRMED]) for state in states] == [("tester", True)]
