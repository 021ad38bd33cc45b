"""Which operations are dear: `@heavy` marks them, by slowapi's decorator and in its tables; uploads are in any case.

slowapi itself checks nothing here: docs/decisions/0013-rate-limit.md says why.
"""

from collections.abc import Mapping
from enum import StrEnum

from fastapi import FastAPI
from slowapi import Limiter
from slowapi.util import get_remote_address
from starlette.types import Scope

from warehouse.http.deadline import SAFE
from warehouse.http.lasting import Lasting, mark_of
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
        self._heavy: Mapping[str, frozenset[str]] | None = None

    def of(self, scope: Scope) -> RouteClass:
        """Raises `ValueError` where a heavy path of the application has parameters."""
        if self._heavy is None:
            self._heavy = _heavy_paths(scope["app"])
        method = scope["method"]
        if route_path(scope) in self._heavy.get(method, ()):
            return RouteClass.HEAVY
        return RouteClass.DEFAULT if method in SAFE else RouteClass.WRITES


def _heavy_paths(app: FastAPI) -> Mapping[str, frozenset[str]]:
    """By method. To match patterns would be a part of what each request takes, and no heavy path needs one."""
    paths: dict[str, set[str]] = {}
    for operation in operations(app):
        if operation.api is not None and _is_heavy(operation.api.endpoint):
            if operation.pattern.groups:
                raise ValueError(f"{operation.path} has parameters: it cannot be marked as heavy")
            for method in operation.methods_answered:
                paths.setdefault(method, set()).add(operation.path)
    return {method: frozenset(each) for method, each in paths.items()}


def _is_heavy(endpoint: object) -> bool:
    if mark_of(endpoint) is Lasting.UPLOAD:
        return True
    name = f"{getattr(endpoint, '__module__', '')}.{getattr(endpoint, '__name__', '')}"
    return any(limit.scope == RouteClass.HEAVY for limit in _marks._route_limits.get(name, ()))
