"""Nobody may ask more than his quota allows: by API key where there is one, else by address."""

from collections.abc import Awaitable, Mapping
from functools import lru_cache
from typing import NamedTuple, Protocol
from uuid import UUID

from starlette.types import ASGIApp, Receive, Scope, Send

from warehouse.auth.model import Caller
from warehouse.errors import RateLimited
from warehouse.http.authentication import RECENT, secret_of
from warehouse.http.client_address import ClientAddresses
from warehouse.http.problems import problem_for
from warehouse.http.request_id import MORE_HEADERS
from warehouse.http.route_classes import RouteClass, RouteClasses
from warehouse.http.routes import route_path
from warehouse.limiting import Decision, Limiter, Quota

STRANGERS = "strangers"
"""What the quota of those without a key is called in RateLimit-Policy."""
EXEMPT = frozenset({"/livez", "/readyz", "/metrics"})
"""Whoever watches the service gets an answer most of all when others ask too much."""


class Keys(Protocol):
    def recent(self, secret_text: str) -> Caller | None:
        """Whose key this was found to be a moment ago; None where that does not tell."""
        ...

    def known(self, secret_text: str) -> UUID | None:
        """The id of a key that was once found to be good, be it no longer; None of all others."""
        ...


class _Limit(NamedTuple):
    """What it is counted and told as: `policy` is a header, `left` the value of one, but for two numbers."""

    name: str
    quota: Quota
    policy: tuple[bytes, bytes]
    left: bytes

    @classmethod
    def of(cls, name: str, quota: Quota) -> "_Limit":
        policy = f'"{name}";q={quota.permits};w={quota.seconds}'.encode()
        return cls(name, quota, (b"ratelimit-policy", policy), f'"{name}";r=%d;t=%d'.encode())


class RateLimitMiddleware:
    """Stands before the authentication, so that guesses of keys count as well: by the address, as does the first use of
    a key that this process does not know yet. Tells in RateLimit-Policy and RateLimit what is left (IETF
    draft-ietf-httpapi-ratelimit-headers)."""

    def __init__(
        self,
        app: ASGIApp,
        limiter: Limiter,
        keys: Keys,
        addresses: ClientAddresses,
        quotas: Mapping[RouteClass, Quota],
        strangers: Quota,
    ) -> None:
        self._app = app
        self._limiter = limiter
        self._keys = keys
        self._addresses = addresses
        self._classes = RouteClasses()
        self._limits = {each: _Limit.of(each.value, quota) for each, quota in quotas.items()}
        self._strangers = _Limit.of(STRANGERS, strangers)

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        if scope["type"] != "http" or route_path(scope) in EXEMPT:
            return self._app(scope, receive, send)
        secret = secret_of(scope)
        caller = self._keys.recent(secret)
        # So that the authentication need not look once more.
        scope.setdefault("state", {})[RECENT] = caller
        key = self._keys.known(secret) if caller is None else caller.id
        if key is None:
            limit = self._strangers
            counted = f"{limit.name}:{self._addresses.of(scope)}"
        else:
            limit = self._limits[self._classes.of(scope)]
            counted = _counted(limit.name, key.int)
        decision = self._limiter.try_now(counted, limit.quota)
        if decision is None:
            return self._ask(counted, limit, scope, receive, send)
        return self._go_on(decision, limit, scope, receive, send)

    async def _ask(self, counted: str, limit: _Limit, scope: Scope, receive: Receive, send: Send) -> None:
        decision = await self._limiter.take(counted, limit.quota)
        await self._go_on(decision, limit, scope, receive, send)

    def _go_on(self, decision: Decision, limit: _Limit, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        left = limit.left % (decision.remaining, decision.reset_seconds)
        scope["state"][MORE_HEADERS] = limit.policy, (b"ratelimit", left)
        if decision.allowed:
            return self._app(scope, receive, send)
        text = f"No more than {limit.quota.permits} requests in {limit.quota.seconds} s are answered here."
        return problem_for(RateLimited(text, retry_after=decision.retry_after), scope)(scope, receive, send)


@lru_cache(maxsize=10_000)
def _counted(limit: str, key: int) -> str:
    """The id is written out once, and not with each request."""
    return f"{limit}:{key:032x}"
