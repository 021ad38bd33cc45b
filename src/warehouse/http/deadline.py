"""Every request is answered in time, and none may send without end."""

import asyncio

from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from warehouse.errors import Code, TooLarge, Unavailable
from warehouse.http.headers import fields_of
from warehouse.http.problems import problem_for


class DeadlineMiddleware:
    """Cancels a request that takes longer than `seconds` and answers 503; cuts off an answer that has begun."""

    def __init__(self, app: ASGIApp, seconds: float) -> None:
        self._app = app
        self._seconds = seconds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return await self._app(scope, receive, send)
        begun = False

        async def noting(message: Message) -> None:
            nonlocal begun
            begun = True
            await send(message)

        late = _Late()
        timer = asyncio.get_running_loop().call_later(self._seconds, late.cancel)
        try:
            await self._app(scope, receive, noting)
        except asyncio.CancelledError as cancelled:
            if not late.takes_back():
                raise
            if begun:
                raise TimeoutError from cancelled
            await problem_for(_TOO_LATE, scope)(scope, receive, send)
        finally:
            timer.cancel()


_TOO_LATE = Unavailable(
    "The request was not done in time. Send it again; a command, with the same key.", code=Code.TIMEOUT
)


class _Late:
    """As asyncio.timeout, for a tenth of what that costs: it cancels the task that made it, once.

    The task is within the application whenever a timer can fire, so the cancellation arrives there or not at all.
    """

    def __init__(self) -> None:
        self._task = asyncio.current_task()
        self._fired = False

    def cancel(self) -> None:
        if self._task is not None:
            self._fired = True
            self._task.cancel()

    def takes_back(self) -> bool:
        """Whether the cancellation is of its own making alone."""
        return self._fired and self._task is not None and self._task.uncancel() == 0


class BodyLimitMiddleware:
    """Refuses a body larger than `max_bytes`, by its Content-Length or as soon as more has come in.

    FastAPI's `max_body_size` does the same, but its answer is not a problem document, and it puts that in the place
    of any other answer to a request that announced too much.
    """

    def __init__(self, app: ASGIApp, max_bytes: int) -> None:
        self._app = app
        self._max = max_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return await self._app(scope, receive, send)
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


def _announced(scope: Scope) -> int:
    length = fields_of(scope).get(b"content-length", b"").decode("latin-1")
    return int(length) if length.isascii() and length.isdigit() and len(length) < 20 else 0
