"""Names every request and counts it: a client's report, a problem document and the log lines find each other."""

import logging
import re
import time
from collections.abc import Mapping
from random import getrandbits

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from warehouse.http.headers import fields_of
from warehouse.http.logging import REQUEST
from warehouse.http.routes import templates
from warehouse.metrics import observe_request

MORE_HEADERS = "more_headers"
"""In the state of a request: headers of its answer, whatever that will be."""

log = logging.getLogger(__name__)

_REQUEST_ID = re.compile(r"[\w.~+/=:@-]{1,128}", re.ASCII)
_TRACEPARENT = re.compile(r"(?!ff)([0-9a-f]{2})-(?!0{32})([0-9a-f]{32})-(?!0{16})([0-9a-f]{16})-([0-9a-f]{2})(-.*)?")


class RequestIdMiddleware:
    """Puts `request_id` and `trace_id` into the request's state and `X-Request-Id` on its answer; logs and counts it.

    The client's own X-Request-Id is taken where it is 1 to 128 harmless characters; the trace id comes from a valid
    `traceparent` (W3C Trace Context) and is None without one.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self._templates: Mapping[int, str] | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return await self._app(scope, receive, send)
        request_id, trace_id = request_id_of(fields_of(scope)), trace_id_of(fields_of(scope))
        scope.setdefault("state", {}).update(request_id=request_id, trace_id=trace_id)
        REQUEST.set(f" request_id={request_id} trace_id={trace_id}" if trace_id else f" request_id={request_id}")
        status = 0

        async def naming(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                more = scope["state"].get(MORE_HEADERS, ())
                message["headers"] = [*message.get("headers", ()), (b"x-request-id", request_id.encode()), *more]
            await send(message)

        begun = time.perf_counter()
        try:
            await self._app(scope, receive, naming)
        finally:
            self._record(scope, status, time.perf_counter() - begun)

    def _record(self, scope: Scope, status: int, seconds: float) -> None:
        """The route's template and not the path, and never the query: those hold what people search for."""
        method, route, caller = scope["method"], self._template(scope), scope["state"].get("caller")
        # Where nothing is sent, the server beneath answers 500.
        observe_request(method, route, status or 500, seconds)
        log.info(
            "http.request method=%s route=%s status=%d ms=%.1f caller=%r",
            method,
            route,
            status,
            seconds * 1000,
            caller and caller.name,
        )

    def _template(self, scope: Scope) -> str:
        if "route" not in scope:
            return "-"
        if self._templates is None:
            self._templates = templates(scope["app"])
        return self._templates.get(id(scope["route"]), "-")


def request_id_of(fields: Mapping[bytes, bytes]) -> str:
    """The client's, or a new one."""
    given = fields.get(b"x-request-id", b"").decode("latin-1")
    return given if given and _REQUEST_ID.fullmatch(given) else f"{getrandbits(128):032x}"


def trace_id_of(headers: Mapping[bytes, bytes]) -> str | None:
    """32 hexadecimal digits. Versions above 00 may bring more fields, version 00 may not."""
    given = headers.get(b"traceparent")
    fields = _TRACEPARENT.fullmatch(given.decode("latin-1")) if given else None
    if fields is None or (fields[1] == "00" and fields[5]):
        return None
    return fields[2]
