"""The stages together."""

import asyncio
import inspect
import pickle
from collections import Counter
from collections.abc import AsyncIterator, Callable
from functools import partial
from typing import Any
from unittest.mock import AsyncMock

import pytest

from tests.resilience.world import Dependency, Diary, a_policy, in_virtual_time
from warehouse.resilience import (
    BulkheadFullError,
    CircuitBreakerError,
    CircuitBreakerState,
    CircuitOpenError,
    DeadlineExceeded,
    GaveUp,
    Outcome,
    Policy,
    PolicyOptions,
    ResilienceError,
    RetryExhaustedError,
    remaining,
    resilient_call,
)


class NotThere(Exception):
    """An error of the business."""


class Down(Exception):
    pass


async def plain() -> str:
    return "done"


@in_virtual_time
async def test_a_result_comes_through_with_its_arguments() -> None:
    async def add(a: int, *, b: int) -> int:
        return a + b

    assert await a_policy().call(add, 1, b=2) == 3
    assert await a_policy().protects(add)(1, b=2) == 3
    assert await resilient_call()(add)(1, b=2) == 3


@in_virtual_time
async def test_keywords_of_the_function_are_its_own() -> None:
    async def take(**given: Any) -> dict[str, Any]:
        return given

    assert await a_policy().call(take, fn=1, self=2) == {"fn": 1, "self": 2}
    assert await a_policy().protects(take)(fn=1, self=2, args=3) == {"fn": 1, "self": 2, "args": 3}


@in_virtual_time
async def test_a_function_stays_what_it_was() -> None:
    @resilient_call()
    async def fetch(key: str) -> str:
        """Says what it does."""
        return key

    assert (fetch.__name__, fetch.__doc__) == ("fetch", "Says what it does.")
    assert inspect.iscoroutinefunction(fetch)


@in_virtual_time
async def test_methods_can_be_decorated() -> None:
    class Client:
        def __init__(self, name: str) -> None:
            self.name = name

        @resilient_call()
        async def fetch(self, key: str) -> str:
            return self.name + key

    assert await Client("a").fetch("b") == "ab"


class Callee:
    async def __call__(self, number: int) -> int:
        return number


@pytest.mark.parametrize(
    "fn", [Callee(), Callee().__call__, partial(Callee(), 1), partial(plain), AsyncMock(return_value=1)]
)
def test_whatever_makes_a_coroutine_can_be_called(fn: Any) -> None:
    Policy("dependency").protects(fn)


def sync() -> None: ...


def makes_a_coroutine() -> Any:
    return plain()


async def generates() -> AsyncIterator[int]:
    yield 1


class Sync:
    def __call__(self) -> None: ...


@pytest.mark.parametrize(
    "fn",
    [sync, makes_a_coroutine, lambda: plain(), generates, Sync(), Callee, partial(sync), staticmethod(plain), 5, None],
    ids=["sync", "coroutine-maker", "lambda", "generator", "object", "class", "partial", "static", "number", "none"],
)
def test_what_makes_no_coroutine_is_refused_at_decoration(fn: Any) -> None:
    for decorate in (resilient_call(), Policy("dependency").protects):
        with pytest.raises(TypeError, match="is no coroutine function"):
            decorate(fn)


@in_virtual_time
async def test_what_makes_no_coroutine_is_refused_before_it_is_called() -> None:
    called: list[int] = []
    with pytest.raises(TypeError, match="is no coroutine function"):
        await a_policy().call(called.append, 1)  # type: ignore[arg-type]
    assert not called


def test_a_fallback_must_be_a_coroutine_function_too() -> None:
    with pytest.raises(TypeError, match="is no coroutine function"):
        Policy("dependency", fallback=lambda error: error)  # type: ignore[arg-type, return-value]


# Retry


@in_virtual_time
async def test_what_fails_is_tried_again() -> None:
    dependency = Dependency(Down(), Down(), "done")
    assert await a_policy().call(dependency) == "done"
    assert dependency.calls == 3


@pytest.mark.parametrize("attempts", [2, 3, 5])
@in_virtual_time
async def test_out_of_attempts_it_says_how_many_and_why(attempts: int) -> None:
    errors = [Down(str(number)) for number in range(attempts)]
    with pytest.raises(RetryExhaustedError) as given_up:
        await a_policy(attempts=attempts).call(Dependency(*errors))
    assert (given_up.value.attempts, given_up.value.reason) == (attempts, GaveUp.ATTEMPTS)
    assert given_up.value.__cause__ is errors[-1]


@in_virtual_time
async def test_with_one_attempt_nothing_is_retried_and_errors_are_passed_on() -> None:
    error = Down()
    with pytest.raises(Down) as raised:
        await a_policy(attempts=1).call(Dependency(error))
    assert raised.value is error


@pytest.mark.parametrize(
    ("options", "waits"),
    [
        ({"attempts": 6}, [0.1, 0.2, 0.4, 0.8, 1.6]),
        ({"attempts": 6, "backoff": 1.0, "max_backoff": 3.0}, [1, 2, 3, 3, 3]),
        ({"attempts": 6, "backoff": 0.0}, [0, 0, 0, 0, 0]),
    ],
)
@in_virtual_time
async def test_waits_double_up_to_the_longest(options: PolicyOptions, waits: list[float]) -> None:
    diary = Diary()
    with pytest.raises(RetryExhaustedError):
        await a_policy(diary, **options).call(Dependency(Down()))
    assert [seconds for _, _, seconds, _ in diary.retries] == pytest.approx(waits)


@pytest.mark.parametrize(
    ("jitter", "chance", "waits"),
    [(1.0, 0.0, [1, 2]), (1.0, 0.75, [0.25, 0.5]), (0.5, 0.5, [0.75, 1.5]), (0.0, 0.9, [1, 2])],
)
@in_virtual_time
async def test_chance_shortens_waits_as_far_as_jitter_lets_it(jitter: float, chance: float, waits: list[float]) -> None:
    slept: list[float] = []

    async def sleep(seconds: float) -> None:
        slept.append(seconds)

    policy = Policy("dependency", sleep=sleep, chance=lambda: chance, jitter=jitter, backoff=1.0)
    with pytest.raises(RetryExhaustedError):
        await policy.call(Dependency(Down()))
    assert slept == pytest.approx(waits)


@in_virtual_time
async def test_attempts_are_made_at_the_times_that_the_waits_say() -> None:
    dependency = Dependency(Down())
    with pytest.raises(RetryExhaustedError):
        await a_policy(attempts=4, backoff=1.0).call(dependency)
    assert dependency.times == pytest.approx([0, 1, 3, 7])


@pytest.mark.parametrize(
    "retry_on", [Down, (OSError, Down), lambda error: isinstance(error, Down)], ids=["type", "types", "predicate"]
)
@in_virtual_time
async def test_only_what_it_is_told_is_retried(retry_on: Any) -> None:
    policy, dependency = a_policy(retry_on=retry_on), Dependency(Down(), KeyError())
    with pytest.raises(KeyError):
        await policy.call(dependency)
    assert dependency.calls == 2
    assert policy.snapshot().failures == 1


@in_virtual_time
async def test_the_budget_ends_what_attempts_would_allow() -> None:
    diary, dependency = Diary(), Dependency(Down())
    policy = a_policy(diary, budget_floor=2, budget_ratio=0.0, fail_max=99, attempts=2, failure_rate=1.0)
    reasons = []
    for _ in range(4):
        with pytest.raises(RetryExhaustedError) as given_up:
            await policy.call(dependency)
        reasons.append((given_up.value.reason, given_up.value.attempts))
    assert reasons == [(GaveUp.ATTEMPTS, 2)] * 2 + [(GaveUp.BUDGET, 1)] * 2
    assert (policy.snapshot().retries_left, len(diary.retries)) == (0, 2)


@pytest.mark.parametrize("callers", [1, 10, 500])
@in_virtual_time
async def test_in_a_total_outage_attempts_are_six_fifths_of_calls_and_the_floor(callers: int) -> None:
    """With the circuit out of the way: the budget alone has to see to it."""
    policy, dependency = a_policy(attempts=5, budget_floor=10), Dependency(Down())
    policy.circuit.disable()

    async def call() -> None:
        for _ in range(1_000 // callers):
            with pytest.raises(RetryExhaustedError):
                await policy.call(dependency)

    await asyncio.gather(*(call() for _ in range(callers)))
    assert 1_200 <= dependency.calls <= 1.2 * 1_000 + 10


@in_virtual_time
async def test_in_a_total_outage_the_circuit_leaves_few_calls() -> None:
    policy, dependency = a_policy(open_seconds=30.0), Dependency(Down())
    for _ in range(1_000):
        with pytest.raises(ResilienceError):
            await policy.call(dependency)
        await asyncio.sleep(0.1)
    assert 5 * 3 <= dependency.calls <= 40


@in_virtual_time
async def test_tenacity_is_not_entered_while_all_is_well(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("warehouse.resilience.retrying.AsyncRetrying", None)
    await a_policy().call(plain)
    with pytest.raises(NotThere):
        await a_policy(exclude_exceptions=NotThere).call(Dependency(NotThere()))


# Circuit


async def fails(policy: Policy, times: int) -> None:
    for _ in range(times):
        with pytest.raises((Down, RetryExhaustedError)):
            await policy.call(Dependency(Down()))


@in_virtual_time
async def test_a_call_is_one_result_however_many_attempts_it_took() -> None:
    policy = a_policy(fail_max=3, attempts=3)
    await policy.call(Dependency(Down(), Down(), "done"))
    assert (policy.snapshot().calls, policy.snapshot().failures) == (1, 0)
    await fails(policy, 2)
    assert (policy.snapshot().state, policy.snapshot().consecutive_failures) == ("closed", 2)
    await fails(policy, 1)
    assert policy.snapshot().state == "open"


@in_virtual_time
async def test_the_failure_that_opens_it_is_passed_on_itself() -> None:
    with pytest.raises(Down):
        await a_policy(fail_max=1, attempts=1).call(Dependency(Down()))


@in_virtual_time
async def test_open_it_makes_no_attempt_and_no_retry() -> None:
    diary = Diary()
    policy, dependency = a_policy(diary, fail_max=1, attempts=1, open_seconds=30.0), Dependency("done")
    await fails(policy, 1)
    await asyncio.sleep(10)
    with pytest.raises(CircuitOpenError) as refused:
        await policy.call(dependency)
    assert (dependency.calls, refused.value.retry_after) == (0, 20)
    assert diary.rejections == [("dependency", refused.value)]


@in_virtual_time
async def test_an_inner_circuit_that_is_open_is_not_retried() -> None:
    inner, outer = a_policy(), a_policy(retry_on=CircuitOpenError)
    inner.circuit.force_open()
    dependency = Dependency("done")
    tried = []

    async def work() -> Any:
        tried.append(1)
        return await inner.call(dependency)

    with pytest.raises(CircuitOpenError):
        await outer.call(work)
    assert len(tried) == 1
    assert outer.snapshot().failures == 1


@in_virtual_time
async def test_a_circuit_that_opens_before_a_retry_ends_it() -> None:
    policy, dependency = a_policy(fail_max=1), Dependency(Down())

    async def fail_late() -> None:
        policy.circuit.force_open()
        await dependency()

    with pytest.raises(RetryExhaustedError) as given_up:
        await policy.call(fail_late)
    assert (given_up.value.reason, given_up.value.attempts) == (GaveUp.CIRCUIT, 1)
    assert policy.snapshot().retries_left == 10


@in_virtual_time
async def test_a_circuit_that_opens_during_the_wait_ends_the_retry() -> None:
    policy, dependency = a_policy(backoff=1.0), Dependency(Down("first"))
    asyncio.get_running_loop().call_later(0.5, policy.circuit.force_open)
    with pytest.raises(RetryExhaustedError) as given_up:
        await policy.call(dependency)
    assert (given_up.value.reason, dependency.calls) == (GaveUp.CIRCUIT, 1)
    assert str(given_up.value.__cause__) == "first"


@in_virtual_time
async def test_a_probe_is_a_single_attempt() -> None:
    policy, dependency = a_policy(fail_max=1, attempts=3, open_seconds=30.0), Dependency(Down())
    await fails(policy, 1)
    await asyncio.sleep(30)
    with pytest.raises(RetryExhaustedError) as given_up:
        await policy.call(dependency)
    assert (given_up.value.reason, dependency.calls) == (GaveUp.CIRCUIT, 1)
    assert policy.snapshot().state == "open"


@pytest.mark.parametrize("permits", [1, 10])
@in_virtual_time
async def test_of_a_thousand_concurrent_callers_half_open_admits_its_permits(permits: int) -> None:
    policy, dependency = a_policy(half_open_permits=permits, fail_max=1, attempts=1), Dependency(1.0)
    await fails(policy, 1)
    await asyncio.sleep(30)
    results = await asyncio.gather(*(policy.call(dependency) for _ in range(1_000)), return_exceptions=True)
    assert Counter(map(type, results)) == {float: permits, CircuitOpenError: 1_000 - permits}
    assert dependency.most_running == permits
    assert policy.snapshot().state == "closed"


@in_virtual_time
async def test_of_a_thousand_that_come_and_are_cancelled_half_open_never_admits_more() -> None:
    policy, dependency = a_policy(half_open_permits=10, fail_max=1, attempts=1, timeout=60.0), Dependency(50.0)
    await fails(policy, 1)
    await asyncio.sleep(30)
    for _ in range(10):
        calls = [asyncio.create_task(policy.call(dependency)) for _ in range(100)]
        await asyncio.sleep(1)
        for call in calls:
            call.cancel()
        await asyncio.gather(*calls, return_exceptions=True)
        assert dependency.running == 0
    assert (dependency.most_running, dependency.calls, policy.snapshot().state) == (10, 100, "half_open")


@in_virtual_time
async def test_a_late_failure_does_not_open_the_circuit_that_has_recovered() -> None:
    policy, late = a_policy(fail_max=1, attempts=1, half_open_permits=1, timeout=60.0), asyncio.Event()

    async def fail_late() -> None:
        await late.wait()
        raise Down

    call = asyncio.create_task(policy.call(fail_late))
    await asyncio.sleep(1)
    await fails(policy, 1)
    await asyncio.sleep(30)
    await policy.call(plain)
    late.set()
    with pytest.raises(Down):
        await call
    assert policy.snapshot().state == "closed"


@in_virtual_time
async def test_time_outs_open_it() -> None:
    policy = a_policy(fail_max=2, attempts=1)
    for _ in range(2):
        with pytest.raises(TimeoutError):
            await policy.call(Dependency(60.0))
    assert policy.snapshot().state == "open"


@in_virtual_time
async def test_a_call_is_as_slow_as_its_slowest_attempt_and_waits_do_not_count() -> None:
    policy = a_policy(slow_seconds=1.0, backoff=2.0)
    await policy.call(Dependency(Down(), "done"))
    assert policy.snapshot().slow == 0
    await policy.call(Dependency(1.5))
    assert policy.snapshot().slow == 1


# Errors of the business


@pytest.mark.parametrize(
    "excluded",
    [NotThere, (KeyError, NotThere), lambda error: isinstance(error, NotThere)],
    ids=["type", "types", "predicate"],
)
@in_virtual_time
async def test_errors_of_the_business_are_passed_on_and_never_count(excluded: Any) -> None:
    policy, error = a_policy(fail_max=1, minimum_calls=1, exclude_exceptions=excluded), NotThere()
    dependency = Dependency(error)
    for _ in range(100):
        with pytest.raises(NotThere) as raised:
            await policy.call(dependency)
        assert raised.value is error
    assert dependency.calls == 100
    assert (policy.snapshot().state, policy.snapshot().calls) == ("closed", 0)


@in_virtual_time
async def test_errors_of_the_business_do_not_hide_failures() -> None:
    """aiobreaker takes them for successes: a failure after each, and it never opens."""
    policy = a_policy(fail_max=5, attempts=1, exclude_exceptions=NotThere)
    for _ in range(5):
        await fails(policy, 1)
        with pytest.raises((NotThere, CircuitOpenError)):
            await policy.call(Dependency(NotThere()))
    assert policy.snapshot().state == "open"


@in_virtual_time
async def test_errors_of_the_business_neither_close_nor_open_it_when_half_open() -> None:
    policy = a_policy(fail_max=1, attempts=1, half_open_permits=1, exclude_exceptions=NotThere)
    await fails(policy, 1)
    await asyncio.sleep(30)
    for _ in range(5):
        with pytest.raises(NotThere):
            await policy.call(Dependency(NotThere()))
        assert policy.snapshot().state == "half_open"
    await policy.call(plain)
    assert policy.snapshot().state == "closed"


@in_virtual_time
async def test_an_error_of_the_business_ends_the_retries() -> None:
    policy, dependency = a_policy(exclude_exceptions=NotThere), Dependency(Down(), NotThere())
    with pytest.raises(NotThere):
        await policy.call(dependency)
    assert (dependency.calls, policy.snapshot().failures) == (2, 0)


@in_virtual_time
async def test_a_filter_that_takes_everything_for_business_hides_no_time_out() -> None:
    policy = a_policy(fail_max=2, exclude_exceptions=Exception, attempts=2)
    for _ in range(2):
        with pytest.raises(RetryExhaustedError):
            await policy.call(Dependency(60.0))
    assert policy.snapshot().state == "open"


@in_virtual_time
async def test_a_predicate_judges_what_the_dependency_raised_and_not_what_became_of_it() -> None:
    policy = a_policy(fail_max=1, exclude_exceptions=lambda error: not isinstance(error, Down))
    await fails(policy, 1)
    assert policy.snapshot().state == "open"


def broken(error: Exception) -> bool:
    raise ZeroDivisionError


@pytest.mark.parametrize("options", [{"exclude_exceptions": broken}, {"retry_on": broken}])
@in_virtual_time
async def test_a_predicate_that_fails_leaves_nothing_behind(options: PolicyOptions) -> None:
    policy = a_policy(**options)
    with pytest.raises(ZeroDivisionError):
        await policy.call(Dependency(Down()))
    assert policy.snapshot().in_flight == 0
    assert await policy.call(plain) == "done"


@in_virtual_time
async def test_an_error_that_could_not_be_judged_is_not_retried() -> None:
    def picky(error: Exception) -> bool:
        return {"first": False}[str(error)]

    policy, dependency = a_policy(exclude_exceptions=picky), Dependency(Down("first"), Down("second"))
    with pytest.raises(KeyError):
        await policy.call(dependency)
    assert dependency.calls == 2


# Fallback


async def as_text(error: Exception) -> str:
    return type(error).__name__


def busy(policy: Policy) -> None:
    policy._bulkhead.enter()


def forced_open(policy: Policy) -> None:
    policy.circuit.force_open()


@pytest.mark.parametrize(
    ("line", "before", "result"),
    [
        ("done", None, "done"),
        (Down(), None, "RetryExhaustedError"),
        (60.0, None, "DeadlineExceeded"),
        (ValueError(), None, "ValueError"),
        ("done", busy, "BulkheadFullError"),
        ("done", forced_open, "CircuitOpenError"),
    ],
    ids=["none", "retries", "deadline", "error", "bulkhead", "circuit"],
)
@in_virtual_time
async def test_the_fallback_answers_for_whatever_went_wrong(
    line: Any, before: Callable[[Policy], None] | None, result: str
) -> None:
    loop = asyncio.get_running_loop()
    policy = Policy(
        "dependency",
        fallback=as_text,
        monotonic=loop.time,
        retry_on=Down,
        deadline=5.0,
        max_in_flight=1,
    )
    if before is not None:
        before(policy)
    assert await policy.call(Dependency(line)) == result


@in_virtual_time
async def test_the_fallback_is_not_for_errors_of_the_business_nor_for_cancellation() -> None:
    policy = Policy("dependency", fallback=as_text, exclude_exceptions=NotThere, timeout=60.0)
    with pytest.raises(NotThere):
        await policy.call(Dependency(NotThere()))
    call = asyncio.create_task(policy.call(Dependency(50.0)))
    asyncio.get_running_loop().call_later(1, call.cancel)
    with pytest.raises(asyncio.CancelledError):
        await call


@in_virtual_time
async def test_what_fell_back_has_failed_all_the_same() -> None:
    policy = Policy("dependency", fallback=as_text, fail_max=2, attempts=1)
    assert [await policy.call(Dependency(Down())) for _ in range(3)] == ["Down", "Down", "CircuitOpenError"]


@in_virtual_time
async def test_a_fallback_that_fails_says_so() -> None:
    async def broken(error: Exception) -> None:
        raise KeyError("nothing kept") from error

    with pytest.raises(KeyError) as raised:
        await Policy("dependency", fallback=broken, attempts=1).call(Dependency(Down()))
    assert isinstance(raised.value.__cause__, Down)


@in_virtual_time
async def test_the_fallback_takes_no_place_and_has_no_deadline_of_the_call() -> None:
    seen = []

    async def look(error: Exception) -> None:
        seen.append((remaining(), policy.snapshot().in_flight))

    policy = Policy("dependency", fallback=look, deadline=9.0, attempts=1)
    await policy.call(Dependency(Down()))
    assert seen == [(None, 0)]


# Errors


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (CircuitOpenError("rates", 12.345), "rates: the circuit is open, try again in 12.3 s"),
        (BulkheadFullError("rates"), "rates: too many calls at once"),
        (DeadlineExceeded("rates"), "rates: the deadline has passed"),
        (RetryExhaustedError("rates", 3, GaveUp.BUDGET), "rates: gave up after 3 attempt(s), limited by budget"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_errors_say_what_happened_and_can_be_sent(error: ResilienceError, text: str) -> None:
    sent = pickle.loads(pickle.dumps(error))  # noqa: S301 (it was made here)
    assert (type(sent), vars(sent)) == (type(error), vars(error))
    assert str(sent) == text


def test_an_open_circuit_is_what_aiobreaker_calls_it() -> None:
    error = CircuitOpenError("rates", 12.0)
    assert isinstance(error, CircuitBreakerError)
    assert error.time_remaining.total_seconds() == 12


# Listeners


@in_virtual_time
async def test_listeners_hear_of_attempts_with_their_time_and_of_retries() -> None:
    diary, error = Diary(), Down()
    policy = a_policy(diary, backoff=1.0, timeout=2.0, exclude_exceptions=NotThere)

    async def work() -> None:
        await asyncio.sleep(0.5)
        await dependency()

    dependency = Dependency(error, 60.0, NotThere())
    with pytest.raises(NotThere):
        await policy.call(work)
    assert diary.attempts == [
        ("dependency", Outcome.FAILURE, 0.5),
        ("dependency", Outcome.TIMEOUT, 2.0),
        ("dependency", Outcome.EXCLUDED, 0.5),
    ]
    assert [(attempt, seconds) for _, attempt, seconds, _ in diary.retries] == [(1, 1.0), (2, 2.0)]
    assert diary.retries[0][3] is error


@in_virtual_time
async def test_listeners_hear_what_aiobreaker_tells_them() -> None:
    diary = Diary()

    async def fetch(key: str, *, fresh: bool) -> str:
        return key

    policy = a_policy(diary)
    await policy.call(fetch, "key", fresh=True)
    await fails(policy, 1)
    assert diary.calls == [("before", ("key",), {"fresh": True}), "success", ("before", (), {}), RetryExhaustedError]


@in_virtual_time
async def test_a_listener_that_fails_changes_nothing(caplog: pytest.LogCaptureFixture) -> None:
    class Broken(Diary):
        def attempted(self, policy: str, outcome: Outcome, seconds: float) -> None:
            raise ZeroDivisionError

    diary = Diary()
    assert await a_policy(Broken(), diary).call(plain) == "done"
    assert diary.outcomes == [Outcome.SUCCESS]
    assert "resilience.listener_failed listener=Broken" in caplog.text


@in_virtual_time
async def test_each_rejection_is_told_once() -> None:
    diary = Diary()
    inner, outer = a_policy(diary), a_policy()
    inner.circuit.force_open()
    with pytest.raises(CircuitOpenError):
        await outer.call(inner.protects(plain))
    assert len(diary.rejections) == 1
    assert inner.circuit.state is CircuitBreakerState.OPEN
