"""HEAD for whatever answers GET (RFC 9110, 9.3.2)."""

from collections.abc import Awaitable

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from warehouse.http.routes import changed

_BODIES = frozenset({"http.response.body", "http.response.pathsend", "http.response.zerocopysend"})
"""The last two are of extensions by which a server sends files."""


class HeadMiddleware:
    """Asks inward for GET, and sends the start of its answer alone."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        # No coroutine of its own where it has nothing to do.
        if scope["type"] != "http" or scope["method"] != "HEAD":
            return self._app(scope, receive, send)
        return self._answer(scope, receive, send)

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        done = False

        async def bare(message: Message) -> None:
            nonlocal done
            if done:
                return
            done = message["type"] in _BODIES
            await send({"type": "http.response.body", "body": b""} if done else message)

        with changed(scope, method="GET") as inner:
            return await self._app(inner, receive, bare)
