"""Time-outs that cost nearly nothing.

All attempts of a policy may take equally long, so they run out in the order in which they began: one timer, for the
first of them, serves all. Only one whose deadline comes sooner has a timer of its own.
"""

import asyncio
from itertools import takewhile
from types import TracebackType
from typing import Any


class Limit:
    """Raises `TimeoutError` where the block takes too long. `reached` tells it from what the block itself raises.

    What there is to know about cancelling is as in `asyncio.timeout`: another's cancellation goes before.
    """

    __slots__ = ("_cancelling", "_expired", "_own", "_running", "_task", "reached", "when")

    def __init__(self, running: "dict[Limit, None]", task: asyncio.Task[Any], when: float) -> None:
        self.when = when
        self.reached = False
        self._expired = False
        self._own: asyncio.TimerHandle | None = None
        self._running = running
        self._task = task
        self._cancelling = task.cancelling()

    def __enter__(self) -> "Limit":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._running.pop(self, None)
        if self._own is not None:
            self._own.cancel()
        if self._expired and self._task.uncancel() <= self._cancelling and kind is asyncio.CancelledError:
            self.reached = True
            raise TimeoutError("no answer in time") from error

    def expire(self) -> None:
        self._expired = True
        self._task.cancel()

    def expire_at(self, loop: asyncio.AbstractEventLoop) -> None:
        """By a timer of its own."""
        self._own = loop.call_at(self.when, self.expire)


class Limits:
    """For blocks that may take `seconds`. They belong to one event loop at a time."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._loop: asyncio.AbstractEventLoop | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._running: dict[Limit, None] = {}

    def within(self, seconds: float | None) -> Limit:
        """A block that may take so long, if that is less."""
        loop = asyncio.get_running_loop()
        task = asyncio.current_task(loop)
        assert task is not None  # noqa: S101 (coroutines run in tasks)
        if loop is not self._loop:
            self._move_to(loop)
        if seconds is not None and seconds < self._seconds:
            limit = Limit(self._running, task, loop.time() + seconds)
            limit.expire_at(loop)
            return limit
        limit = Limit(self._running, task, loop.time() + self._seconds)
        self._running[limit] = None
        if self._timer is None:
            self._timer = loop.call_at(limit.when, self._expire, loop)
        return limit

    def _move_to(self, loop: asyncio.AbstractEventLoop) -> None:
        """A loop that is over takes its timer with it."""
        self._loop, self._timer, self._running = loop, None, {}

    def _expire(self, loop: asyncio.AbstractEventLoop) -> None:
        if loop is not self._loop:
            return
        now = loop.time()
        for limit in list(takewhile(lambda limit: limit.when <= now, self._running)):
            del self._running[limit]
            limit.expire()
        first = next(iter(self._running), None)
        self._timer = None if first is None else loop.call_at(first.when, self._expire, loop)
