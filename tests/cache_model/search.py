"""Exhaustive search of a state space, breadth first, so that the trace of a violation is a shortest one."""

import gc
from collections.abc import Callable, Hashable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Generic, TypeVar

S = TypeVar("S", bound=Hashable)


class TooManyStates(Exception):
    """The space is larger than the caller allowed: nothing is known about the rest of it."""


@dataclass(frozen=True)
class Result(Generic[S]):
    """How many states were reached, and the steps that lead to a violation if there is one.

    The first entry of the trace is an initial state, under the name "initially".
    """

    states: int
    violation: tuple[tuple[str, S], ...] | None


def explore(
    initial_states: Iterable[S],
    successors: Callable[[S], Iterable[tuple[str, S]]],
    violation: Callable[[S], bool],
    *,
    limit: int = 2_000_000,
) -> Result[S]:
    """Reach every state, or the nearest violation. Raises TooManyStates rather than leave anything out."""
    parents: dict[S, S | None] = dict.fromkeys(initial_states)
    queue = list(parents)
    with _without_garbage_collection():
        for state in queue:  # which grows meanwhile
            if violation(state):
                return Result(len(parents), _trace(state, parents, successors))
            for _, successor in successors(state):
                if successor not in parents:
                    parents[successor] = state
                    queue.append(successor)
            if len(parents) > limit:
                raise TooManyStates(f"more than {limit:,}")
    return Result(len(parents), None)


def _trace(
    state: S, parents: dict[S, S | None], successors: Callable[[S], Iterable[tuple[str, S]]]
) -> tuple[tuple[str, S], ...]:
    trace: list[tuple[str, S]] = []
    while (parent := parents[state]) is not None:
        trace.append((next(name for name, successor in successors(parent) if successor == state), state))
        state = parent
    return (("initially", state), *reversed(trace))


@contextmanager
def _without_garbage_collection() -> Iterator[None]:
    """Millions of tuples and not one cycle: the collector would take most of the time to find nothing."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()
