"""Every answer that is not a success is a problem document (RFC 9457). docs/errors.md explains the codes."""

import logging
from collections.abc import Mapping, Sequence
from urllib.parse import quote

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, ConfigDict, Field
from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from warehouse.errors import (
    Code,
    Conflict,
    FieldError,
    Forbidden,
    Invalid,
    MalformedRequest,
    NotAcceptable,
    NotFound,
    PreconditionRequired,
    RateLimited,
    StaleVersion,
    TooLarge,
    Unauthenticated,
    Unavailable,
    UnsupportedCoding,
    UnsupportedMediaType,
    WarehouseError,
)
from warehouse.http.json import encode
from warehouse.http.routes import methods_at, route_path
from warehouse.http.validation import problem_of

MEDIA_TYPE = "application/problem+json"

log = logging.getLogger(__name__)


class FieldProblem(BaseModel):
    """One fault in the input."""

    pointer: str = Field(
        description="Where: a JSON Pointer (RFC 6901) into the body, `?name` for a query parameter, `{name}` for a "
        "part of the path, or the name of a header."
    )
    code: str = Field(description="What is wrong, for programs.")
    detail: str = Field(description="What is wrong, for people.")


class Problem(BaseModel):
    """A problem document (RFC 9457). Some codes add members of their own, as `current_version`."""

    model_config = ConfigDict(extra="allow")

    type: str = Field(description="A URN made of the code.", examples=["urn:warehouse:problem:insufficient_stock"])
    title: str = Field(description="What the code means; the same in every problem of that code.")
    status: int = Field(description="The status code of the response.", ge=400, le=599)
    detail: str = Field(description="What is wrong this time, for people.")
    instance: str = Field(description="The path that was asked for.")
    code: str = Field(description="Stable, for programs. More codes may come.", examples=["insufficient_stock"])
    request_id: str = Field(description="The same as in the header X-Request-Id.")
    errors: list[FieldProblem] = Field(description="Every fault in the input; empty where the input is not at fault.")


class MethodNotAllowed(WarehouseError):
    code = Code.METHOD_NOT_ALLOWED

    def __init__(self, allowed: Sequence[str]) -> None:
        super().__init__(f"This resource answers {', '.join(allowed)}." if allowed else "This method is not answered.")
        self.allowed = allowed


class InternalError(WarehouseError):
    """Our fault. What it was is in the log, under the request id."""

    code = Code.INTERNAL_ERROR

    def __init__(self) -> None:
        super().__init__("Something went wrong here. The log has it under this request id.")


STATUS: Mapping[type[WarehouseError], int] = {
    MalformedRequest: 400,
    Unauthenticated: 401,
    Forbidden: 403,
    NotFound: 404,
    MethodNotAllowed: 405,
    NotAcceptable: 406,
    Conflict: 409,
    StaleVersion: 412,
    TooLarge: 413,
    UnsupportedMediaType: 415,
    Invalid: 422,
    PreconditionRequired: 428,
    RateLimited: 429,
    InternalError: 500,
    Unavailable: 503,
}

TITLES: Mapping[Code, str] = {
    Code.MALFORMED_REQUEST: "The request cannot be parsed",
    Code.BAD_CURSOR: "The cursor does not belong to this list",
    Code.BAD_PRECONDITION: "The precondition cannot be parsed",
    Code.IDEMPOTENCY_KEY_REQUIRED: "An idempotency key is required",
    Code.IDEMPOTENCY_KEY_MALFORMED: "The idempotency key cannot be parsed",
    Code.UNAUTHENTICATED: "A valid API key is required",
    Code.FORBIDDEN: "The role of this API key does not allow it",
    Code.NOT_FOUND: "There is no such thing",
    Code.METHOD_NOT_ALLOWED: "The resource does not answer this method",
    Code.NOT_ACCEPTABLE: "The answer has no form that is accepted",
    Code.DUPLICATE_SKU: "Another product has this SKU",
    Code.DUPLICATE_CODE: "The code is taken",
    Code.IN_USE: "The record is in use",
    Code.ARCHIVED: "The record is archived",
    Code.INSUFFICIENT_STOCK: "There is not enough stock",
    Code.QUANTITY_OUT_OF_RANGE: "The quantity would go out of range",
    Code.COUNT_MISMATCH: "The stock is not what the count expected",
    Code.LOT_MISMATCH: "The lot does not agree with what is recorded",
    Code.RESERVATION_NOT_ACTIVE: "The reservation is not active any more",
    Code.ALREADY_REVERSED: "The command has been reversed already",
    Code.TASK_ENDED: "The task has ended",
    Code.TASK_NOT_FAILED: "The task has not failed",
    Code.IDEMPOTENCY_IN_PROGRESS: "The first request with this key is still running",
    Code.STALE_VERSION: "The record has changed meanwhile",
    Code.PAYLOAD_TOO_LARGE: "The body is too large",
    Code.UNSUPPORTED_MEDIA_TYPE: "The body is of a media type that is not read here",
    Code.INVALID: "The input is not valid",
    Code.IDEMPOTENCY_KEY_REUSED: "The idempotency key came with another request",
    Code.PRECONDITION_REQUIRED: "A precondition is required",
    Code.INTERNAL_ERROR: "The server failed",
    Code.UNAVAILABLE: "The service is not available at the moment",
    Code.OVERLOADED: "More is asked than can be done at once",
    Code.RATE_LIMITED: "The quota is used up",
    Code.CONTENTION: "Too many changes to the same records at once",
    Code.TIMEOUT: "The request took too long",
}


def status_of(error: WarehouseError) -> int:
    return next(STATUS[kind] for kind in type(error).__mro__ if kind in STATUS)


def problem_response(error: WarehouseError, *, instance: str, request_id: str) -> Response:
    """`instance` is the path that was asked for. Encodes whatever the texts hold, lone surrogates included."""
    status = status_of(error)
    document = {
        **error.extra,
        "type": f"urn:warehouse:problem:{error.code}",
        "title": TITLES[error.code],
        "status": status,
        "detail": _encodable(error.detail),
        "instance": quote(_encodable(instance)),
        "code": error.code,
        "request_id": request_id,
        "errors": [_encodable_error(each) for each in error.errors],
    }
    return Response(encode(document), status, _headers(error), media_type=MEDIA_TYPE)


def problem_for(error: WarehouseError, scope: Scope) -> Response:
    """The answer to the request of this ASGI scope; a middleware calls it with `(scope, receive, send)`."""
    request_id = scope.get("state", {}).get("request_id", "")
    return problem_response(error, instance=scope["path"], request_id=request_id)


def install_problem_handlers(app: FastAPI) -> None:
    """Everything that an endpoint or the routing raises on purpose; the rest is for `InternalErrorMiddleware`."""

    @app.exception_handler(WarehouseError)
    async def answer(request: Request, error: WarehouseError) -> Response:
        return problem_for(error, request.scope)

    @app.exception_handler(RequestValidationError)
    async def answer_invalid(request: Request, error: RequestValidationError) -> Response:
        return problem_for(problem_of(error.errors(), error.body), request.scope)

    @app.exception_handler(HTTPException)
    async def answer_http(request: Request, error: HTTPException) -> Response:
        return problem_for(_from_http(error, request), request.scope)


class InternalErrorMiddleware:
    """Answers 500 for whatever nobody caught, and logs it. Goes outside of every middleware that may fail.

    Starlette's own raises the error once more after the answer; here it ends, unless the answer had begun: then
    raising makes the server cut the connection, so that nobody takes the half for the whole.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return await self._app(scope, receive, send)
        begun = False

        async def noting(message: Message) -> None:
            nonlocal begun
            begun = True
            await send(message)

        try:
            await self._app(scope, receive, noting)
        except Exception:
            if begun:
                raise
            await answer_failure(scope, receive, send)


async def answer_failure(scope: Scope, receive: Receive, send: Send) -> None:
    """Answer 500 for the exception that is being handled, and log it."""
    log.exception("http.failed method=%s", scope["method"])
    await problem_for(InternalError(), scope)(scope, receive, send)


def _headers(error: WarehouseError) -> dict[str, str]:
    match error:
        case Unauthenticated():
            return {"WWW-Authenticate": "Bearer"}
        case MethodNotAllowed():
            return {"Allow": ", ".join(error.allowed)}
        case NotAcceptable():
            return {"Vary": "Accept-Encoding"}
        case UnsupportedCoding():
            return {"Accept-Encoding": "gzip, zstd"}
        case Unavailable() | RateLimited():
            return {"Retry-After": str(error.retry_after)}
        case _:
            return {}


def _encodable(text: str) -> str:
    """Lone surrogates, which JSON can carry in and UTF-8 cannot carry out, become question marks."""
    return text.encode("utf-8", "replace").decode()


def _encodable_error(error: FieldError) -> FieldError:
    return FieldError(_encodable(error.pointer), _encodable(error.code), _encodable(error.detail))


def _from_http(error: HTTPException, request: Request) -> WarehouseError:
    if isinstance(error.__cause__, WarehouseError):
        # FastAPI's own words for whatever was raised within the reading of a body.
        return error.__cause__
    match error.status_code:
        case 400:
            return MalformedRequest("The body cannot be parsed.")
        case 404:
            return NotFound("There is nothing at this address.")
        case 405:
            return MethodNotAllowed(methods_at(request.app, route_path(request.scope)))
        case 413:
            return TooLarge("The body is larger than is accepted here.")
        case status:
            log.error("http.unexpected status=%s", status)
            return InternalError()
