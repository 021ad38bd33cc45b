"""What policies do, in the metrics and in the log."""

import logging

from warehouse import metrics
from warehouse.resilience import Circuit, CircuitBreakerState, Listener, Outcome, ResilienceError

log = logging.getLogger(__name__)


class Observer(Listener):
    """Of all policies of a process."""

    def __init__(self) -> None:
        self._attempts: dict[tuple[str, Outcome], metrics.Attempts] = {}

    def attempted(self, policy: str, outcome: Outcome, seconds: float) -> None:
        key = policy, outcome
        found = self._attempts.get(key)
        if found is None:
            found = self._attempts[key] = metrics.attempts_of(policy, outcome)
        counter, histogram = found
        counter.inc()
        histogram.observe(seconds)

    def retried(self, policy: str, attempt: int, seconds: float, error: Exception) -> None:
        metrics.policy_retries.labels(policy).inc()

    def rejected(self, policy: str, error: ResilienceError) -> None:
        metrics.policy_rejections.labels(policy, type(error).__name__).inc()

    def state_change(self, breaker: Circuit, old: CircuitBreakerState, new: CircuitBreakerState) -> None:
        metrics.policy_changes.labels(breaker.name, breaker.label).inc()
        metrics.policy_open.labels(breaker.name).set(new is not CircuitBreakerState.CLOSED)
        log.warning("policy.changed policy=%s state=%s", breaker.name, breaker.label)
