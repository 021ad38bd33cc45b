"""Small applications to try the HTTP layer on, and a client that calls them within the process."""

from typing import Any
from uuid import UUID

from fastapi import Depends, FastAPI
from httpx import ASGITransport, AsyncClient
from starlette.types import ASGIApp, Receive, Scope, Send

from warehouse.auth.model import Caller, Role
from warehouse.http.access import admit
from warehouse.http.problems import InternalErrorMiddleware, install_problem_handlers

CALLER_ID = UUID("019f0000-0000-7000-8000-0000000000c1")


class CallingAs:
    """Stands in for authentication: everybody is this caller."""

    def __init__(self, app: ASGIApp, role: Role) -> None:
        self._app = app
        self._caller = Caller(CALLER_ID, "tester", role)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        scope.setdefault("state", {})["caller"] = self._caller
        await self._app(scope, receive, send)


def application(role: Role = Role.ADMIN) -> FastAPI:
    """An application as ours is set up, without operations yet."""
    app = FastAPI(title="Warehouse", version="0", dependencies=[Depends(admit)], docs_url=None, redoc_url=None)
    install_problem_handlers(app)
    app.add_middleware(CallingAs, role=role)
    app.add_middleware(InternalErrorMiddleware)
    return app


def client(app: ASGIApp) -> AsyncClient:
    return AsyncClient(transport=ASGITransport(app), base_url="http://test")


def http_scope(path: str = "/", method: str = "GET", headers: dict[str, str] | None = None) -> Scope:
    raw = [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in (headers or {}).items()]
    scope: dict[str, Any] = {"type": "http", "method": method, "path": path, "query_string": b"", "headers": raw}
    return scope
