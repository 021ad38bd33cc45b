"""What no model of the input sees: parameters that an operation does not know, bodies that it does not read, and
characters that no database keeps alike."""

import json
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from itertools import chain
from typing import Any, get_args, get_origin
from urllib.parse import parse_qsl
from weakref import WeakKeyDictionary

from fastapi import Request
from fastapi.dependencies.utils import get_flat_params
from fastapi.params import Form, Query
from fastapi.routing import APIRoute

from warehouse.errors import FieldError, MalformedRequest, UnsupportedMediaType
from warehouse.http.validation import MAX_ERRORS, invalid, json_pointer

_JSON = re.compile(r"application/(?:json|[\w.!#$&^+-]+\+json)", re.IGNORECASE | re.ASCII)
_UNKEPT = re.compile("[\0\ud800-\udfff]")
_UNKEPT_DETAIL = "NUL characters, lone surrogates and what is not UTF-8 are not kept."


def check_query(request: Request) -> None:
    """Raises `Invalid` for a parameter that the operation does not have, or that is given twice and is no list."""
    if not request.scope["query_string"]:
        return
    known = _input_of(request).parameters
    given = Counter(name for name, _ in request.query_params.multi_items())
    unknown = [FieldError(f"?{name}", "unknown_parameter", _known(known)) for name in given if name not in known]
    repeated = [
        FieldError(f"?{name}", "repeated_parameter", "Give it once.")
        for name, times in given.items()
        if times > 1 and name in known - _input_of(request).lists
    ]
    if faults := unknown + repeated:
        raise invalid(faults[:MAX_ERRORS])


async def check_media_type(request: Request) -> None:
    """Raises `UnsupportedMediaType` for a body that is not JSON, where JSON is what is read."""
    if not _input_of(request).is_json or not await request.body():
        return
    if not _JSON.fullmatch(request.headers.get("content-type", "").partition(";")[0].strip()):
        raise UnsupportedMediaType("Send the body as application/json.")


async def check_text(request: Request) -> None:
    """Raises `Invalid` for NUL characters, which PostgreSQL refuses, and for lone surrogates, which are no text;
    `MalformedRequest` for a body that is not JSON in UTF-8, or in which a name stands twice in one object."""
    body = await request.body() if _input_of(request).is_json else b""
    document = _parsed(body) if body else None
    faults = [
        *_faults("{%s}", request.path_params),
        *_faults("?%s", _escaped_query(request)),
        # UTF-8 holds no lone surrogates and JSON no NUL in the raw, so a body without escapes has neither.
        *(_body_faults(document) if b"\\u" in body else ()),
    ]
    if faults:
        raise invalid(faults[:MAX_ERRORS])


def _faults(pointer: str, values: Any) -> Iterator[FieldError]:
    for name, value in values.items():
        if isinstance(value, str) and _UNKEPT.search(value):
            yield FieldError(pointer % name, "characters", _UNKEPT_DETAIL)


def _escaped_query(request: Request) -> Mapping[str, str]:
    """The parameters, if there are escapes among them; what these spell that is not UTF-8 becomes lone surrogates."""
    query: bytes = request.scope["query_string"]
    if b"%" not in query:
        return {}
    return dict(parse_qsl(query.decode("latin-1"), keep_blank_values=True, errors="surrogateescape"))


def _parsed(body: bytes) -> Any:
    """The body once more: its first parser takes UTF-16 as well, and of several members of one name the last."""
    try:
        return json.loads(_utf8(body), object_pairs_hook=_unambiguous)
    except RecursionError as error:
        raise MalformedRequest("The body is nested too deeply.") from error


def _utf8(body: bytes) -> str:
    with suppress(UnicodeDecodeError):
        # UTF-16 without a mark is valid UTF-8, but every second byte of it is NUL.
        if b"\0" not in body:
            return body.decode("utf-8-sig")
    raise MalformedRequest("The body is not JSON in UTF-8.")


def _unambiguous(members: list[tuple[str, Any]]) -> dict[str, Any]:
    named = dict(members)
    if len(named) < len(members):
        twice = Counter(name for name, _ in members).most_common(1)[0][0]
        raise MalformedRequest(f"{json.dumps(twice)} stands twice in one object.")
    return named


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
    lists: frozenset[str]
    """Those of them that may be given several times."""
    is_json: bool


_inputs: WeakKeyDictionary[Callable[..., Any], _Input] = WeakKeyDictionary()


def query_parameters(route: APIRoute) -> frozenset[str]:
    """The names of those that the operation knows."""
    return _input_at(route).parameters


def _input_of(request: Request) -> _Input:
    return _input_at(request.scope["route"])


def _input_at(route: APIRoute) -> _Input:
    known = _inputs.get(route.endpoint)
    if known is None:
        known = _inputs[route.endpoint] = _read(route)
    return known


def _is_list(annotation: Any) -> bool:
    return get_origin(annotation) is list or any(map(_is_list, get_args(annotation)))


def _read(route: APIRoute) -> _Input:
    queries = [each for each in get_flat_params(route.dependant) if isinstance(each.field_info, Query)]
    body = route.body_field
    return _Input(
        parameters=frozenset(query.alias for query in queries),
        lists=frozenset(query.alias for query in queries if _is_list(query.field_info.annotation)),
        is_json=body is not None and not isinstance(body.field_info, Form),
    )
