"""What no model of the input sees: parameters that an operation does not know, bodies that it does not read, and
characters that no database keeps alike."""

import re
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import chain
from typing import Any
from weakref import WeakKeyDictionary

from fastapi import Request
from fastapi.dependencies.utils import get_flat_params
from fastapi.params import Form, Query
from fastapi.routing import APIRoute

from warehouse.errors import FieldError, UnsupportedMediaType
from warehouse.http.validation import MAX_ERRORS, invalid, json_pointer

_JSON = re.compile(r"application/(?:json|[\w.!#$&^+-]+\+json)", re.IGNORECASE | re.ASCII)
_UNKEPT = re.compile("[\0\ud800-\udfff]")
_UNKEPT_DETAIL = "NUL characters and lone surrogates are not kept."


def check_query(request: Request) -> None:
    """Raises `Invalid` for a parameter that the operation does not have, or that is given twice."""
    if not request.scope["query_string"]:
        return
    known = _input_of(request).parameters
    given = Counter(name for name, _ in request.query_params.multi_items())
    unknown = [FieldError(f"?{name}", "unknown_parameter", _known(known)) for name in given if name not in known]
    repeated = [
        FieldError(f"?{name}", "repeated_parameter", "Give it once.")
        for name, times in given.items()
        if times > 1 and name in known
    ]
    if faults := unknown + repeated:
        raise invalid(faults[:MAX_ERRORS])


async def check_media_type(request: Request) -> None:
    """Raises `UnsupportedMediaType` for a body that is not plain JSON, where JSON is what is read."""
    if not _input_of(request).is_json or not await request.body():
        return
    if not _JSON.fullmatch(request.headers.get("content-type", "").partition(";")[0].strip()):
        raise UnsupportedMediaType("Send the body as application/json.")
    if request.headers.get("content-encoding", "identity").lower() != "identity":
        raise UnsupportedMediaType("Send the body without Content-Encoding.")


async def check_text(request: Request) -> None:
    """Raises `Invalid` for NUL characters, which PostgreSQL refuses, and for lone surrogates, which are no text."""
    faults = [
        *_faults("{%s}", request.path_params),
        *(_faults("?%s", request.query_params) if b"%00" in request.scope["query_string"] else ()),
        # JSON allows neither in the raw, so a body without escapes has none.
        *(_body_faults(await request.json()) if await _has_escapes(request) else ()),
    ]
    if faults:
        raise invalid(faults[:MAX_ERRORS])


def _faults(pointer: str, values: Any) -> Iterator[FieldError]:
    for name, value in values.items():
        if isinstance(value, str) and _UNKEPT.search(value):
            yield FieldError(pointer % name, "characters", _UNKEPT_DETAIL)


async def _has_escapes(request: Request) -> bool:
    return _input_of(request).is_json and b"\\u" in await request.body()


def _body_faults(body: Any) -> Iterator[FieldError]:
    for steps, text in _texts(body):
        if _UNKEPT.search(text):
            yield FieldError(json_pointer(steps), "characters", _UNKEPT_DETAIL)


def _texts(body: Any) -> Iterator[tuple[tuple[str | int, ...], str]]:
    """Every text and every name in a JSON document, with the steps that lead there.

    By a stack of its own: JSON may nest as deep as its parser, which leaves no frames for a recursion.
    """
    stack: list[tuple[tuple[str | int, ...], Iterator[tuple[str | int, Any]]]] = [((), _members(body))]
    while stack:
        steps, members = stack[-1]
        for step, value in members:
            if isinstance(value, str):
                yield (*steps, step), value
            elif isinstance(value, dict | list):
                stack.append(((*steps, step), _members(value)))
                break
        else:
            stack.pop()


def _members(value: Any) -> Iterator[tuple[str | int, Any]]:
    if isinstance(value, dict):
        return chain(((name, name) for name in value), value.items())
    return enumerate(value) if isinstance(value, list) else iter(())


def _known(names: frozenset[str]) -> str:
    return f"There is no such parameter here, only {', '.join(sorted(names))}." if names else "None is known here."


@dataclass(frozen=True, slots=True)
class _Input:
    parameters: frozenset[str]
    is_json: bool


_inputs: WeakKeyDictionary[Callable[..., Any], _Input] = WeakKeyDictionary()


def _input_of(request: Request) -> _Input:
    route = request.scope["route"]
    known = _inputs.get(route.endpoint)
    if known is None:
        known = _inputs[route.endpoint] = _read(route)
    return known


def _read(route: APIRoute) -> _Input:
    queries = [each for each in get_flat_params(route.dependant) if isinstance(each.field_info, Query)]
    body = route.body_field
    return _Input(
        parameters=frozenset(query.alias for query in queries),
        is_json=body is not None and not isinstance(body.field_info, Form),
    )
