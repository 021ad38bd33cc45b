"""Every request is answered in time, and none may send without end."""

import re
from collections.abc import Awaitable

from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from warehouse.errors import Code, FieldError, MalformedRequest, TooLarge, Unavailable
from warehouse.http.headers import fields_of
from warehouse.http.problems import answer_failure, problem_for
from warehouse.resilience import deadline
from warehouse.resilience.limits import Limits

SAFE = frozenset({"GET", "HEAD"})

HEADER = "Request-Timeout"
ANSWER_SECONDS = 0.1
"""Of a request's time what is left for the answer that it was too little: nothing below may begin or go on then."""

_SECONDS = re.compile(rb"(?=.*[1-9])[0-9]{1,9}(?:\.[0-9]{1,9})?")


class DeadlineMiddleware:
    """Cancels a request that takes longer than `seconds` and answers 503, and 500 for whatever nobody caught; cuts off
    an answer that has begun. One for both, as everything around each request costs it time.

    The header Request-Timeout gives a request less time, in seconds. What is called meanwhile keeps to the deadline.
    """

    def __init__(self, app: ASGIApp, seconds: float) -> None:
        self._app = app
        self._seconds = seconds
        self._limits = Limits(seconds)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return await self._app(scope, receive, send)
        try:
            asked = _asked(fields_of(scope).get(b"request-timeout"))
        except MalformedRequest as error:
            return await problem_for(error, scope)(scope, receive, send)
        seconds = self._seconds if asked is None else min(asked, self._seconds)
        begun = False

        async def noting(message: Message) -> None:
            nonlocal begun
            begun = True
            await send(message)

        limit = self._limits.within(asked)
        try:
            with limit, deadline(max(seconds - ANSWER_SECONDS, seconds / 2)):
                await self._app(scope, receive, noting)
        except Exception:
            if begun:
                raise
            if limit.reached:
                await problem_for(_TOO_LATE, scope)(scope, receive, send)
            else:
                await answer_failure(scope, receive, send)


def _asked(header: bytes | None) -> float | None:
    """Raises `MalformedRequest`."""
    if header is None:
        return None
    if _SECONDS.fullmatch(header.strip()) is None:
        fault = FieldError(HEADER, "seconds", "Write how many seconds you wait for the answer, as in 2.5.")
        raise MalformedRequest(fault.detail, errors=(fault,))
    return float(header)


_TOO_LATE = Unavailable(
    "The request was not done in time. Send it again; a command, with the same key.", code=Code.TIMEOUT
)


class BodyLimitMiddleware:
    """Refuses a body larger than `max_bytes`, by its Content-Length or as soon as more has come in.

    FastAPI's `max_body_size` does the same, but its answer is not a problem document, and it puts that in the place
    of any other answer to a request that announced too much.
    """

    def __init__(self, app: ASGIApp, max_bytes: int) -> None:
        self._app = app
        self._max = max_bytes

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        # No coroutine of its own where there is no body.
        if scope["type"] != "http" or _has_no_body(scope):
            return self._app(scope, receive, send)
        return self._limited(scope, receive, send)

    async def _limited(self, scope: Scope, receive: Receive, send: Send) -> None:
        if _announced(scope) > self._max:
            too_large = TooLarge(f"The body is larger than {self._max} bytes.")
            return await problem_for(too_large, scope)(scope, receive, send)
        received = 0

        async def counting() -> Message:
            nonlocal received
            message = await receive()
            received += len(message.get("body", b""))
            if received > self._max:
                # FastAPI hands on this type alone from within the reading of a body.
                raise HTTPException(413)
            return message

        return await self._app(scope, counting, send)


def _has_no_body(scope: Scope) -> bool:
    fields = fields_of(scope)
    return scope["method"] in SAFE and b"content-length" not in fields and b"transfer-encoding" not in fields


def _announced(scope: Scope) -> int:
    length = fields_of(scope).get(b"content-length", b"").decode("latin-1")
    return int(length) if length.isascii() and length.isdigit() and len(length) < 20 else 0
