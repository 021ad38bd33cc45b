"""What the routes of an application are called and where they stand; they have been a tree since FastAPI 0.137."""

import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from fastapi import FastAPI
from fastapi.routing import APIRoute, iter_route_contexts
from starlette.routing import BaseRoute
from starlette.types import Scope


@dataclass(frozen=True, slots=True)
class Operation:
    """`name` is that of the function behind it and serves as operation id; `path` is whole, with its `{parameters}`."""

    name: str
    path: str
    pattern: re.Pattern[str]
    methods: frozenset[str]
    route: BaseRoute

    @property
    def methods_answered(self) -> frozenset[str]:
        """HEAD as well wherever GET is."""
        return self.methods | {"HEAD"} if "GET" in self.methods else self.methods

    @property
    def api(self) -> APIRoute | None:
        """None for a page, a file or a mounted application, which take no part in the API."""
        return self.route if isinstance(self.route, APIRoute) else None


def operations(app: FastAPI) -> Iterator[Operation]:
    for context in iter_route_contexts(app.routes):
        yield Operation(
            name=context.name or "",
            path=context.path_format or "",
            pattern=context.path_regex,
            methods=frozenset(context.methods or ()),
            route=context.original_route,
        )


def templates(app: FastAPI) -> Mapping[int, str]:
    """The whole path template of each route, by the `id` of the route: its own `path` lacks the routers' prefixes."""
    return {id(operation.route): operation.path for operation in operations(app)}


def methods_at(app: FastAPI, path: str) -> list[str]:
    """Every method that is answered at a path, in alphabetical order; HEAD wherever GET is."""
    return sorted({method for each in operations(app) if each.pattern.match(path) for method in each.methods_answered})


def marked_paths(app: FastAPI, is_marked: Callable[[Callable[..., Any]], bool]) -> Mapping[str, re.Pattern[str]]:
    """What the paths of the operations match whose endpoints are marked, by their methods; of HEAD what GET has."""
    paths: dict[str, list[str]] = {}
    for operation in operations(app):
        if operation.api is not None and is_marked(operation.api.endpoint):
            for method in operation.methods_answered:
                paths.setdefault(method, []).append(f"(?:{_unnamed(operation.pattern.pattern)})")
    return {method: re.compile("|".join(patterns)) for method, patterns in paths.items()}


def _unnamed(pattern: str) -> str:
    """Several patterns in one may not name their groups alike."""
    return re.sub(r"\?P<\w+>", "?:", pattern)


@contextmanager
def changed(scope: Scope, **changes: Any) -> Iterator[Scope]:
    """A changed copy of a scope to call an application with.

    The server reads its own, so that one stays; but the route that is found is told outward, where the log is.
    """
    inner = {**scope, **changes}
    try:
        yield inner
    finally:
        if "route" in inner:
            scope["route"] = inner["route"]


def route_path(scope: Scope) -> str:
    """The path as the routes see it: without the prefix under which a proxy serves the application."""
    path: str = scope["path"]
    root: str = scope.get("root_path", "")
    return path.removeprefix(root) if root and path.startswith(f"{root}/") else path
