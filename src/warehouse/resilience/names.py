"""What of aiobreaker serves here, with types: its states, its listener and its error. Nothing else imports it.

Its own decisions do not serve: docs/decisions/0012-circuit-breaker.md says why.
"""

from collections.abc import Callable
from enum import Enum
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # aiobreaker ships no annotations

    class CircuitBreakerState(Enum):
        CLOSED = "closed"
        OPEN = "open"
        HALF_OPEN = "half_open"

    class CircuitBreakerError(Exception): ...

    class CircuitBreakerListener:
        def before_call(self, breaker: Any, func: Callable[..., Any], *args: Any, **kwargs: Any) -> None: ...
        def success(self, breaker: Any) -> None: ...
        def failure(self, breaker: Any, exception: Exception) -> None: ...
        def state_change(self, breaker: Any, old: Any, new: Any) -> None: ...

else:
    from aiobreaker import CircuitBreakerError, CircuitBreakerListener, CircuitBreakerState

__all__ = ["CircuitBreakerError", "CircuitBreakerListener", "CircuitBreakerState"]
