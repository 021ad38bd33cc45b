"""`@cached`: what the author of an endpoint says about it, and all that he has to."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, TypeVar
from uuid import UUID

F = TypeVar("F", bound=Callable[..., Any])


class Kind(StrEnum):
    """Each has its time to live in the settings and its row in the metrics."""

    PRODUCT = "product"
    PRODUCTS = "products"
    SNAPSHOT = "snapshot"
    PLACES = "places"
    STOCK = "stock"


@dataclass(frozen=True, slots=True)
class Asked:
    """The parameters of one request, as text."""

    path: Mapping[str, str]
    query: Mapping[str, str]

    def id(self, name: str) -> UUID:
        """Raises `ValueError` where it is none: then the endpoint tells the client so."""
        given = self.path.get(name) or self.query[name]
        return UUID(given)


@dataclass(frozen=True, slots=True)
class Policy:
    """`tags` names those of a request's answer."""

    kind: Kind
    tags: Callable[[Asked], Sequence[str]]


def cached(kind: Kind, *, tags: Callable[[Asked], Sequence[str]]) -> Callable[[F], F]:
    """Answer GET requests from the cache. The endpoint runs only when it has to; invalidation is not its business, for
    units of work release the tags of what they write.

    `tags` must name, for everything that the answer depends on, a tag that every write to it releases (see
    `warehouse.cache.tags`). The answer may depend on nothing else but the path and the query.
    """

    def mark(endpoint: F) -> F:
        _policies[endpoint] = Policy(kind, tags)
        return endpoint

    return mark


def policy_of(endpoint: Callable[..., Any] | None) -> Policy | None:
    return _policies.get(endpoint) if endpoint is not None else None


_policies: dict[Callable[..., Any], Policy] = {}
