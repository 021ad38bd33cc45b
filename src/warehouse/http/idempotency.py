"""The Idempotency-Key header (IETF draft-ietf-httpapi-idempotency-key-header), and commands made of requests."""

import hashlib
import json
import re
from collections.abc import Callable, Mapping
from functools import partial
from typing import Annotated, Any

from fastapi import Depends, Header, Request
from pydantic import BaseModel
from starlette.responses import Response

from warehouse.commands.model import Answer, Command, Outcome
from warehouse.errors import Code, Conflict, FieldError, MalformedRequest
from warehouse.http.access import caller_of
from warehouse.http.json import encode
from warehouse.http.problems import problem_for

HEADER = "Idempotency-Key"
MAX_KEY_LENGTH = 255
RETENTION_HOURS = 24

DESCRIPTION = (
    f"A text of your own for this one request, at most {MAX_KEY_LENGTH} printable ASCII characters, quoted or bare. "
    f"Sent again with the same request it gets the first answer again, with `Idempotent-Replayed: true`, for at least "
    f"{RETENTION_HOURS} hours; with another request it is refused."
)

_KEY = re.compile(rf"[\x20-\x7e]{{1,{MAX_KEY_LENGTH}}}")
_QUOTED = re.compile(r'"((?:[\x20\x21\x23-\x5b\x5d-\x7e]|\\["\\])*)"')
_ESCAPE = re.compile(r"\\(.)")

Headers = Callable[[Any], Mapping[str, str]]


def parse_key(header: str) -> str:
    """The key out of a structured-field string (RFC 9651) or bare text.

    Raises `MalformedRequest(IDEMPOTENCY_KEY_MALFORMED)`.
    """
    text = header.strip(" \t")
    key = _unquoted(text) if text.startswith('"') else text
    if not _KEY.fullmatch(key):
        detail = f"Write 1 to {MAX_KEY_LENGTH} printable ASCII characters, quoted or bare."
        fault = FieldError(HEADER, Code.IDEMPOTENCY_KEY_MALFORMED, detail)
        raise MalformedRequest(detail, code=Code.IDEMPOTENCY_KEY_MALFORMED, errors=(fault,))
    return key


def _unquoted(text: str) -> str:
    quoted = _QUOTED.fullmatch(text)
    return _ESCAPE.sub(r"\1", quoted[1]) if quoted else ""


def _key_of(request: Request) -> str:
    # Two headers are no key: a line break is not in its alphabet.
    return parse_key("\n".join(request.headers.getlist(HEADER)))


async def _required_key(request: Request, key: Annotated[str, Header(alias=HEADER, description=DESCRIPTION)]) -> str:
    return _key_of(request)


async def _optional_key(
    request: Request, key: Annotated[str | None, Header(alias=HEADER, description=DESCRIPTION)] = None
) -> str | None:
    return None if key is None else _key_of(request)


RequiredKey = Annotated[str, Depends(_required_key)]
"""Parameter of an endpoint that is not run without a key: an absent header is answered with 400."""

OptionalKey = Annotated[str | None, Depends(_optional_key)]
"""Parameter of an endpoint that repeats its effect where the client sends no key."""


def request_hash(method: str, path: str, body: BaseModel | None) -> bytes:
    """SHA-256 of what is asked: two spellings of one request give one hash.

    Raises `MalformedRequest` for a body that nests deeper than can be written out again.
    """
    try:
        # Without defaults: a field that a later version adds must not turn a retry across the upgrade into another
        # request.
        content = body.model_dump(mode="json", exclude_defaults=True) if body else None
        # The standard library's JSON takes everything that its parser lets in, integers beyond 64 bits as well.
        text = json.dumps([method, path, content], sort_keys=True)
    except (ValueError, RecursionError) as error:
        raise MalformedRequest("The body is nested too deeply.") from error
    return hashlib.sha256(text.encode()).digest()


def json_answer(result: Any, status: int, headers: Mapping[str, str]) -> Answer:
    return Answer(status, encode(result), {"Content-Type": "application/json", **headers})


def no_headers(result: Any) -> Mapping[str, str]:
    return {}


def command_for(
    request: Request,
    key: str | None,
    body: BaseModel | None,
    *,
    status: int = 201,
    headers: Headers = no_headers,
    success: Callable[[Any], Answer] | None = None,
) -> Command:
    """The command that this request is.

    Its answer is the result's JSON with `status` and what `headers` makes of the result; `success` makes another.
    """
    caller = caller_of(request)
    return Command(
        caller_id=caller.id,
        actor=caller.name,
        key=key,
        request_hash=request_hash(request.method, request.scope["path"], body),
        success=success or (lambda result: json_answer(result, status, headers(result))),
        refusal=partial(_refusal, request),
    )


def _refusal(request: Request, conflict: Conflict) -> Answer:
    response = problem_for(conflict, request.scope)
    return Answer(response.status_code, bytes(response.body), {"Content-Type": response.headers["content-type"]})


def to_response(outcome: Outcome[Any]) -> Response:
    """The answer as recorded, byte for byte, marked where it is a replay."""
    replayed = {"Idempotent-Replayed": "true"} if outcome.replayed else {}
    return Response(outcome.answer.body, outcome.answer.status, {**outcome.answer.headers, **replayed})
