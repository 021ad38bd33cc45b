"""One call on its way through the stages of a policy."""

from collections.abc import Callable, Coroutine, Mapping
from typing import Any, Generic, TypeVar

from warehouse.resilience.deadlines import Deadline
from warehouse.resilience.listening import Outcome

R = TypeVar("R")


class Call(Generic[R]):
    __slots__ = ("args", "attempts", "deadline", "error", "fn", "generation", "kwargs", "outcome", "slowest")

    def __init__(
        self, fn: Callable[..., Coroutine[Any, Any, R]], args: tuple[Any, ...], kwargs: Mapping[str, Any]
    ) -> None:
        self.fn = fn
        self.args = args
        self.kwargs = kwargs
        self.deadline: Deadline | None = None
        self.generation = 0
        self.attempts = 0
        self.outcome: Outcome | None = None
        """Of the last attempt."""
        self.error: Exception | None = None
        """Of the last attempt that failed."""
        self.slowest = 0.0
        """Seconds that the longest attempt took."""

    def remaining(self) -> float | None:
        return None if self.deadline is None else self.deadline.remaining()

    @property
    def has_failed(self) -> bool:
        """So that it counts."""
        return self.outcome is Outcome.FAILURE or self.outcome is Outcome.TIMEOUT
