"""What a policy raises of its own. None of these is ever retried, by whatever policy."""

from datetime import timedelta
from enum import StrEnum

from warehouse.resilience.names import CircuitBreakerError


class ResilienceError(Exception):
    """`policy` is the name of the policy that raised it."""

    policy: str


class CircuitOpenError(ResilienceError, CircuitBreakerError):
    """No attempt was made. `retry_after`: seconds, always above 0, after which another call may be let through."""

    def __init__(self, policy: str, retry_after: float) -> None:
        Exception.__init__(self, policy, retry_after)
        self.policy = policy
        self.retry_after = retry_after

    @property
    def time_remaining(self) -> timedelta:
        """As aiobreaker calls it, but as of when this was raised, and not by the wall clock."""
        return timedelta(seconds=self.retry_after)

    def __str__(self) -> str:
        return f"{self.policy}: the circuit is open, try again in {self.retry_after:.3g} s"


class BulkheadFullError(ResilienceError):
    """No attempt was made: as many calls as may be are in flight, and as many as may be wait."""

    def __init__(self, policy: str) -> None:
        super().__init__(policy)
        self.policy = policy

    def __str__(self) -> str:
        return f"{self.policy}: too many calls at once"


class DeadlineExceeded(ResilienceError, TimeoutError):
    """The time for the whole call is over, be it the policy's own or one that came with the caller."""

    def __init__(self, policy: str) -> None:
        super().__init__(policy)
        self.policy = policy

    def __str__(self) -> str:
        return f"{self.policy}: the deadline has passed"


class GaveUp(StrEnum):
    """Why no attempt follows a failed one."""

    ATTEMPTS = "attempts"
    BUDGET = "budget"
    CIRCUIT = "circuit"
    DEADLINE = "deadline"


class RetryExhaustedError(ResilienceError):
    """No attempt follows though the last error, which is the `__cause__`, could be retried. `attempts` were made."""

    def __init__(self, policy: str, attempts: int, reason: GaveUp) -> None:
        super().__init__(policy, attempts, reason)
        self.policy = policy
        self.attempts = attempts
        self.reason = reason

    def __str__(self) -> str:
        return f"{self.policy}: gave up after {self.attempts} attempt(s), limited by {self.reason}"
