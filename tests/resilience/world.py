"""A clock to be set, a loop whose time passes by itself, and a dependency that does as it is told."""

import asyncio
from collections.abc import Callable, Coroutine, Iterator, Sequence
from contextlib import closing
from functools import wraps
from typing import Any, ParamSpec, Unpack

from tests.cache_schedules.loop import Chances, SeededLoop, run
from warehouse.resilience import (
    Circuit,
    CircuitBreakerState,
    Listener,
    Outcome,
    Policy,
    PolicyOptions,
    PolicySettings,
    ResilienceError,
)
from warehouse.resilience.listening import Listeners

P = ParamSpec("P")


class Clock:
    """Stands still until it is told to pass."""

    def __init__(self) -> None:
        self.now = 1_000.0

    def __call__(self) -> float:
        return self.now

    def advance(self, seconds: float) -> None:
        self.now += seconds


class Diary(Listener):
    """Writes down everything that it is told."""

    def __init__(self) -> None:
        self.states: list[tuple[CircuitBreakerState, CircuitBreakerState, str]] = []
        self.attempts: list[tuple[str, Outcome, float]] = []
        self.retries: list[tuple[str, int, float, Exception]] = []
        self.rejections: list[tuple[str, ResilienceError]] = []
        self.calls: list[Any] = []

    def state_change(self, breaker: Circuit, old: CircuitBreakerState, new: CircuitBreakerState) -> None:
        self.states.append((old, new, breaker.label))

    def before_call(self, breaker: Circuit, func: Callable[..., Any], *args: Any, **kwargs: Any) -> None:
        self.calls.append(("before", args, kwargs))

    def success(self, breaker: Circuit) -> None:
        self.calls.append("success")

    def failure(self, breaker: Circuit, exception: Exception) -> None:
        self.calls.append(type(exception))

    def attempted(self, policy: str, outcome: Outcome, seconds: float) -> None:
        self.attempts.append((policy, outcome, round(seconds, 6)))

    def retried(self, policy: str, attempt: int, seconds: float, error: Exception) -> None:
        self.retries.append((policy, attempt, seconds, error))

    def rejected(self, policy: str, error: ResilienceError) -> None:
        self.rejections.append((policy, error))

    @property
    def outcomes(self) -> list[Outcome]:
        return [outcome for _, outcome, _ in self.attempts]


class Dependency:
    """Does what the script says, call by call, and its last line from then on: raises, sleeps or returns it."""

    def __init__(self, *script: Any) -> None:
        self._script = script
        self.times: list[float] = []
        self.running = 0
        self.most_running = 0

    @property
    def calls(self) -> int:
        return len(self.times)

    async def __call__(self) -> Any:
        loop = asyncio.get_running_loop()
        line = self._script[min(self.calls, len(self._script) - 1)]
        self.times.append(loop.time())
        self.running += 1
        self.most_running = max(self.most_running, self.running)
        try:
            if isinstance(line, Exception):
                raise line
            if isinstance(line, float):
                await asyncio.sleep(line)
            return line
        finally:
            self.running -= 1


def in_virtual_time(test: Callable[P, Coroutine[Any, Any, None]]) -> Callable[P, None]:
    """Nothing takes time but waiting, and that no real one."""

    @wraps(test)
    def run_test(*args: P.args, **kwargs: P.kwargs) -> None:
        with closing(SeededLoop(Chances(7))) as loop:
            run(loop, test(*args, **kwargs))
            assert not loop.complaints

    return run_test


def a_circuit(clock: Clock, diary: Diary | None = None, **options: Unpack[PolicyOptions]) -> Circuit:
    return Circuit("dependency", PolicySettings(**options), Listeners([diary] if diary else []), clock)


def a_policy(*listeners: Listener, **options: Unpack[PolicyOptions]) -> Policy:
    """By the loop's time, and with waits that are as long as they can be."""
    loop = asyncio.get_running_loop()
    return Policy("dependency", listeners=listeners, monotonic=loop.time, chance=lambda: 0.0, **options)


def succeed(circuit: Circuit, times: int = 1, seconds: float = 0.0) -> None:
    for _ in range(times):
        circuit.succeeded(circuit.admit(), seconds)


def fail(circuit: Circuit, times: int = 1, seconds: float = 0.0) -> None:
    for _ in range(times):
        circuit.failed(circuit.admit(), seconds, OSError())


def replay(circuit: Circuit, results: Sequence[str] | Iterator[str]) -> None:
    """ "F" is a failure, "s" a slow success, anything else a success."""
    for result in results:
        if result == "F":
            fail(circuit)
        else:
            succeed(circuit, seconds=9.0 if result == "s" else 0.0)


async def settle() -> None:
    """Until whatever can run without time has run."""
    await asyncio.sleep(1e-6)
