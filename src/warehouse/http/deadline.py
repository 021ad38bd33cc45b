"""Every request is answered in time, and none may send without end."""

import asyncio
import math
import re
import time
from collections.abc import Awaitable
from types import TracebackType

from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from warehouse.errors import Code, FieldError, MalformedRequest, TooLarge, Unavailable
from warehouse.http.headers import fields_of
from warehouse.http.lasting import Lasting, lasting_of
from warehouse.http.problems import answer_failure, problem_for
from warehouse.resilience import deadline
from warehouse.resilience.deadlines import Deadline, current
from warehouse.resilience.limits import Limits

SAFE = frozenset({"GET", "HEAD"})

HEADER = "Request-Timeout"
MOMENT_SECONDS = 0.125
"""So long before a request's deadline it is cancelled where it is not done, so that its answer is there in time; and as
long before that nothing below may begin or go on, so that what was begun is given back."""
MOMENT_SHARE = 0.05
"""Of a short time a moment is no more than this."""

_SECONDS = re.compile(rb"(?=.*[1-9])[0-9]{1,9}(?:\.[0-9]{1,9})?")


class DeadlineMiddleware:
    """Cancels a request that takes longer than `seconds` and answers 503, and 500 for whatever nobody caught; cuts off
    an answer that has begun. One for both, as everything around each request costs it time.

    The header Request-Timeout gives a request less time, in seconds. What is called meanwhile keeps to the deadline.

    Of an upload each piece has so many seconds, and then what is done with the whole; all of it `upload_seconds`. Of
    events and downloads it is the time until the answer begins.
    """

    def __init__(self, app: ASGIApp, seconds: float, upload_seconds: float = math.inf) -> None:
        self._app = app
        self._seconds = seconds
        self._upload_seconds = upload_seconds
        self._ends = _ends(seconds)
        self._limits = Limits(self._ends[0])

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return await self._app(scope, receive, send)
        try:
            asked = _asked(fields_of(scope).get(b"request-timeout"))
        except MalformedRequest as error:
            return await problem_for(error, scope)(scope, receive, send)
        seconds = self._seconds if asked is None else min(asked, self._seconds)
        if (lasting := lasting_of(scope)) is not None:
            return await self._let_last(lasting, seconds, scope, receive, send)
        begun = False

        async def noting(message: Message) -> None:
            nonlocal begun
            begun = True
            await send(message)

        cancelled, given_up = self._ends if asked is None else _ends(seconds)
        limit = self._limits.within(cancelled)
        try:
            with limit, deadline(given_up):
                await self._app(scope, receive, noting)
        except Exception:
            if begun:
                raise
            await _answer_failure(limit.reached, scope, receive, send)

    async def _let_last(self, lasting: Lasting, seconds: float, scope: Scope, receive: Receive, send: Send) -> None:
        is_upload = lasting is Lasting.UPLOAD
        phase = _Phase(seconds, self._upload_seconds if is_upload else math.inf)
        begun = False

        async def renewing() -> Message:
            message = await receive()
            if is_upload and not begun:
                phase.renew()
            return message

        async def noting(message: Message) -> None:
            nonlocal begun
            if not is_upload and not begun:
                phase.end()
            begun = True
            await send(message)

        try:
            async with phase:
                await self._app(scope, renewing, noting)
        except Exception:
            if begun:
                raise
            await _answer_failure(phase.is_over, scope, receive, send)


class _Phase:
    """A part of a request that lasts: its limit, and the deadline of what is called meanwhile."""

    def __init__(self, seconds: float, longest: float) -> None:
        """`longest` is for all phases together."""
        self._seconds = _a_moment_before(seconds)
        self._last = asyncio.get_running_loop().time() + longest
        self._limit = asyncio.timeout_at(self._due())
        self._deadline = Deadline(math.inf, time.monotonic)
        self._outer = current.get()

    @property
    def is_over(self) -> bool:
        return self._limit.expired()

    async def __aenter__(self) -> None:
        await self._limit.__aenter__()
        current.set(self._deadline)
        self._put_off()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        current.set(self._outer)
        await self._limit.__aexit__(kind, error, traceback)

    def renew(self) -> None:
        """Another one begins."""
        if not self.is_over:
            self._limit.reschedule(self._due())
            self._put_off()

    def end(self) -> None:
        """The rest of the request may take whatever it takes; but none of its calls for ever, by their own policies."""
        if not self.is_over:
            self._limit.reschedule(None)
            self._deadline.at = math.inf

    def _due(self) -> float:
        return min(asyncio.get_running_loop().time() + self._seconds, self._last)

    def _put_off(self) -> None:
        left = self._due() - asyncio.get_running_loop().time()
        self._deadline.at = time.monotonic() + _a_moment_before(left)


def _ends(seconds: float) -> tuple[float, float]:
    """Of a request that has so many: after how many it is cancelled, and after how many nothing below goes on."""
    cancelled = _a_moment_before(seconds)
    return cancelled, _a_moment_before(cancelled)


def _a_moment_before(seconds: float) -> float:
    return seconds - min(MOMENT_SECONDS, MOMENT_SHARE * seconds)


async def _answer_failure(is_late: bool, scope: Scope, receive: Receive, send: Send) -> None:
    if is_late:
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
    """Refuses a body larger than `max_bytes`, by its Content-Length or as soon as more has come in; an upload may be of
    `upload_bytes`.

    FastAPI's `max_body_size` does the same, but its answer is not a problem document, and it puts that in the place
    of any other answer to a request that announced too much.
    """

    def __init__(self, app: ASGIApp, max_bytes: int, upload_bytes: int | None = None) -> None:
        self._app = app
        self._max = max_bytes
        self._upload_max = max_bytes if upload_bytes is None else upload_bytes

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        # No coroutine of its own where there is no body.
        if scope["type"] != "http" or _has_no_body(scope):
            return self._app(scope, receive, send)
        return self._limited(scope, receive, send)

    async def _limited(self, scope: Scope, receive: Receive, send: Send) -> None:
        largest = self._upload_max if lasting_of(scope) is Lasting.UPLOAD else self._max
        if _announced(scope) > largest:
            too_large = TooLarge(f"The body is larger than {largest} bytes.")
            return await problem_for(too_large, scope)(scope, receive, send)
        received = 0

        async def counting() -> Message:
            nonlocal received
            message = await receive()
            received += len(message.get("body", b""))
            if received > largest:
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
