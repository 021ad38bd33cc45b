"""Who is told what policies do."""

import logging
from collections.abc import Callable, Sequence
from enum import StrEnum
from typing import TypeVar

from warehouse.resilience.errors import ResilienceError
from warehouse.resilience.names import CircuitBreakerListener

L = TypeVar("L")

log = logging.getLogger(__name__)


class Outcome(StrEnum):
    """What came of one attempt."""

    SUCCESS = "success"
    FAILURE = "failure"
    TIMEOUT = "timeout"
    EXCLUDED = "excluded"
    CANCELLED = "cancelled"


class Listener(CircuitBreakerListener):
    """Override what you want to know. `policy` is a name; hooks are quick, and what they raise is logged and no more.

    aiobreaker's own hooks are called too, with the `Circuit`: `before_call` when it lets a call through, `success` and
    `failure` when a result counts, and `state_change` with the states. An operator's orders may leave the state as it
    is: `Circuit.label` has both.
    """

    def attempted(self, policy: str, outcome: Outcome, seconds: float) -> None:
        """An attempt has ended after so long."""

    def retried(self, policy: str, attempt: int, seconds: float, error: Exception) -> None:
        """The attempt of this number, from 1, has failed so, and another follows in so many seconds."""

    def rejected(self, policy: str, error: ResilienceError) -> None:
        """A call was refused without an attempt."""


class Listeners:
    def __init__(self, listeners: Sequence[CircuitBreakerListener]) -> None:
        self._listeners = tuple(listeners)
        self._ours = tuple(each for each in listeners if isinstance(each, Listener))

    def __bool__(self) -> bool:
        return bool(self._listeners)

    def tell(self, news: Callable[[CircuitBreakerListener], None]) -> None:
        """To everybody."""
        for each in self._listeners:
            _tell(each, news)

    def tell_ours(self, news: Callable[[Listener], None]) -> None:
        """To those who know more hooks than aiobreaker's."""
        for each in self._ours:
            _tell(each, news)


def _tell(listener: L, news: Callable[[L], None]) -> None:
    try:
        news(listener)
    except Exception:
        log.exception("resilience.listener_failed listener=%s", type(listener).__name__)
