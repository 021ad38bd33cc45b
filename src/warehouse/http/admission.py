"""No more is begun than can be done: who comes when the queue is full is told so at once."""

import math
import time
from collections import deque
from collections.abc import Callable

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from warehouse.errors import Code, Overloaded, Unavailable
from warehouse.http.access import PUBLIC, PublicPaths
from warehouse.http.deadline import SAFE
from warehouse.http.lag import TOO_MANY
from warehouse.http.lasting import Lasting, lasting_of
from warehouse.http.problems import problem_for
from warehouse.http.routes import route_path
from warehouse.resilience import BulkheadFullError, DeadlineExceeded, remaining
from warehouse.resilience.bulkhead import Bulkhead
from warehouse.resilience.deadlines import current

LONGEST_WAIT = 5.0
"""Seconds that a request may expect to wait for its turn: a crowd may come all at once, and gets its turn."""
STANDING_SECONDS = 2.0
"""A queue that has not been empty for so long is not a crowd's but an overload's."""
STANDING_WAIT = 0.5
"""Seconds that a request may expect to wait then. That a standing queue only makes everybody wait, and is told from a
burst by how long it stands, is CoDel's insight (RFC 8289)."""
WEIGHT = 0.1
"""Of the last request in the average."""
STREAM_RETRY_SECONDS = 5
"""Streams end by their clients' leave, which is not soon."""


class AdmissionMiddleware:
    """Works at `in_flight` reads and as many writes at once, and lets `queued` more of each wait in order, if that will
    not take longer than `LONGEST_WAIT` (`STANDING_WAIT` once a queue stands), or than the request has: what waits for
    long is done for a client that has given up.

    Stands behind the cache, whose answers cost next to nothing. Reads and writes do not wait for each other: writes may
    hang on a lock for long. A body is read before its request is let in, so that slow senders take no place.

    Events and downloads have a place until their answer begins; of events there may be `streams` at once. Uploads have
    none: they are bounded by their quota, and what they do in the database by its connections.
    """

    def __init__(
        self,
        app: ASGIApp,
        in_flight: int,
        queued: int,
        streams: float = math.inf,
        public: PublicPaths = PUBLIC,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._app = app
        self._streams = streams
        self._open_streams = 0
        self._public = public
        self._reads = _Lane("reads", in_flight, queued, monotonic)
        self._writes = _Lane("writes", in_flight, queued, monotonic)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or self._public.covers(route_path(scope)):
            return await self._app(scope, receive, send)
        lasting = lasting_of(scope)
        if lasting is Lasting.UPLOAD:
            return await self._app(scope, receive, send)
        if lasting is Lasting.EVENTS:
            return await self._stream(scope, receive, send)
        if scope["method"] in SAFE:
            return await self._admit(self._reads, scope, receive, send)
        return await self._admit(self._writes, scope, await _received(receive), send)

    async def _stream(self, scope: Scope, receive: Receive, send: Send) -> None:
        if self._open_streams >= self._streams:
            return await problem_for(_TOO_MANY_STREAMS, scope)(scope, receive, send)
        self._open_streams += 1
        try:
            await self._admit(self._reads, scope, receive, send)
        finally:
            self._open_streams -= 1

    async def _admit(self, lane: "_Lane", scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await lane.enter()
        except BulkheadFullError:
            return await problem_for(TOO_MANY, scope)(scope, receive, send)
        except DeadlineExceeded:
            return await problem_for(_TOO_LATE, scope)(scope, receive, send)
        place = _Place(lane)
        try:
            await self._app(scope, receive, send if lasting_of(scope) is None else _leaving(place, send))
        finally:
            place.leave()


class _Lane:
    """A bulkhead that knows how long its requests take, and how long some have been waiting."""

    def __init__(self, name: str, in_flight: int, queued: int, now: Callable[[], float]) -> None:
        self.now = now
        self._bulkhead = Bulkhead(name, in_flight, queued)
        self._name = name
        self._in_flight = in_flight
        self._seconds = 0.0
        """What a request takes, of the last ones on average."""
        self._empty_at = now()
        """When there was last nobody waiting."""

    async def enter(self) -> None:
        """Raises `BulkheadFullError` and `DeadlineExceeded`."""
        bulkhead = self._bulkhead
        if bulkhead.enter():
            return
        self._look()
        patience = LONGEST_WAIT if self.now() - self._empty_at < STANDING_SECONDS else STANDING_WAIT
        left = remaining()
        if left is not None:
            patience = min(patience, left)
        if bulkhead.queued * self._seconds > patience * self._in_flight:
            raise BulkheadFullError(self._name)
        await bulkhead.wait(current.get())

    def leave(self, seconds: float) -> None:
        """After a request that took so long."""
        self._seconds += WEIGHT * (seconds - self._seconds)
        self._bulkhead.leave()
        self._look()

    def _look(self) -> None:
        if not self._bulkhead.queued:
            self._empty_at = self.now()


class _Place:
    """In a lane, for whoever has entered it."""

    __slots__ = ("_begun", "_lane")

    def __init__(self, lane: _Lane) -> None:
        self._lane: _Lane | None = lane
        self._begun = lane.now()

    def leave(self) -> None:
        lane, self._lane = self._lane, None
        if lane is not None:
            lane.leave(lane.now() - self._begun)


def _leaving(place: _Place, send: Send) -> Send:
    """Gives the place up when the answer begins."""

    async def leaving(message: Message) -> None:
        place.leave()
        await send(message)

    return leaving


_TOO_MANY_STREAMS = Overloaded("No more streams of events can be open here.", retry_after=STREAM_RETRY_SECONDS)
_TOO_LATE = Unavailable("The request had to wait for too long. Nothing of it was begun.", code=Code.TIMEOUT)


async def _received(receive: Receive) -> Receive:
    """Gives what has come in, to the end of the body, as if it came now; what went wrong meanwhile as well."""
    messages: deque[Message] = deque()
    failure: Exception | None = None
    more = True
    while more:
        try:
            message = await receive()
        except Exception as error:  # noqa: BLE001 (it is raised where it is looked for)
            failure = error
            break
        messages.append(message)
        more = message["type"] == "http.request" and message.get("more_body", False)

    async def again() -> Message:
        if messages:
            return messages.popleft()
        if failure is not None:
            raise failure
        return await receive()

    return again
