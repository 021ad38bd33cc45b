"""Every call to what the service stands on goes by one of these policies; docs/operations.md says what each is for."""

import time
from collections.abc import Callable, Mapping, Sequence

from pydantic import ConfigDict, TypeAdapter, ValidationError, with_config
from typing_extensions import TypedDict

from warehouse.errors import NotFound, Unavailable
from warehouse.resilience import Listener, Policy, PolicyOptions, PolicySettings, Registry
from warehouse.storage.failures import is_lost, is_no_outage

STATEMENT_GRACE = 1.5
"""How many seconds longer a statement may take than it may wait for a lock. The database itself ends it a little
sooner, if it answers at all."""
HEAVY_SECONDS = 600.0
"""To wait for a statement that reads whole tables, where no request does."""
REDIS_SECONDS = 1.0
"""To wait for Redis where no request does."""
BLOB_SECONDS = 10.0
"""To wait for a few megabytes on their way to S3 or back."""


@with_config(ConfigDict(extra="forbid"))
class Overrides(TypedDict, total=False):
    """What an operator may set of a policy; `warehouse.resilience.PolicySettings` documents it."""

    timeout: float
    fail_max: int
    failure_rate: float
    minimum_calls: int
    open_seconds: float
    half_open_permits: int
    attempts: int
    backoff: float


def table(database_seconds: float, cache_seconds: float) -> Mapping[str, PolicyOptions]:
    """What each policy is like. The seconds are those to wait for a lock of the database's, and for the cache.

    Transactions are not retried here: they are replayed as a whole (`warehouse.unit_of_work`).
    """
    statement: PolicyOptions = {
        "timeout": database_seconds + STATEMENT_GRACE,
        "fail_max": 3,
        "least_seconds": 1.0,
        "open_seconds": 1.0,
        "half_open_permits": 3,
        "exclude_exceptions": is_no_outage,
    }
    once: PolicyOptions = {"attempts": 1, "open_seconds": 0.5, "half_open_permits": 1}
    return {
        "database_reads": {**statement, "attempts": 3, "backoff": 0.02, "retry_on": is_lost},
        "database_writes": {**statement, "attempts": 1},
        "database_heavy": {**statement, "timeout": HEAVY_SECONDS + STATEMENT_GRACE, "attempts": 1},
        "database_watch": {**once, "timeout": 1.0, "fail_max": 3},
        # A read goes on without the cache, so the first failure is enough to leave it alone for a moment.
        "cache": {**once, "timeout": cache_seconds, "fail_max": 1},
        # A release that is refused switches the cache off for everybody: all that can be on their way may try.
        "cache_releases": {**once, "timeout": cache_seconds, "fail_max": 3, "half_open_permits": 32},
        "queue": {**once, "timeout": REDIS_SECONDS, "fail_max": 3},
        "rate_limit": {**once, "timeout": 0.1, "fail_max": 1},
        # Whoever has waited for so long has no time for a second attempt.
        "blobs": {
            "timeout": BLOB_SECONDS,
            "fail_max": 3,
            "least_seconds": 1.0,
            "open_seconds": 1.0,
            "half_open_permits": 3,
            "exclude_exceptions": NotFound,
            "attempts": 3,
            "backoff": 0.2,
            "retry_on": Unavailable,
        },
    }


class Policies:
    """Those of one process. Raises `ValueError` where an override makes no sense."""

    def __init__(
        self,
        database_seconds: float = 5.0,
        cache_seconds: float = 0.5,
        *,
        overrides: Mapping[str, Overrides] | None = None,
        listeners: Sequence[Listener] = (),
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self.registry = Registry()
        given = overrides or {}
        made = {
            name: Policy(
                name,
                registry=self.registry,
                listeners=listeners,
                monotonic=monotonic,
                **_with(options, given.get(name)),
            )
            for name, options in table(database_seconds, cache_seconds).items()
        }
        self.database_reads = made["database_reads"]
        self.database_writes = made["database_writes"]
        self.database_heavy = made["database_heavy"]
        self.database_watch = made["database_watch"]
        self.cache = made["cache"]
        self.cache_releases = made["cache_releases"]
        self.queue = made["queue"]
        self.rate_limit = made["rate_limit"]
        self.blobs = made["blobs"]


def parse_overrides(name: str, text: str) -> Overrides:
    """Of one policy, as JSON; empty for none. Raises `ValueError` for what cannot be read or makes no sense."""
    if not text:
        return {}
    try:
        overrides = _OVERRIDES.validate_json(text)
    except ValidationError as error:
        [fault, *_] = error.errors()
        raise ValueError(f"{'.'.join(map(str, fault['loc'])) or 'JSON'}: {fault['msg']}") from None
    PolicySettings(**_with(table(5.0, 0.5)[name], overrides))
    return overrides


_OVERRIDES = TypeAdapter(Overrides)


def _with(options: PolicyOptions, overrides: Overrides | None) -> PolicyOptions:
    changed: PolicyOptions = {**options, **(overrides or {})}
    # Somebody who wants a shorter time-out wants it to count.
    if "least_seconds" in changed:
        changed["least_seconds"] = min(changed["least_seconds"], changed["timeout"])
    return changed
