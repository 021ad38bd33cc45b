"""The circuit breaker: whether calls are let through, by what came of those before.

Every change begins a new generation. A result counts only in the generation in which its call was let through, so what
comes late says nothing about a state that it was not a part of.
"""

from collections.abc import Callable
from enum import StrEnum

from warehouse.resilience.errors import CircuitOpenError
from warehouse.resilience.listening import Listeners
from warehouse.resilience.names import CircuitBreakerState
from warehouse.resilience.settings import PolicySettings
from warehouse.resilience.window import FAILED, SLOW, Window

CLOSED, OPEN, HALF_OPEN = CircuitBreakerState.CLOSED, CircuitBreakerState.OPEN, CircuitBreakerState.HALF_OPEN


class Mode(StrEnum):
    """What the operator wants: that the circuit decides, or that everything or nothing is refused."""

    AUTO = "auto"
    FORCED_OPEN = "forced_open"
    DISABLED = "disabled"


class Circuit:
    """Closed, it counts: `fail_max` failures in a row or too high a rate open it. Open, it refuses for `open_seconds`;
    then it is half-open and lets `half_open_permits` calls through, whose rates open or close it.

    It changes only when it is asked or told something; there are no timers. `admit` gives a generation, with which the
    caller says once how the call ended: `succeeded`, `failed`, or `released` if it is not to count.
    """

    def __init__(
        self, name: str, settings: PolicySettings, listeners: Listeners, monotonic: Callable[[], float]
    ) -> None:
        self.name = name
        self.state = CLOSED
        self.mode = Mode.AUTO
        self.generation = 0
        self.consecutive = 0
        """Failures since the last success."""
        self.window = Window(settings.window)
        self._settings = settings
        self._slow_seconds = float("inf") if settings.slow_seconds is None else settings.slow_seconds
        self._listeners = listeners
        self._now = monotonic
        self._reopens_at = 0.0
        self._probes = 0

    @property
    def label(self) -> str:
        """closed, open, half_open, forced_open or disabled."""
        return self.state.name.lower() if self.mode is Mode.AUTO else self.mode.value

    @property
    def retry_after(self) -> float:
        """Seconds after which a call may be let through; 0 where one may be at once."""
        if self.mode is Mode.FORCED_OPEN:
            return self._settings.open_seconds
        if self.state is OPEN:
            return max(0.0, self._reopens_at - self._now())
        if self.state is HALF_OPEN and self._probes + self.window.recorded >= self._settings.half_open_permits:
            return min(self._settings.timeout, self._settings.open_seconds)
        return 0.0

    def admit(self) -> int:
        """The generation. Raises `CircuitOpenError`."""
        if self.state is not CLOSED:
            self._admit_probe()
        return self.generation

    def is_closed_since(self, generation: int) -> bool:
        """Whether it has been closed all the time from then."""
        return self.state is CLOSED and generation == self.generation

    def succeeded(self, generation: int, seconds: float) -> None:
        """`seconds` is how long its slowest attempt took."""
        if not self._counts(generation):
            return
        self.consecutive = 0
        if self._listeners:
            self._listeners.tell(lambda each: each.success(self))
        self._record(SLOW if seconds > self._slow_seconds else 0)

    def failed(self, generation: int, seconds: float, error: Exception) -> None:
        if not self._counts(generation):
            return
        self.consecutive += 1
        self._listeners.tell(lambda each: each.failure(self, error))
        self._record(FAILED | SLOW if seconds > self._slow_seconds else FAILED)

    def released(self, generation: int) -> None:
        """It ended without a result that says anything."""
        if generation == self.generation and self.state is HALF_OPEN:
            self._probes -= 1

    def force_open(self) -> None:
        """Refuse everything until told otherwise."""
        self._become(OPEN, Mode.FORCED_OPEN)

    def disable(self) -> None:
        """Let everything through, and count nothing, until told otherwise."""
        self._become(CLOSED, Mode.DISABLED)

    def automate(self) -> None:
        """After an order, begin again, closed. Without one there is nothing to do."""
        if self.mode is not Mode.AUTO:
            self._become(CLOSED)

    def _admit_probe(self) -> None:
        wait = self.retry_after
        if wait > 0:
            raise CircuitOpenError(self.name, wait)
        if self.state is OPEN:
            self._become(HALF_OPEN)
        self._probes += 1

    def _counts(self, generation: int) -> bool:
        return generation == self.generation and self.mode is not Mode.DISABLED

    def _record(self, result: int) -> None:
        self.window.record(result)
        if self.state is HALF_OPEN:
            self._probes -= 1
        if self._is_failing():
            self._open()
        elif self.state is HALF_OPEN and self.window.recorded == self._settings.half_open_permits:
            self._become(CLOSED)

    def _is_failing(self) -> bool:
        settings, window = self._settings, self.window
        if self.consecutive >= settings.fail_max:
            return True
        if self.state is HALF_OPEN:
            judged = settings.half_open_permits
        elif window.recorded >= settings.minimum_calls:
            judged = window.recorded
        else:
            return False
        return window.failures / judged >= settings.failure_rate or window.slow / judged >= settings.slow_rate

    def _open(self) -> None:
        self._reopens_at = self._now() + self._settings.open_seconds
        self._become(OPEN)

    def _become(self, state: CircuitBreakerState, mode: Mode = Mode.AUTO) -> None:
        old, self.state, self.mode = self.state, state, mode
        self.generation += 1
        self.consecutive = self._probes = 0
        self.window = Window(self._settings.half_open_permits if state is HALF_OPEN else self._settings.window)
        self._listeners.tell(lambda each: each.state_change(self, old, state))
