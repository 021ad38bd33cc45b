"""How a policy is set up, and what makes no sense."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypedDict

ErrorFilter = type[Exception] | tuple[type[Exception], ...] | Callable[[Exception], bool]
"""Types of errors, or what says of an error whether it is meant."""


class PolicyOptions(TypedDict, total=False):
    """`PolicySettings`, as keywords."""

    fail_max: int
    timeout: float
    least_seconds: float
    backoff: float
    exclude_exceptions: ErrorFilter
    deadline: float | None
    max_in_flight: int | None
    max_queued: int
    window: int
    minimum_calls: int
    failure_rate: float
    slow_seconds: float | None
    slow_rate: float
    open_seconds: float
    half_open_permits: int
    attempts: int
    max_backoff: float
    jitter: float
    budget_ratio: float
    budget_floor: int
    retry_on: ErrorFilter


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicySettings:
    """All times are in seconds, all rates from 0 to 1. Raises a `ValueError` that names a setting without sense."""

    fail_max: int = 5
    """So many failures in a row open the circuit."""
    timeout: float = 5.0
    """For one attempt."""
    least_seconds: float = 0.0
    """An attempt that a deadline cut off sooner counts as nothing: it says more of its caller than of what failed."""
    backoff: float = 0.1
    """The longest first wait before a retry; each further one may be twice as long, up to `max_backoff`."""
    exclude_exceptions: ErrorFilter = ()
    """Errors of the business: never failures, never retried, and passed on unchanged."""
    deadline: float | None = None
    """For the whole call with all its waiting. The deadline of whoever calls holds as well."""
    max_in_flight: int | None = None
    """So many calls at once; without it there is no bulkhead."""
    max_queued: int = 0
    """So many more may wait for their turn."""
    window: int = 100
    """So many last calls make the rates."""
    minimum_calls: int = 20
    """With fewer calls in the window there are no rates."""
    failure_rate: float = 0.5
    """This share of failures opens the circuit."""
    slow_seconds: float | None = None
    """An attempt that takes longer makes its call a slow one; without it none is."""
    slow_rate: float = 0.5
    """This share of slow calls opens the circuit."""
    open_seconds: float = 30.0
    """After so long an open circuit lets calls through to see how things are."""
    half_open_permits: int = 10
    """So many of these, whose results decide."""
    attempts: int = 3
    """At the most, the first included. With 1 nothing is retried."""
    max_backoff: float = 5.0
    jitter: float = 1.0
    """The share of each wait that is left to chance: 1 is full jitter, 0 none."""
    budget_ratio: float = 0.2
    """Retries per call, over all calls of the policy."""
    budget_floor: int = 10
    """So many retries on top of that."""
    retry_on: ErrorFilter = Exception

    def __post_init__(self) -> None:
        self._check_counts()
        self._check_shares()
        self._check_times()
        for setting in ("exclude_exceptions", "retry_on"):
            _demand(_is_filter(getattr(self, setting)), setting, "must be types of errors or a predicate")

    def _check_counts(self) -> None:
        for setting in ("fail_max", "window", "minimum_calls", "half_open_permits", "attempts"):
            _demand(getattr(self, setting) >= 1, setting, "must be at least 1")
        for setting in ("max_queued", "budget_floor"):
            _demand(getattr(self, setting) >= 0, setting, "must not be negative")
        _demand(self.max_in_flight is None or self.max_in_flight >= 1, "max_in_flight", "must be at least 1")
        _demand(self.minimum_calls <= self.window, "minimum_calls", "must not be above window")
        _demand(
            self.max_in_flight is not None or not self.max_queued, "max_queued", "means nothing without max_in_flight"
        )

    def _check_shares(self) -> None:
        for setting in ("failure_rate", "slow_rate"):
            _demand(0 < getattr(self, setting) <= 1, setting, "must be above 0 and at most 1")
        for setting in ("jitter", "budget_ratio"):
            _demand(0 <= getattr(self, setting) <= 1, setting, "must be from 0 to 1")

    def _check_times(self) -> None:
        for setting in ("timeout", "open_seconds", "deadline", "slow_seconds"):
            seconds = getattr(self, setting)
            _demand(seconds is None or 0 < seconds < math.inf, setting, "must be above 0 and finite")
        for setting in ("backoff", "max_backoff", "least_seconds"):
            _demand(0 <= getattr(self, setting) < math.inf, setting, "must be finite and not negative")
        _demand(self.least_seconds <= self.timeout, "least_seconds", "must not be above timeout")
        _demand(self.backoff <= self.max_backoff, "backoff", "must not be above max_backoff")
        _demand(self.deadline is None or self.timeout <= self.deadline, "timeout", "must not be above deadline")
        _demand(self.slow_seconds is None or self.slow_seconds < self.timeout, "slow_seconds", "must be below timeout")


def predicate(errors: ErrorFilter) -> Callable[[Exception], bool]:
    """Whether an error is meant by the filter."""
    if isinstance(errors, type | tuple):
        return lambda error: isinstance(error, errors)
    return errors


def _is_filter(errors: Any) -> bool:
    types = errors if isinstance(errors, tuple) else (errors,)
    if any(isinstance(each, type) for each in types):
        return all(isinstance(each, type) and issubclass(each, Exception) for each in types)
    return types == () or callable(errors)


def _demand(holds: bool, setting: str, rule: str) -> None:
    if not holds:
        raise ValueError(f"{setting} {rule}")
