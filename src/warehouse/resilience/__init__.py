"""Calls to what can fail: deadline, bulkhead, circuit breaker, retry and time-out. docs/resilience.md has examples.

It knows nothing of the service around it, and can be used alone.
"""

from warehouse.resilience.circuit import Circuit, Mode
from warehouse.resilience.deadlines import deadline, detached, remaining
from warehouse.resilience.errors import (
    BulkheadFullError,
    CircuitOpenError,
    DeadlineExceeded,
    GaveUp,
    ResilienceError,
    RetryExhaustedError,
)
from warehouse.resilience.listening import Listener, Outcome
from warehouse.resilience.names import CircuitBreakerError, CircuitBreakerListener, CircuitBreakerState
from warehouse.resilience.policy import Policy, resilient_call
from warehouse.resilience.registry import Registry, Snapshot
from warehouse.resilience.settings import ErrorFilter, PolicyOptions, PolicySettings

__all__ = [
    "BulkheadFullError",
    "Circuit",
    "CircuitBreakerError",
    "CircuitBreakerListener",
    "CircuitBreakerState",
    "CircuitOpenError",
    "DeadlineExceeded",
    "ErrorFilter",
    "GaveUp",
    "Listener",
    "Mode",
    "Outcome",
    "Policy",
    "PolicyOptions",
    "PolicySettings",
    "Registry",
    "ResilienceError",
    "RetryExhaustedError",
    "Snapshot",
    "deadline",
    "detached",
    "remaining",
    "resilient_call",
]
