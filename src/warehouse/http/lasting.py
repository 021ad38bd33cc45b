"""Which operations may last: those that take a file, send one, or send events for as long as somebody listens.

What holds for all others would break them: the request timeout, the size of a body, a place among those that are
worked at. `docs/operations.md` says what holds instead.
"""

import re
from collections.abc import Callable, Mapping
from enum import StrEnum
from functools import partial
from typing import Any, TypeVar
from weakref import WeakKeyDictionary

from fastapi import FastAPI
from starlette.types import Scope

from warehouse.http.routes import marked_paths, route_path

F = TypeVar("F", bound=Callable[..., Any])


class Lasting(StrEnum):
    UPLOAD = "upload"
    EVENTS = "events"
    DOWNLOAD = "download"


_MARK = "warehouse_lasting"
_KEPT = "warehouse.lasting"


def takes_upload(endpoint: F) -> F:
    """Marks an endpoint that reads its body by `http.uploads.received_upload`. Whoever asks it pays as for `@heavy`."""
    return _marked(endpoint, Lasting.UPLOAD)


def sends_events(endpoint: F) -> F:
    """Marks an endpoint of a GET that answers by `http.events.event_stream`; its response model is that of the events'
    data."""
    return _marked(endpoint, Lasting.EVENTS)


def sends_file(endpoint: F) -> F:
    """Marks an endpoint of a GET that answers by `http.downloads.download`."""
    return _marked(endpoint, Lasting.DOWNLOAD)


def _marked(endpoint: F, lasting: Lasting) -> F:
    # An attribute, which whatever is put around the endpoint later takes over.
    setattr(endpoint, _MARK, lasting)
    return endpoint


def mark_of(endpoint: object) -> Lasting | None:
    mark: Lasting | None = getattr(endpoint, _MARK, None)
    return mark


def lasting_of(scope: Scope) -> Lasting | None:
    """What of it the request asks for; found once for all who ask, and before the routing."""
    if _KEPT in scope:
        kept: Lasting | None = scope[_KEPT]
        return kept
    app = scope.get("app")
    found = scope[_KEPT] = None if app is None else _found(app, scope)
    return found


def _found(app: FastAPI, scope: Scope) -> Lasting | None:
    known = _paths.get(app)
    if known is None:
        known = _paths[app] = _by_method(app)
    pattern = known.get(scope["method"])
    match = None if pattern is None else pattern.fullmatch(route_path(scope))
    return None if match is None else Lasting(str(match.lastgroup))


_Paths = Mapping[str, re.Pattern[str]]
"""What the paths match, by method; the group says which it is."""

_paths: WeakKeyDictionary[FastAPI, _Paths] = WeakKeyDictionary()


def _by_method(app: FastAPI) -> _Paths:
    groups: dict[str, list[str]] = {}
    for lasting in Lasting:
        for method, pattern in marked_paths(app, partial(_is_marked, lasting)).items():
            groups.setdefault(method, []).append(f"(?P<{lasting}>{pattern.pattern})")
    return {method: re.compile("|".join(each)) for method, each in groups.items()}


def _is_marked(lasting: Lasting, endpoint: object) -> bool:
    return mark_of(endpoint) is lasting
