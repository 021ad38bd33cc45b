"""An event loop on which a seed decides what happens next, and time passes only when nothing else does.

asyncio runs callbacks in the order in which they were asked for. Between what comes from outside that order means
nothing, so here any callback that could run may be the next. Each belongs to an owner, a process of the simulated
world: one that is paused runs nothing, however much time passes.
"""

import asyncio
import random
from collections.abc import Callable, Coroutine, Sequence
from contextvars import Context, ContextVar, copy_context
from heapq import heappop, heappush
from itertools import count
from typing import Any, TypeVar, TypeVarTuple

T = TypeVar("T")
Ts = TypeVarTuple("Ts")

WORLD = -1
"""Owns what belongs to no process."""

SECONDS = 600.0
STEPS = 200_000
"""The most that a schedule may take."""

_owner: ContextVar[int] = ContextVar("owner", default=WORLD)


class Stuck(AssertionError):
    """Nothing will ever happen again, or no end has come in all the time there is."""


class Chances:
    """What a seed gives, by the questions asked of it."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed).random  # noqa: S311 (it is to be predictable)

    def happens(self, share: float) -> bool:
        return self.random() < share

    def below(self, limit: int) -> int:
        return int(self.random() * limit)

    def one_of(self, things: Sequence[T]) -> T:
        return things[int(self.random() * len(things))]

    def some_of(self, things: Sequence[T], number: int) -> Sequence[T]:
        return [self.one_of(things) for _ in range(number)]


class SeededLoop(asyncio.BaseEventLoop):
    def __init__(self, chances: Chances) -> None:
        super().__init__()
        self.steps = 0
        self.complaints: list[str] = []
        self._random = chances.random
        self._now = 0.0
        self._until = SECONDS
        self._runnable: list[tuple[int, asyncio.Handle]] = []
        self._timers: list[tuple[float, int, int, asyncio.Handle]] = []
        self._numbers = count()
        self._paused: dict[int, float] = {}

    def time(self) -> float:
        return self._now

    monotonic = time
    """So that the loop can stand in for the module `time`."""

    def pause(self, owner: int, seconds: float) -> None:
        """Run nothing of the owner's for so long."""
        self._paused[owner] = max(self._now + seconds, self._paused.get(owner, 0.0))

    def extend(self) -> None:
        """Give those who are left what time they need, and nobody a rest."""
        self._paused.clear()
        self._until = float("inf")
        self.steps = 0

    def call_soon(
        self, callback: Callable[[*Ts], object], *args: *Ts, context: Context | None = None
    ) -> asyncio.Handle:
        handle = asyncio.Handle(callback, args, self, context)
        self._runnable.append((_owner_in(context), handle))
        return handle

    def call_at(
        self, when: float, callback: Callable[[*Ts], object], *args: *Ts, context: Context | None = None
    ) -> asyncio.TimerHandle:
        handle = asyncio.TimerHandle(when, callback, args, self, context)
        if when > self._now:
            heappush(self._timers, (when, next(self._numbers), _owner_in(context), handle))
        else:
            self._runnable.append((_owner_in(context), handle))
        return handle

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        self.complaints.append(f"{context.get('message')}: {context.get('exception')!r}")

    def _run_once(self) -> None:
        runnable = self._runnable
        if not runnable:
            self._pass_time()
        place = int(self._random() * len(runnable))
        owner, handle = runnable[place]
        runnable[place] = runnable[-1]
        runnable.pop()
        if handle._cancelled:
            return
        if self._paused and (until := self._paused.get(owner, 0.0)) > self._now:
            heappush(self._timers, (until, next(self._numbers), owner, handle))
            return
        self.steps += 1
        if self.steps > STEPS:
            raise Stuck(f"no end in {STEPS} steps")
        handle._run()

    def _pass_time(self) -> None:
        timers = self._timers
        while timers and timers[0][3]._cancelled:
            heappop(timers)
        if not timers:
            raise Stuck("nothing will ever happen again")
        self._now = timers[0][0]
        if self._now > self._until:
            raise Stuck(f"no end in {self._until} seconds")
        while timers and timers[0][0] <= self._now:
            _, _, owner, handle = heappop(timers)
            self._runnable.append((owner, handle))


def context_of(owner: int) -> Context:
    """Tasks begun in it, and what they begin, belong to the owner."""
    context = copy_context()
    context.run(_owner.set, owner)
    return context


def run(loop: SeededLoop, main: Coroutine[Any, Any, T]) -> T:
    """Raises what `main` raises, and ends whatever that leaves behind."""
    try:
        return loop.run_until_complete(main)
    finally:
        if left := asyncio.all_tasks(loop):
            loop.extend()
            for task in left:
                task.cancel()
            loop.run_until_complete(asyncio.gather(*left, return_exceptions=True))


def _owner_in(context: Context | None) -> int:
    if context is None:
        return _owner.get()
    owner: int = context.get(_owner, WORLD)
    return owner
