"""What FastAPI and pydantic find wrong with a request, in our terms. The value at fault is never repeated."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from pydantic import ValidationError

from warehouse.errors import Code, FieldError, Invalid, MalformedRequest, PreconditionRequired, WarehouseError

MAX_ERRORS = 1000
"""As many faults are told at once: a body of a million unknown fields must not make an answer ten times its size."""

_MISSING_HEADERS: Mapping[str, WarehouseError] = {
    "idempotency-key": MalformedRequest(
        "Send an Idempotency-Key, so that the request can be repeated safely.", code=Code.IDEMPOTENCY_KEY_REQUIRED
    ),
    "if-match": PreconditionRequired("Send the ETag that you have read in If-Match, or * for any version."),
}


def problem_of(errors: Sequence[Mapping[str, Any]], body: Any) -> WarehouseError:
    """What cannot be parsed, and a missing header that decides how the request is to be taken, come before faults of
    fields. `body` is the parsed body: pointers are made to lead through it."""
    for unprocessable in filter(None, map(_unprocessable, errors)):
        return unprocessable
    return invalid([_field_error(each, body) for each in errors[:MAX_ERRORS]])


def field_errors(error: ValidationError, value: Any) -> list[FieldError]:
    """What pydantic found wrong with a part of the body; the pointers begin at that part."""
    found = error.errors(include_url=False, include_context=False, include_input=False)
    return [_field_error({**each, "loc": ("body", *each["loc"])}, value) for each in found]


def invalid(errors: Sequence[FieldError]) -> Invalid:
    """An `Invalid` about all of these fields, of which there is at least one."""
    first = f"{errors[0].pointer or 'The body'}: {errors[0].detail}"
    more = f" (and {len(errors) - 1} more)" if len(errors) > 1 else ""
    return Invalid(first + more, errors=errors)


def _unprocessable(error: Mapping[str, Any]) -> WarehouseError | None:
    match error["type"], error["loc"]:
        case "json_invalid", (_, position):
            return MalformedRequest(f"The body is not JSON: {error['ctx']['error']}, at character {position}.")
        case "missing", ("header", name):
            return _MISSING_HEADERS.get(name.lower())
        case _:
            return None


def _field_error(error: Mapping[str, Any], body: Any) -> FieldError:
    return FieldError(_pointer(error, body), error["type"], error["msg"].removeprefix("Value error, "))


def _pointer(error: Mapping[str, Any], body: Any) -> str:
    match error["loc"]:
        case ("query", name, *_):
            return f"?{name}"
        case ("path", name, *_):
            return f"{{{name}}}"
        case ("header", name, *_):
            return "-".join(word.capitalize() for word in name.split("-"))
        case (_, *steps):
            return json_pointer(_through(steps, body, absent=error["type"] == "missing"))
        case _:
            return ""


def _through(steps: Sequence[str | int], body: Any, *, absent: bool) -> Iterator[str | int]:
    """pydantic's path also holds names of union branches and validators; only what leads through the body counts."""
    for position, step in enumerate(steps):
        if _holds(body, step):
            body = body[step]
            yield step
        elif absent and position == len(steps) - 1:
            yield step


def _holds(body: Any, step: str | int) -> bool:
    if isinstance(body, dict):
        return step in body
    return isinstance(body, list) and isinstance(step, int) and step < len(body)


def json_pointer(steps: Iterable[str | int]) -> str:
    """RFC 6901."""
    return "".join(f"/{str(step).replace('~', '~0').replace('/', '~1')}" for step in steps)
