"""A policy: everything that stands between a caller and what may fail.

Outermost first: deadline, bulkhead, circuit breaker, retry, time-out of the attempt; around them all the fallback.
"""

import asyncio
import inspect
import random
import time
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from functools import partial, wraps
from types import FunctionType
from typing import Any, ParamSpec, TypeVar, Unpack

from warehouse.resilience.bulkhead import Bulkhead
from warehouse.resilience.call import Call
from warehouse.resilience.circuit import Circuit
from warehouse.resilience.deadlines import current, sooner
from warehouse.resilience.errors import DeadlineExceeded, ResilienceError
from warehouse.resilience.limits import Limit, Limits
from warehouse.resilience.listening import Listeners, Outcome
from warehouse.resilience.names import CircuitBreakerListener
from warehouse.resilience.registry import Registry, Snapshot
from warehouse.resilience.retrying import Retries, Sleep
from warehouse.resilience.settings import PolicyOptions, PolicySettings, predicate

P = ParamSpec("P")
R = TypeVar("R")

Fallback = Callable[[Exception], Awaitable[Any]]


class Policy:
    """For all calls to one thing that may fail. It belongs to one event loop at a time.

    `fallback` gives the result in place of an error, of whatever kind but those excluded. `registry` lists the policy.
    `monotonic`, `sleep` and `chance`, which gives numbers from 0 to 1, are there for tests. Raises the `ValueError` of
    `PolicySettings`.
    """

    def __init__(
        self,
        name: str,
        *,
        fallback: Fallback | None = None,
        listeners: Sequence[CircuitBreakerListener] = (),
        registry: Registry | None = None,
        monotonic: Callable[[], float] = time.monotonic,
        sleep: Sleep = asyncio.sleep,
        chance: Callable[[], float] = random.random,
        **options: Unpack[PolicyOptions],
    ) -> None:
        settings = PolicySettings(**options)
        if fallback is not None:
            _demand_coroutine_function(fallback)
        self.name = name
        self.settings = settings
        self._fallback = fallback
        self._now = monotonic
        self._excluded = predicate(settings.exclude_exceptions)
        self._listeners = Listeners(listeners)
        self._bulkhead = Bulkhead(name, settings.max_in_flight, settings.max_queued)
        self.circuit = Circuit(name, settings, self._listeners, monotonic)
        self._retries = Retries(settings, self.circuit, self._listeners, sleep, chance)
        self._limits = Limits(settings.timeout)
        if registry is not None:
            registry.add(self)

    def protects(self, fn: Callable[P, Coroutine[Any, Any, R]]) -> Callable[P, Coroutine[Any, Any, R]]:
        """The same function, called by this policy. Raises `TypeError` where it is no coroutine function."""
        _demand_coroutine_function(fn)

        @wraps(fn)
        async def protected(*args: P.args, **kwargs: P.kwargs) -> R:
            return await self._run(fn, args, kwargs)

        return protected

    async def call(self, fn: Callable[P, Coroutine[Any, Any, R]], /, *args: P.args, **kwargs: P.kwargs) -> R:
        """What `fn` gives. Raises what it raises if that is not retried; else `RetryExhaustedError`,
        `CircuitOpenError`, `BulkheadFullError` or `DeadlineExceeded`."""
        _demand_coroutine_function(fn)
        return await self._run(fn, args, kwargs)

    def snapshot(self) -> Snapshot:
        """How things are, for operators."""
        circuit, window = self.circuit, self.circuit.window
        return Snapshot(
            name=self.name,
            state=circuit.label,
            retry_after=circuit.retry_after,
            calls=window.recorded,
            failures=window.failures,
            slow=window.slow,
            consecutive_failures=circuit.consecutive,
            in_flight=self._bulkhead.in_flight,
            queued=self._bulkhead.queued,
            retries_left=self._retries.budget.left,
        )

    async def _run(
        self, fn: Callable[..., Coroutine[Any, Any, R]], args: tuple[Any, ...], kwargs: Mapping[str, Any]
    ) -> R:
        call = Call(fn, args, kwargs)
        try:
            return await self._by_deadline(call)
        except Exception as error:
            if call.attempts == 0 and isinstance(error, ResilienceError):
                self._tell_rejected(error)
            if self._fallback is None or call.outcome is Outcome.EXCLUDED:
                raise
            result: R = await self._fallback(error)
            return result

    async def _by_deadline(self, call: Call[R]) -> R:
        outer = current.get()
        call.deadline = deadline = sooner(outer, self.settings.deadline, self._now)
        if deadline is None:
            return await self._in_bulkhead(call)
        if deadline.remaining() <= 0:
            raise DeadlineExceeded(self.name)
        current.set(deadline)
        try:
            return await self._in_bulkhead(call)
        finally:
            # Not by a token: a coroutine that is thrown away ends in another context.
            current.set(outer)

    async def _in_bulkhead(self, call: Call[R]) -> R:
        bulkhead = self._bulkhead
        if not bulkhead.enter():
            await bulkhead.wait(call.deadline)
        try:
            return await self._through_circuit(call)
        finally:
            bulkhead.leave()

    async def _through_circuit(self, call: Call[R]) -> R:
        circuit = self.circuit
        call.generation = generation = circuit.admit()
        try:
            if self._listeners:
                self._listeners.tell(lambda each: each.before_call(circuit, call.fn, *call.args, **call.kwargs))
            result = await self._with_retries(call)
        except BaseException as error:
            if call.has_failed and isinstance(error, Exception):
                circuit.failed(generation, call.slowest, error)
            else:
                circuit.released(generation)
            raise
        circuit.succeeded(generation, call.slowest)
        return result

    async def _with_retries(self, call: Call[R]) -> R:
        self._retries.budget.earn()
        try:
            return await self._attempt(call)
        except Exception as error:
            if not self._retries.may_follow(call, error):
                raise
            return await self._retries.follow(call, error, self._attempt)

    async def _attempt(self, call: Call[R]) -> R:
        remaining = call.remaining()
        if remaining is not None and remaining <= 0:
            raise DeadlineExceeded(self.name) from call.error
        limit = self._limits.within(remaining)
        call.attempts += 1
        call.outcome = None
        begun = self._now()
        try:
            with limit:
                result = await call.fn(*call.args, **call.kwargs)
        except Exception as error:
            call.error = error
            self._note(call, self._outcome_of(error, limit, remaining), begun)
            if limit.reached and remaining is not None and remaining <= self.settings.timeout:
                raise DeadlineExceeded(self.name) from error
            raise
        except BaseException:
            self._note(call, Outcome.CANCELLED, begun)
            raise
        self._note(call, Outcome.SUCCESS, begun)
        return result

    def _outcome_of(self, error: Exception, limit: Limit, remaining: float | None) -> Outcome:
        if limit.reached:
            if remaining is not None and remaining < self.settings.least_seconds:
                return Outcome.CANCELLED
            # Whatever the filter says: that nobody answered is no answer of the business.
            return Outcome.TIMEOUT
        return Outcome.EXCLUDED if self._excluded(error) else Outcome.FAILURE

    def _note(self, call: Call[R], outcome: Outcome, begun: float) -> None:
        seconds = self._now() - begun
        call.outcome = outcome
        if seconds > call.slowest:
            call.slowest = seconds
        if self._listeners:
            self._tell_attempted(outcome, seconds)

    def _tell_attempted(self, outcome: Outcome, seconds: float) -> None:
        self._listeners.tell_ours(lambda each: each.attempted(self.name, outcome, seconds))

    def _tell_rejected(self, error: ResilienceError) -> None:
        self._listeners.tell_ours(lambda each: each.rejected(self.name, error))


def resilient_call(
    name: str | None = None,
    *,
    fallback: Fallback | None = None,
    listeners: Sequence[CircuitBreakerListener] = (),
    registry: Registry | None = None,
    monotonic: Callable[[], float] = time.monotonic,
    sleep: Sleep = asyncio.sleep,
    chance: Callable[[], float] = random.random,
    **options: Unpack[PolicyOptions],
) -> Callable[[Callable[P, Coroutine[Any, Any, R]]], Callable[P, Coroutine[Any, Any, R]]]:
    """Call the function by a `Policy` of its own, which is named after it unless `name` is given. Raises what `Policy`
    raises, and `TypeError` where the function is no coroutine function."""
    PolicySettings(**options)

    def decorate(fn: Callable[P, Coroutine[Any, Any, R]]) -> Callable[P, Coroutine[Any, Any, R]]:
        _demand_coroutine_function(fn)
        policy = Policy(
            name or _name_of(fn),
            fallback=fallback,
            listeners=listeners,
            registry=registry,
            monotonic=monotonic,
            sleep=sleep,
            chance=chance,
            **options,
        )
        return policy.protects(fn)

    return decorate


def _demand_coroutine_function(fn: Callable[..., Any]) -> None:
    """Raises `TypeError` where calling it makes no coroutine."""
    if type(fn) is FunctionType and fn.__code__.co_flags & inspect.CO_COROUTINE:
        return
    called = fn.func if isinstance(fn, partial) else fn
    if not (
        inspect.iscoroutinefunction(called) or (callable(called) and inspect.iscoroutinefunction(type(called).__call__))
    ):
        raise TypeError(f"{fn!r} is no coroutine function")


def _name_of(fn: Callable[..., Any]) -> str:
    named = fn if hasattr(fn, "__qualname__") else type(fn)
    return f"{named.__module__}.{named.__qualname__}"
