"""A process that has more to do than it can is behind with everything, refusals too: then it refuses at the door."""

import asyncio
import time
from collections.abc import Awaitable, Callable

from starlette.types import ASGIApp, Receive, Scope, Send

from warehouse.errors import Overloaded
from warehouse.http.access import PUBLIC, PublicPaths
from warehouse.http.problems import problem_for
from warehouse.http.routes import route_path

SAMPLE_SECONDS = 0.02
LATE_SECONDS = 0.03
"""An event loop that comes back to a timer so late has that much work before it."""
STANDING_SECONDS = 1.0
"""Late for so long without a moment's rest, it is overloaded. Anything may be late once: what counts is the least that
it was late by, as in CoDel (RFC 8289)."""
ARMED_SECONDS = 5.0
"""For so long after it was overloaded, being late once is enough."""


class LoopLag:
    """Of the event loop in which `run` runs."""

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._now = monotonic
        self._rested_at = monotonic()
        self._armed_until = 0.0
        self.is_overloaded = False

    async def run(self) -> None:
        """Measures until cancelled."""
        while True:
            begun = self._now()
            await asyncio.sleep(SAMPLE_SECONDS)
            self.note(self._now() - begun - SAMPLE_SECONDS)

    def note(self, seconds: float) -> None:
        """That a timer was so late."""
        now = self._now()
        if seconds < LATE_SECONDS:
            self._rested_at = now
            self.is_overloaded = False
            return
        if now - self._rested_at >= STANDING_SECONDS:
            self._armed_until = now + ARMED_SECONDS
        self.is_overloaded = now < self._armed_until


class LagMiddleware:
    """Stands outside of the cache: what is answered from it costs little, but not nothing."""

    def __init__(self, app: ASGIApp, lag: LoopLag, public: PublicPaths = PUBLIC) -> None:
        self._app = app
        self._lag = lag
        self._public = public

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        if not self._lag.is_overloaded or scope["type"] != "http" or self._public.covers(route_path(scope)):
            return self._app(scope, receive, send)
        return problem_for(TOO_MANY, scope)(scope, receive, send)


TOO_MANY = Overloaded("More is asked than can be done at once. Nothing of this request was begun.")
