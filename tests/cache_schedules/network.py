"""What lies between a process and what it asks."""

import asyncio
from collections.abc import Callable, Sequence
from contextvars import Context
from dataclasses import dataclass
from enum import Enum, auto
from typing import Any, TypeVar

from tests.cache_schedules.loop import WORLD, Chances, SeededLoop, context_of

T = TypeVar("T")

Effect = Callable[[], T]
Note = Callable[[str, object, object], None]
"""Takes who did it, what, and what came of it."""


class Fate(Enum):
    """Of a request that fails."""

    LOST = auto()
    """It never arrives."""
    UNANSWERED = auto()
    """It is carried out, or a part of it, and nobody hears of it."""
    LATE = auto()
    """It arrives when whoever asked has given up."""


FATES = tuple(Fate)


@dataclass
class Manner:
    """`reach` is the longest that a message takes, `instant` the share of those that take no time, `request` the
    longest that every other request takes besides, `answer` that every answer does, `failing` the share of the requests
    that fail."""

    reach: float = 0.0
    instant: float = 1.0
    request: float = 0.0
    answer: float = 0.0
    failing: float = 0.0


class Link:
    """From one process, `name`, to one server. Requests may overtake each other. `failure` makes what a failing one
    raises."""

    def __init__(
        self,
        name: str,
        loop: SeededLoop,
        chances: Chances,
        manner: Manner,
        failure: Callable[[], Exception],
        note: Note,
    ) -> None:
        self.manner = manner
        self.dead = False
        self._name = name
        self._note = note
        self._loop = loop
        self._chances = chances
        self._failure = failure
        self._outside: Context = context_of(WORLD)

    async def call(self, effect: Effect[T]) -> T:
        """`effect` happens at one moment between the request and its answer."""
        answer: T = await self.pipeline([effect])
        return answer

    async def pipeline(self, effects: Sequence[Effect[Any]]) -> Any:
        """The answer to the last one. Others may get in between."""
        if self.dead:
            raise self._failure()
        answer: asyncio.Future[Any] = self._loop.create_future()
        before, after = self._delay(), self._delay()
        if self.manner.request and self._chances.happens(0.5):
            before += self.manner.request * self._chances.random()
        if self.manner.answer:
            after += self.manner.answer * self._chances.random()
        if self.manner.failing and self._chances.happens(self.manner.failing):
            self._fail(effects, answer, before, after)
        else:
            self._after(before, self._carry_out, effects, answer, after)
        return await answer

    def _fail(self, effects: Sequence[Effect[Any]], answer: asyncio.Future[Any], before: float, after: float) -> None:
        fate = self._chances.one_of(FATES)
        if fate is Fate.LOST:
            self._after(before + after, self._give_up, answer)
        elif fate is Fate.UNANSWERED:
            heard = effects[: 1 + self._chances.below(len(effects))]
            self._after(before, self._carry_out, heard, None, 0.0)
            self._after(before + after, self._give_up, answer)
        else:
            self._after(before, self._give_up, answer)
            self._after(before + after + self._delay(), self._carry_out, effects, None, 0.0)

    def _carry_out(self, effects: Sequence[Effect[Any]], answer: asyncio.Future[Any] | None, after: float) -> None:
        failure: Exception | None = None
        result = None
        try:
            result = effects[0]()
        except Exception as error:  # noqa: BLE001 (it is for whoever asked)
            failure = error
        self._note(self._name, effects[0], failure or result)
        if len(effects) > 1:
            # The rest of a pipeline is carried out all the same.
            self._after(0.0, self._carry_out, [*effects[1:-1], _then(effects[-1], failure)], answer, after)
        elif answer is None:
            return
        elif after:
            self._after(after, _settle, answer, result, failure)
        else:
            _settle(answer, result, failure)

    def _give_up(self, answer: asyncio.Future[Any]) -> None:
        self._note(self._name, "gives up", None)
        _settle(answer, None, self._failure())

    def _delay(self) -> float:
        manner = self.manner
        if manner.instant and self._chances.random() < manner.instant:
            return 0.0
        return float(manner.reach * self._chances.random() ** 2)

    def _after(self, seconds: float, callback: Callable[..., None], *args: Any) -> None:
        if seconds:
            self._loop.call_at(self._loop.time() + seconds, callback, *args, context=self._outside)
        else:
            self._loop.call_soon(callback, *args, context=self._outside)


def _then(effect: Effect[T], failure: Exception | None) -> Effect[T]:
    """The effect, and the failure of an earlier one of its pipeline."""
    if failure is None:
        return effect

    def failing() -> T:
        effect()
        raise failure

    return failing


def _settle(answer: asyncio.Future[Any], result: Any, failure: Exception | None) -> None:
    if answer.done():
        return
    if failure is not None:
        answer.set_exception(failure)
    else:
        answer.set_result(result)
