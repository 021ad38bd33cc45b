"""The server's HTTP/1.1 protocol: uvicorn's, but for requests that offer to go on in another protocol, for answers
that leave in one piece, and for clients that are slow or ask for too much."""

import asyncio
import math
from http import HTTPStatus
from typing import Any

import httptools
from uvicorn.config import Config
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.server import ServerState

from warehouse.http.draining import is_draining
from warehouse.http.one_piece import OnePiece
from warehouse.http.pace import Pace
from warehouse.http.sockets import cut_off, give_up_after, unsent
from warehouse.http.wire_limits import DEFAULT_LIMITS, WireLimits

OFFER_HEADERS = {b"connection", b"upgrade", b"http2-settings"}
"""`Connection` names the other two; of its own words only `close` matters, and no client offers an upgrade with it."""
FIELD_FRAME = len(": \r\n")
PARTING_SECONDS = 1.0
"""For a client to read why the connection ends."""


class _HeadTooLarge(Exception):
    pass


class SteadyHttpProtocol(HttpToolsProtocol):
    """Takes `Upgrade` for what it is, an offer that a server is free to ignore (RFC 9110, 7.8).

    Java's HttpClient offers h2c with every first request. The parser stops at such an offer, and uvicorn then serves
    the request without its body (uvicorn#2722). Here the request is parsed once more, without the offer.

    The server is to call `sweep` every second: it ends the connection with a client that is too slow.
    """

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
        limits: WireLimits = DEFAULT_LIMITS,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self.written = 0
        self.received = 0
        """Bytes, in all, of answers and of requests."""
        self._unparsed = 0
        """Bytes since the last ones that were of a body or the last of a request."""
        self._limits = limits
        self._parting: Pace | None = None
        """Once the client has been told that the connection ends."""
        self._asking = Pace(limits.head_seconds, math.inf)
        self._sending = Pace(limits.pace_seconds, limits.pace_bytes)
        self._taking = Pace(limits.pace_seconds, limits.pace_bytes)

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn's own
        super().connection_made(transport)
        give_up_after(transport, self._limits.silence_seconds)
        if len(self.connections) > self._limits.connections:
            self._say(HTTPStatus.SERVICE_UNAVAILABLE, b"retry-after: 1\r\n")
            transport.close()

    def on_headers_complete(self) -> None:
        if self._unparsed > self._limits.head_bytes or len(self.headers) > self._limits.fields:
            self._check_head()
        if not self.parser.should_upgrade():
            super().on_headers_complete()
            if is_draining(self.app_state):
                self.cycle.keep_alive = False
            if self.scope["method"] != "HEAD":  # which has no body to wait for
                self.cycle.transport = OnePiece(self)

    def on_body(self, body: bytes) -> None:
        self._unparsed = 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        if not self.parser.should_upgrade():
            self._unparsed = 0
            super().on_message_complete()

    def data_received(self, data: bytes) -> None:
        if self._parting is not None:
            return
        self._unset_keepalive_if_required()
        self.received += len(data)
        self._unparsed += len(data)
        self._parse(data)
        if self._unparsed > self._limits.head_bytes:
            self._refuse(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE)

    def shutdown(self) -> None:
        if self._parting is not None:
            self.transport.close()
        else:
            super().shutdown()

    def sweep(self, now: float) -> None:
        """End the connection if its client is too slow, at the time `now` in seconds."""
        waiting = unsent(self.transport)
        if self._taking.is_lost(self if waiting else None, self.written - waiting, now):
            cut_off(self.transport)  # to close it would be to wait for the client
        elif self.transport.is_closing():
            return
        elif self._parting is not None:
            if self._parting.is_lost(self, 0, now):
                self.transport.abort()
        elif self._asking.is_lost(self._awaited_head(), 0, now):
            if self.received:
                self._refuse(HTTPStatus.REQUEST_TIMEOUT)
            else:
                self.transport.close()
        elif self._sending.is_lost(self._awaited_body(), self.received, now):
            self._refuse(HTTPStatus.REQUEST_TIMEOUT)

    def _parse(self, data: bytes) -> None:
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade as offer:
            (rest,) = offer.args
            head = self._head()
            self.parser = httptools.HttpRequestParser(self)
            self._parse(head + data[rest:])
        except httptools.HttpParserError as error:
            too_large = isinstance(error.__context__, _HeadTooLarge)
            self._refuse(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE if too_large else HTTPStatus.BAD_REQUEST)

    def _head(self) -> bytes:
        """The request line and the headers as they came, without the offer."""
        lines = [name + b": " + value for name, value in self.headers if name not in OFFER_HEADERS]
        return b"\r\n".join([self.parser.get_method() + b" " + self.url + b" HTTP/1.1", *lines, b"", b""])

    def _check_head(self) -> None:
        size = len(self.url) + sum(len(name) + len(value) + FIELD_FRAME for name, value in self.headers)
        if size > self._limits.head_bytes or len(self.headers) > self._limits.fields:
            raise _HeadTooLarge

    def _awaited_head(self) -> object | None:
        """What the client is to send a head after; None where it need not, or is idle, which has a time-out already.
        Whatever is left of a body that has been answered is to be over by then as well."""
        if self.timeout_keep_alive_task is not None:
            return None
        if self.cycle is None:
            return self
        return self.cycle if self.cycle.response_complete else None

    def _awaited_body(self) -> object | None:
        """The request whose body the client is to send; None where there is none, or it waits for the server."""
        cycle = self.cycle
        if cycle is None or not cycle.more_body or cycle.response_complete or cycle.waiting_for_100_continue:
            return None
        return None if self.pipeline or self.flow.read_paused else cycle

    def _refuse(self, status: HTTPStatus) -> None:
        """End the connection, and say why where that can be taken for the answer to what was sent. To close it at once
        would be to reset it if more comes in, and the client might not read the answer."""
        if self._parting is not None or self.transport.is_closing():
            return
        if not self._owes_an_answer():
            self.transport.close()
            return
        self._parting = Pace(PARTING_SECONDS, math.inf)
        if self.cycle is not None:
            self.cycle.disconnected = True
            self.cycle.message_event.set()
        self._say(status)
        self.transport.write_eof()

    def _say(self, status: HTTPStatus, *fields: bytes) -> None:
        phrase = status.phrase.encode()
        default = [name + b": " + value + b"\r\n" for name, value in self.server_state.default_headers]
        head = (b"HTTP/1.1 %d %b\r\n" % (status, phrase), *default, *fields, b"connection: close\r\n")
        content = b"content-type: text/plain; charset=utf-8\r\ncontent-length: %d\r\n\r\n%b" % (len(phrase), phrase)
        self.transport.write(b"".join((*head, content)))

    def _owes_an_answer(self) -> bool:
        cycle = self.cycle
        if cycle is None:
            return True
        if cycle.response_complete:
            return not cycle.more_body
        return not cycle.response_started and not self.pipeline
