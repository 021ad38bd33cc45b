"""Who is asking. It stands before the routing, so that what nobody thought of is refused as well."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Protocol

from starlette.types import ASGIApp, Receive, Scope, Send

from warehouse.auth.model import Caller
from warehouse.errors import Unauthenticated, Unavailable, WarehouseError
from warehouse.http.access import PUBLIC, UNCONFIRMED, PublicPaths
from warehouse.http.deadline import SAFE
from warehouse.http.headers import fields_of
from warehouse.http.problems import problem_for
from warehouse.http.routes import route_path

DOWN_SECONDS = 0.25
"""For a database that is taken to be down to say whose key it is, after all."""
RECENT = "recent_caller"
"""In the state of a request, where it was found out already: what `Verifier.recent` tells of its key."""


class Verifier(Protocol):
    def recent(self, secret_text: str) -> Caller | None:
        """As `verify`, from what was found out a moment ago; None where that does not tell."""
        ...

    def remembered(self, secret_text: str) -> Caller | None:
        """Who it was when that could last be found out; None where that is too long ago."""
        ...

    async def verify(self, secret_text: str) -> Caller | None:
        """None for what is not a usable key. Raises `Unavailable` where that cannot be found out."""
        ...


class AuthenticationMiddleware:
    """Puts `caller` into the request's state, from `Authorization: Bearer <key>`; else answers 401. Where the database
    does not answer, a caller known from before is `UNCONFIRMED`, and gets what is cached, if anything."""

    def __init__(
        self,
        app: ASGIApp,
        verifier: Verifier,
        is_down: Callable[[], bool] = lambda: False,
        public: PublicPaths = PUBLIC,
    ) -> None:
        """While the database `is_down`, nobody who is known from before waits for it for long."""
        self._app = app
        self._is_down = is_down
        self._verifier = verifier
        self._public = public

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        if scope["type"] == "lifespan" or self._public.covers(route_path(scope)):
            return self._app(scope, receive, send)
        state = scope.setdefault("state", {})
        caller = state.get(RECENT)
        if caller is None:
            secret_text = secret_of(scope)
            caller = self._verifier.recent(secret_text)
            if caller is None:
                return self._ask(secret_text, scope, receive, send)
        # No coroutine of its own where nobody has to be asked.
        state["caller"] = caller
        return self._app(scope, receive, send)

    async def _ask(self, secret_text: str, scope: Scope, receive: Receive, send: Send) -> None:
        state = scope.setdefault("state", {})
        remembered = self._verifier.remembered(secret_text) if scope["method"] in SAFE else None
        seconds = DOWN_SECONDS if remembered is not None and self._is_down() else None
        try:
            state["caller"] = await self._caller(secret_text, seconds)
        except Unavailable as error:
            if remembered is None:
                return await problem_for(error, scope)(scope, receive, send)
            state["caller"], state[UNCONFIRMED] = remembered, True
        except WarehouseError as error:
            return await problem_for(error, scope)(scope, receive, send)
        return await self._app(scope, receive, send)

    async def _caller(self, secret_text: str, seconds: float | None) -> Caller:
        if not secret_text:
            raise Unauthenticated("Send your API key as Authorization: Bearer <key>.")
        try:
            async with asyncio.timeout(seconds):
                caller = await self._verifier.verify(secret_text)
        except TimeoutError:
            raise Unavailable("The database does not answer.") from None
        if caller is None:
            raise Unauthenticated("This API key is not known, has expired or was revoked.")
        return caller


def secret_of(scope: Scope) -> str:
    """The key that a request carries; empty where there is none."""
    scheme, _, secret = fields_of(scope).get(b"authorization", b"").decode("latin-1").partition(" ")
    return secret.strip(" ") if scheme.lower() == "bearer" else ""
