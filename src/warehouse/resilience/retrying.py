"""Further attempts after one that failed. tenacity has the loop; what limits it is here."""

from collections.abc import Awaitable, Callable
from functools import partial
from typing import NoReturn, TypeVar

from tenacity import AsyncRetrying, RetryCallState, retry_if_exception, wait_exponential

from warehouse.resilience.budget import RetryBudget
from warehouse.resilience.call import Call
from warehouse.resilience.circuit import Circuit
from warehouse.resilience.errors import GaveUp, ResilienceError, RetryExhaustedError
from warehouse.resilience.listening import Listeners
from warehouse.resilience.settings import PolicySettings, predicate

R = TypeVar("R")

Attempt = Callable[[Call[R]], Awaitable[R]]
Sleep = Callable[[float], Awaitable[object]]


class Retries:
    """A retry is made only while the circuit has been closed since the call was let through: an open one is left alone,
    and a half-open one wants single attempts."""

    def __init__(
        self,
        settings: PolicySettings,
        circuit: Circuit,
        listeners: Listeners,
        sleep: Sleep,
        chance: Callable[[], float],
    ) -> None:
        self.budget = RetryBudget(settings.budget_ratio, settings.budget_floor)
        self._settings = settings
        self._circuit = circuit
        self._listeners = listeners
        self._sleep = sleep
        self._chance = chance
        self._retry_on = predicate(settings.retry_on)
        self._longest_wait = wait_exponential(multiplier=settings.backoff, max=settings.max_backoff)

    def may_follow(self, call: Call[R], error: BaseException) -> bool:
        """Whether the error is one to be retried, as far as it alone decides."""
        return (
            isinstance(error, Exception)
            and call.has_failed
            and self._settings.attempts > 1
            and not isinstance(error, ResilienceError)
            and self._retry_on(error)
        )

    async def follow(self, call: Call[R], first: Exception, attempt: Attempt[R]) -> R:
        """Raises `RetryExhaustedError`, or what `attempt` raises if that is not to be retried."""
        made = [first]

        async def attempts() -> R:
            if made:
                raise made.pop()
            return await attempt(call)

        retrying = AsyncRetrying(
            retry=retry_if_exception(partial(self.may_follow, call)),
            wait=self._wait,
            stop=partial(self._stop, call),
            sleep=partial(self._pause, call),
        )
        result: R = await retrying(attempts)
        return result

    def _wait(self, state: RetryCallState) -> float:
        return self._longest_wait(state) * (1 - self._settings.jitter * self._chance())

    def _stop(self, call: Call[R], state: RetryCallState) -> bool:
        """Never by its answer: what is raised here says why."""
        wait = state.upcoming_sleep
        remaining = call.remaining()
        if call.attempts >= self._settings.attempts:
            self._give_up(call, GaveUp.ATTEMPTS)
        if remaining is not None and wait >= remaining:
            self._give_up(call, GaveUp.DEADLINE)
        self._demand_closed(call)
        if not self.budget.spend():
            self._give_up(call, GaveUp.BUDGET)
        return False

    async def _pause(self, call: Call[R], seconds: float) -> None:
        error = call.error
        if error is not None and self._listeners:
            name, attempt = self._circuit.name, call.attempts
            self._listeners.tell_ours(lambda each: each.retried(name, attempt, seconds, error))
        await self._sleep(seconds)
        self._demand_closed(call)

    def _demand_closed(self, call: Call[R]) -> None:
        if not self._circuit.is_closed_since(call.generation):
            self._give_up(call, GaveUp.CIRCUIT)

    def _give_up(self, call: Call[R], reason: GaveUp) -> NoReturn:
        raise RetryExhaustedError(self._circuit.name, call.attempts, reason) from call.error
