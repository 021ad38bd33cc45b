"""Which operations are dear: `@heavy` marks them, by slowapi's decorator and in its tables.

slowapi itself checks nothing here: docs/decisions/0013-rate-limit.md says why.
"""

import re
from collections.abc import Mapping
from enum import StrEnum

from fastapi import FastAPI
from slowapi import Limiter
from slowapi.util import get_remote_address
from starlette.types import Scope

from warehouse.http.deadline import SAFE
from warehouse.http.routes import operations, route_path


class RouteClass(StrEnum):
    """What it is called in RateLimit-Policy."""

    DEFAULT = "default"
    WRITES = "writes"
    HEAVY = "heavy"


_marks = Limiter(key_func=get_remote_address, key_style="endpoint", enabled=False)

heavy = _marks.shared_limit("1/second", scope=RouteClass.HEAVY.value)
"""Marks an endpoint, which needs a parameter `request`. How much of it is too much is in the settings."""


class RouteClasses:
    """Those of an application's requests."""

    def __init__(self) -> None:
        self._heavy: Mapping[str, re.Pattern[str]] | None = None

    def of(self, scope: Scope) -> RouteClass:
        if self._heavy is None:
            self._heavy = _heavy_paths(scope["app"])
        method = scope["method"]
        dear = self._heavy.get(method)
        if dear is not None and dear.fullmatch(route_path(scope)):
            return RouteClass.HEAVY
        return RouteClass.DEFAULT if method in SAFE else RouteClass.WRITES


def _heavy_paths(app: FastAPI) -> Mapping[str, re.Pattern[str]]:
    """What the paths of heavy operations match, by their methods."""
    paths: dict[str, list[str]] = {}
    for operation in operations(app):
        if operation.api is not None and _is_heavy(operation.api.endpoint):
            for method in operation.methods | ({"HEAD"} if "GET" in operation.methods else set()):
                paths.setdefault(method, []).append(f"(?:{_unnamed(operation.pattern.pattern)})")
    return {method: re.compile("|".join(patterns)) for method, patterns in paths.items()}


def _is_heavy(endpoint: object) -> bool:
    name = f"{getattr(endpoint, '__module__', '')}.{getattr(endpoint, '__name__', '')}"
    return any(limit.scope == RouteClass.HEAVY for limit in _marks._route_limits.get(name, ()))


def _unnamed(pattern: str) -> str:
    """Several patterns in one may not name their groups alike."""
    return re.sub(r"\?P<\w+>", "?:", pattern)
