import logging
from collections.abc import Awaitable, Callable

import pytest
from prometheus_client import REGISTRY

from tests.resilience.world import Clock
from warehouse.observing import Observer
from warehouse.resilience import CircuitOpenError, Policy, RetryExhaustedError

NAME = "observed"


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def policy(clock: Clock) -> Policy:
    return Policy(NAME, listeners=[Observer()], monotonic=clock, fail_max=2, attempts=1, half_open_permits=1)


def count(metric: str, **labels: str) -> float:
    return REGISTRY.get_sample_value(f"warehouse_policy_{metric}", {"policy": NAME, **labels}) or 0.0


@pytest.fixture
def counted() -> Callable[..., float]:
    """What a metric has grown by since this was asked for first."""
    before: dict[str, float] = {}

    def grown(metric: str, **labels: str) -> float:
        key = f"{metric}{labels}"
        before.setdefault(key, count(metric, **labels))
        return count(metric, **labels) - before[key]

    return grown


async def work() -> str:
    return "done"


async def fail() -> None:
    raise OSError


async def failing(call: Callable[..., Awaitable[None]], error: type[Exception]) -> None:
    with pytest.raises(error):
        await call(fail)


async def test_attempts_are_counted_and_timed_by_their_outcome(policy: Policy, counted: Callable[..., float]) -> None:
    def counts() -> tuple[float, ...]:
        return (
            counted("attempts_total", outcome="success"),
            counted("attempts_total", outcome="failure"),
            counted("attempt_duration_seconds_count"),
        )

    assert counts() == (0, 0, 0)
    await policy.call(work)
    await policy.call(work)
    await failing(policy.call, OSError)
    assert counts() == (2, 1, 3)


async def test_a_change_of_the_state_is_counted_and_logged(
    policy: Policy, clock: Clock, counted: Callable[..., float], caplog: pytest.LogCaptureFixture
) -> None:
    states = ("open", "half_open", "closed")
    assert [counted("state_changes_total", state=state) for state in states] == [0, 0, 0]
    with caplog.at_level(logging.WARNING, "warehouse.observing"):
        await failing(policy.call, OSError)
        assert count("not_closed") == 0
        await failing(policy.call, OSError)
        assert count("not_closed") == 1
        clock.advance(30)
        await policy.call(work)
    assert count("not_closed") == 0
    assert [counted("state_changes_total", state=state) for state in states] == [1, 1, 1]
    assert caplog.messages == [f"policy.changed policy={NAME} state={state}" for state in states]


async def test_an_operators_orders_are_seen_as_what_they_are(policy: Policy, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, "warehouse.observing"):
        policy.circuit.force_open()
        assert count("not_closed") == 1
        policy.circuit.disable()
        assert count("not_closed") == 0
        policy.circuit.automate()
    assert [each.rpartition("=")[2] for each in caplog.messages] == ["forced_open", "disabled", "closed"]


async def test_a_call_that_is_refused_is_counted_as_no_attempt(policy: Policy, counted: Callable[..., float]) -> None:
    policy.circuit.force_open()
    counts = [("rejections_total", {"reason": "CircuitOpenError"}), ("attempts_total", {"outcome": "failure"})]
    assert [counted(metric, **labels) for metric, labels in counts] == [0, 0]
    await failing(policy.call, CircuitOpenError)
    assert [counted(metric, **labels) for metric, labels in counts] == [1, 0]


async def test_retries_are_counted(clock: Clock, counted: Callable[..., float]) -> None:
    async def at_once(_: float) -> None: ...

    policy = Policy(NAME, listeners=[Observer()], monotonic=clock, sleep=at_once, attempts=3)
    assert counted("retries_total") == 0
    await failing(policy.call, RetryExhaustedError)
    assert counted("retries_total") == 2
