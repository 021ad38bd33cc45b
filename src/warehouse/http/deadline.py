"""Every request is answered in time, and none may send without end."""

import asyncio
from collections.abc import Awaitable

from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from warehouse.errors import Code, TooLarge, Unavailable
from warehouse.http.headers import fields_of
from warehouse.http.problems import answer_failure, problem_for

_SAFE = frozenset({"GET", "HEAD"})


class DeadlineMiddleware:
    """Cancels a request that takes longer than `seconds` and answers 503, and 500 for whatever nobody caught; cuts off
    an answer that has begun. One for both, as everything around each request costs it time."""

    def __init__(self, app: ASGIApp, seconds: float) -> None:
        self._app = app
        self._deadlines = _Deadlines(seconds)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return await self._app(scope, receive, send)
        begun = False

        async def noting(message: Message) -> None:
            nonlocal begun
            begun = True
            await send(message)

        deadline = self._deadlines.begin()
        try:
            await self._app(scope, receive, noting)
        except asyncio.CancelledError as cancelled:
            if not deadline.takes_back():
                raise
            if begun:
                raise TimeoutError from cancelled
            await problem_for(_TOO_LATE, scope)(scope, receive, send)
        except Exception:
            if begun:
                raise
            await answer_failure(scope, receive, send)
        finally:
            self._deadlines.end(deadline)


_TOO_LATE = Unavailable(
    "The request was not done in time. Send it again; a command, with the same key.", code=Code.TIMEOUT
)


class _Deadline:
    """As asyncio.timeout: it cancels the task that made it, once.

    The task is within the application whenever a timer can fire, so the cancellation arrives there or not at all.
    """

    def __init__(self, at: float) -> None:
        self.at = at
        self._task = asyncio.current_task()
        self._fired = False

    def cancel(self) -> None:
        if self._task is not None:
            self._fired = True
            self._task.cancel()

    def takes_back(self) -> bool:
        """Whether the cancellation is of its own making alone."""
        return self._fired and self._task is not None and self._task.uncancel() == 0


class _Deadlines:
    """They are all as far away, so that the first to begin is the first to come: one timer does for all, where one for
    each would cost more than the rest of it."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._ahead: dict[_Deadline, None] = {}
        self._timer: asyncio.TimerHandle | None = None

    def begin(self) -> _Deadline:
        loop = asyncio.get_running_loop()
        deadline = _Deadline(loop.time() + self._seconds)
        self._ahead[deadline] = None
        if self._timer is None:
            self._timer = loop.call_at(deadline.at, self._fire, loop)
        return deadline

    def end(self, deadline: _Deadline) -> None:
        self._ahead.pop(deadline, None)
        if not self._ahead and self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _fire(self, loop: asyncio.AbstractEventLoop) -> None:
        self._timer = None
        now = loop.time()
        for deadline in list(self._ahead):
            if deadline.at > now:
                self._timer = loop.call_at(deadline.at, self._fire, loop)
                return
            del self._ahead[deadline]
            deadline.cancel()


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
    return scope["method"] in _SAFE and b"content-length" not in fields and b"transfer-encoding" not in fields


def _announced(scope: Scope) -> int:
    length = fields_of(scope).get(b"content-length", b"").decode("latin-1")
    return int(length) if length.isascii() and length.isdigit() and len(length) < 20 else 0
