"""States put together of one shared part and of actors, cheap enough to have millions of them.

What an actor can do depends on itself and on what is shared, so it is worked out once for each such pair, however many
states the pair occurs in. Shared parts and actors go by numbers. A state is the number of its shared part and those of
its actors, in order, for it does not matter which of them is in which condition.
"""

from bisect import insort
from collections.abc import Callable, Hashable, Iterable, Iterator
from typing import Generic, NamedTuple, Protocol, TypeVar

from tests.cache_model.search import Result, explore

Shared = TypeVar("Shared", bound=Hashable)
Actor = TypeVar("Actor", bound=Hashable)
K = TypeVar("K", bound=Hashable)
V = TypeVar("V")

State = tuple[int, ...]
Move = tuple[str, int, int, int | None]

ENVIRONMENT = 0
BROKEN = 0
"""The number of the shared part of every state in which the promise is broken."""


class Step(NamedTuple, Generic[Shared, Actor]):
    """Something that an actor, or the environment, can do next."""

    name: str
    shared: Shared | None
    """None where this breaks the promise."""
    actor: Actor | None = None
    """What the actor becomes; None for a step of the environment."""
    ended: int | None = None
    """The generation that this ends, for every other actor to `forget`."""


class Model(Protocol[Shared, Actor]):
    def initial(self) -> tuple[Shared, Iterable[Actor]]: ...
    def environment(self, shared: Shared) -> Iterable[Step[Shared, Actor]]: ...
    def steps(self, shared: Shared, actor: Actor) -> Iterable[Step[Shared, Actor]]: ...
    def forget(self, actor: Actor, ended: int) -> Actor: ...


class Memo(dict[K, V]):
    """A function that works out each result once."""

    def __init__(self, function: Callable[[K], V]) -> None:
        super().__init__()
        self._function = function

    def __missing__(self, key: K) -> V:
        value = self[key] = self._function(key)
        return value


class Numbers(Generic[K]):
    """Numbers for things, by order of first appearance."""

    def __init__(self) -> None:
        self.things: list[K] = []
        self._numbers = Memo(self._append)

    def of(self, thing: K) -> int:
        return self._numbers[thing]

    def _append(self, thing: K) -> int:
        self.things.append(thing)
        return len(self.things) - 1


class Composition(Generic[Shared, Actor]):
    """The state space of a model."""

    def __init__(self, model: Model[Shared, Actor]) -> None:
        self._model = model
        self._shared = Numbers[Shared | None]()
        self._actors = Numbers[Actor | None]()
        self._moves = Memo(self._find_moves)
        self._forgotten = Memo(self._forget)
        assert self._shared.of(None) == BROKEN
        assert self._actors.of(None) == ENVIRONMENT

    def initial(self) -> State:
        shared, actors = self._model.initial()
        return self._shared.of(shared), *sorted(self._actors.of(actor) for actor in actors)

    def successors(self, state: State) -> Iterator[tuple[str, State]]:
        moves, forgotten = self._moves, self._forgotten
        shared, *actors = state
        for name, after, _, ended in moves[shared, ENVIRONMENT]:
            others = actors if ended is None else sorted([forgotten[actor, ended] for actor in actors])
            yield name, (after, *others)
        previous = ENVIRONMENT
        for place, actor in enumerate(actors):
            if actor == previous:
                continue
            previous = actor
            rest = actors[:place] + actors[place + 1 :]
            for name, after, became, ended in moves[shared, actor]:
                others = rest.copy() if ended is None else sorted([forgotten[other, ended] for other in rest])
                insort(others, became)
                yield name, (after, *others)

    def shown(self, state: State) -> str:
        shared, *actors = state
        parts = (self._shared.things[shared], *(self._actors.things[actor] for actor in actors))
        return "\n    ".join(map(str, parts))

    def _find_moves(self, pair: tuple[int, int]) -> list[Move]:
        shared, actor = self._shared.things[pair[0]], self._actors.things[pair[1]]
        assert shared is not None
        steps = self._model.environment(shared) if actor is None else self._model.steps(shared, actor)
        return [(name, self._shared.of(after), self._actors.of(became), ended) for name, after, became, ended in steps]

    def _forget(self, pair: tuple[int, int]) -> int:
        actor, ended = self._actors.things[pair[0]], pair[1]
        assert actor is not None
        return self._actors.of(self._model.forget(actor, ended))


def search(model: Model[Shared, Actor], *, limit: int) -> Result[str]:
    """Every state of the model, or the shortest way to break its promise, with its states written out."""
    composition = Composition(model)
    found = explore([composition.initial()], composition.successors, lambda state: state[0] == BROKEN, limit=limit)
    if found.violation is None:
        return Result(found.states, None)
    return Result(found.states, tuple((name, composition.shown(state)) for name, state in found.violation))
