"""Who is asking. It stands before the routing, so that what nobody thought of is refused as well."""

from typing import Protocol

from starlette.types import ASGIApp, Receive, Scope, Send

from warehouse.auth.model import Caller
from warehouse.errors import Unauthenticated, WarehouseError
from warehouse.http.access import PUBLIC, PublicPaths
from warehouse.http.headers import fields_of
from warehouse.http.problems import problem_for
from warehouse.http.routes import route_path


class Verifier(Protocol):
    async def verify(self, secret_text: str) -> Caller | None:
        """None for what is not a usable key. Raises `Unavailable` where that cannot be found out."""
        ...


class AuthenticationMiddleware:
    """Puts `caller` into the request's state, from `Authorization: Bearer <key>`; else answers 401."""

    def __init__(self, app: ASGIApp, verifier: Verifier, public: PublicPaths = PUBLIC) -> None:
        self._app = app
        self._verifier = verifier
        self._public = public

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan" or self._public.covers(route_path(scope)):
            return await self._app(scope, receive, send)
        try:
            caller = await self._caller(fields_of(scope).get(b"authorization", b"").decode("latin-1"))
        except WarehouseError as error:
            return await problem_for(error, scope)(scope, receive, send)
        scope.setdefault("state", {})["caller"] = caller
        return await self._app(scope, receive, send)

    async def _caller(self, authorization: str) -> Caller:
        scheme, _, secret = authorization.partition(" ")
        if scheme.lower() != "bearer":
            raise Unauthenticated("Send your API key as Authorization: Bearer <key>.")
        caller = await self._verifier.verify(secret.strip(" "))
        if caller is None:
            raise Unauthenticated("This API key is not known, has expired or was revoked.")
        return caller
