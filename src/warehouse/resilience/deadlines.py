"""Deadlines that travel: what is called within one, by whatever path, shortens its own."""

import asyncio
import time
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from contextvars import ContextVar, copy_context
from dataclasses import dataclass
from typing import Any, TypeVar

T = TypeVar("T")


@dataclass(slots=True)
class Deadline:
    """A moment of a clock, which it brings along: others may go by another one. Whoever has set it may put it off, for
    all that goes on in its course."""

    at: float
    monotonic: Callable[[], float]

    def remaining(self) -> float:
        """Seconds; negative when it has passed."""
        return self.at - self.monotonic()


current: ContextVar[Deadline | None] = ContextVar("deadline", default=None)


def remaining() -> float | None:
    """Seconds that are left of the deadline in whose course this is called; None where there is none."""
    deadline = current.get()
    return None if deadline is None else deadline.remaining()


def sooner(outer: Deadline | None, seconds: float | None, monotonic: Callable[[], float]) -> Deadline | None:
    """Of the deadline there is and one in so many seconds, the one that comes first."""
    if seconds is None or (outer is not None and outer.remaining() <= seconds):
        return outer
    return Deadline(monotonic() + seconds, monotonic)


@contextmanager
def deadline(seconds: float, monotonic: Callable[[], float] = time.monotonic) -> Iterator[None]:
    """Policies called within raise `DeadlineExceeded` when the time is over. What calls no policy goes on."""
    outer = current.get()
    current.set(sooner(outer, seconds, monotonic))
    try:
        yield
    finally:
        current.set(outer)


def detached(work: Coroutine[Any, Any, T]) -> "asyncio.Task[T]":
    """A task that others rely on too, or that has to be done in any case: no deadline of its maker's holds for it."""
    context = copy_context()
    context.run(current.set, None)
    return asyncio.create_task(work, context=context)
