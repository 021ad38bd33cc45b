"""Server-sent events (WHATWG HTML, 9.2)."""

import asyncio
import logging
import re
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Header, Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from warehouse.errors import Unavailable
from warehouse.http.draining import closing_of
from warehouse.http.headers import fields_of
from warehouse.http.streaming import close, while_heard

MEDIA_TYPE = "text/event-stream"
HEADER = "Last-Event-ID"
HEARTBEAT_SECONDS = 15.0
"""Proxies close what is silent; a minute is usual."""
RETRY_SECONDS = 3.0
"""For clients to wait before they connect again."""
LONGEST_ID = 255
"""Characters."""

_HEARTBEAT = b":\n\n"
_LINE_END = re.compile(r"\r\n|\r|\n")
_NOT_IN_FIELD = re.compile(r"[\r\n\0]")

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Event:
    """`id` is what the client sends as Last-Event-ID when it connects again; without `name` it is a `message`. Raises
    `ValueError` for an id or a name that is no single line."""

    data: str
    id: str | None = None
    name: str | None = None

    def __post_init__(self) -> None:
        if any(_NOT_IN_FIELD.search(each) for each in (self.id or "", self.name or "")):
            raise ValueError("The id and the name of an event are single lines.")

    def encoded(self) -> bytes:
        lines = [f"data: {line}" for line in _LINE_END.split(self.data)]
        if self.name is not None:
            lines.insert(0, f"event: {self.name}")
        if self.id is not None:
            lines.insert(0, f"id: {self.id}")
        return ("\n".join(lines) + "\n\n").encode()


def event_stream(events: AsyncIterator[Event], heartbeat_seconds: float = HEARTBEAT_SECONDS) -> Response:
    """Sends the events until there are no more, the client leaves or the server closes; then they are closed too.

    The endpoint is to be marked by `@sends_events`. A client connects again after the end: whoever comes back with the
    id of the last event is told by a 204 that there will be none. Events that end in `Unavailable` end in order, too.
    """
    return _EventStream(events, heartbeat_seconds)


def last_event_id(text: bytes) -> str | None:
    """What follows from the header's text; None where it is empty, or nothing that we could have sent."""
    try:
        found = text.decode()
    except UnicodeDecodeError:
        return None
    return found if found and len(found) <= LONGEST_ID and not _NOT_IN_FIELD.search(found) else None


async def _last_event_id(
    request: Request,
    given: Annotated[
        str | None, Header(alias=HEADER, description="The id of the last event that the client has; go on after it.")
    ] = None,
) -> str | None:
    # The header's bytes: FastAPI takes them for Latin-1, and clients send UTF-8.
    return last_event_id(fields_of(request.scope).get(b"last-event-id", b""))


LastEventId = Annotated[str | None, Depends(_last_event_id)]
"""Parameter of an endpoint that can go on where a client has been cut off."""


class _EventStream(Response):
    def __init__(self, events: AsyncIterator[Event], heartbeat_seconds: float) -> None:
        # Not the base class's own, which would tell a length.
        self.status_code = 200
        self.media_type = MEDIA_TYPE
        self.background = None
        # The last is for nginx, which would keep the events back until it has a page full of them.
        self.init_headers({"Cache-Control": "no-store", "X-Accel-Buffering": "no"})
        self._events = events
        self._heartbeat_seconds = heartbeat_seconds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
        await _send_piece(b"retry: %d\n\n" % (RETRY_SECONDS * 1000), send)
        await while_heard(self._send_events(send), receive, closing_of(scope.get("state", {})))
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _send_events(self, send: Send) -> None:
        try:
            while True:
                event = asyncio.ensure_future(anext(self._events))
                try:
                    while not (await asyncio.wait({event}, timeout=self._heartbeat_seconds))[0]:
                        await _send_piece(_HEARTBEAT, send)
                    await _send_piece(event.result().encoded(), send)
                finally:
                    await _ended(event)
        except StopAsyncIteration:
            pass
        except Unavailable as error:
            log.warning("events.unavailable error=%s", type(error).__name__)
        finally:
            await close(self._events)


async def _ended(event: "asyncio.Future[Event]") -> None:
    event.cancel()
    with suppress(asyncio.CancelledError):
        await event


async def _send_piece(piece: bytes, send: Send) -> None:
    await send({"type": "http.response.body", "body": piece, "more_body": True})
