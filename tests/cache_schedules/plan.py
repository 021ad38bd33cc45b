"""What a schedule is made of, drawn from its seed."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple, TypeVar

from tests.cache_schedules.loop import Chances
from tests.cache_schedules.network import Manner

T = TypeVar("T")

ITEMS = 2
DRIFT = 0.04
"""By so much clocks go too fast or too slow: `IN_FORCE_SECONDS` allows for a little more."""


class Page(NamedTuple):
    """What is read under one key; `segmented` by `SegmentCache`, its parts being the items."""

    name: str
    items: Sequence[int]
    tags: Sequence[str]
    segmented: bool = False


WHOLE = "items"
SINGLE = (Page("first", (0,), ("item:0",)), Page("second", (1,), ("item:1",)))
PAGES = (
    *SINGLE,
    Page("both", (0, 1), ("item:0", "item:1")),
    Page("all", (0, 1), (WHOLE,)),
    Page("segments", (0, 1), ("item:0", "item:1"), segmented=True),
)


def tags_of(item: int) -> Sequence[str]:
    """Which a write of the item releases."""
    return WHOLE, f"item:{item}"


@dataclass(frozen=True)
class Tempo:
    """`pace` is the longest rest of an actor, `reach` that of a message; the others say how much each actor does."""

    pace: float
    reach: float
    reads: int
    writes: int
    disturbances: int


INSTANT = Tempo(pace=0.0, reach=0.0, reads=3, writes=2, disturbances=3)
QUICK = Tempo(pace=0.08, reach=0.03, reads=4, writes=3, disturbances=4)
TORN = Tempo(pace=0.2, reach=0.02, reads=4, writes=2, disturbances=2)
BRISK = Tempo(pace=0.5, reach=0.4, reads=9, writes=5, disturbances=5)
SLOW = Tempo(pace=1.4, reach=1.5, reads=14, writes=7, disturbances=6)

DISTURBANCES: Sequence[str] = (
    *("wipe", "evict", "evict", "garble"),
    *("cut store", "cut store", "cut control", "cut data", "split"),
    *("slow down", "fill up", "pause", "kill"),
)


@dataclass(frozen=True)
class Plan:
    """Shares are of all that they can happen to."""

    tempo: Tempo
    usable: bool
    """Whether the cache is, at the beginning."""
    processes: int
    outsider: bool
    """Whether the last of the processes is a command, which does not reach the others' store."""
    redis: bool
    """Whether the store is the production's own, over a client that is not."""
    readers: int
    writers: int
    pages: Sequence[Page]
    manners: Mapping[str, Manner]
    disturbances: Sequence[str]
    kept_seconds: Sequence[float]
    private: float
    """The share of what is not to be kept."""
    cost: float
    eager: bool
    """Whether what is not to happen everywhere at once happens often."""
    impatient: float
    """The share of clients that do not wait for their answers."""
    deadly: float
    """The share of commits after which the process dies."""
    recovers: bool
    """Whether to see that all is well when the faults are over."""

    def chance_of(self, chances: Chances) -> Callable[[], float]:
        return (lambda: chances.one_of((0.0, 0.0, 0.5, 0.999999))) if self.eager else chances.random


def drawn(chances: Chances) -> Plan:
    tempo = _weighted(chances, (INSTANT, 0.45), (QUICK, 0.25), (TORN, 0.18), (BRISK, 0.07), (SLOW, 0.05))
    processes = 2 + chances.below(2) if tempo is TORN else 1 + chances.below(3)
    faulty = tempo is TORN or chances.happens(0.7)
    return Plan(
        tempo=tempo,
        usable=tempo.pace < 0.5 or chances.happens(0.7),
        processes=processes,
        outsider=processes > 1 and tempo.pace > 0 and chances.happens(0.1),
        redis=chances.happens(0.4),
        readers=1 + chances.below(3),
        writers=1 + chances.below(2),
        pages=chances.some_of(PAGES, 1 + chances.below(3)),
        manners={server: _manner(chances, tempo, faulty) for server in ("store", "control", "data")},
        disturbances=_disturbances(chances, tempo) if faulty else (),
        kept_seconds=chances.one_of(((60.0,), (60.0,), (60.0, tempo.pace / 2 or 1.0), (tempo.pace or 1.0,))),
        private=chances.one_of((0.0, 0.0, 0.1)),
        cost=chances.one_of((0.0, 1.0, 20.0)),
        eager=chances.happens(0.3),
        impatient=chances.one_of((0.0, 0.0, 0.1)) if faulty else 0.0,
        deadly=chances.one_of((0.0, 0.0, 0.2)) if faulty else 0.0,
        recovers=chances.happens(0.1),
    )


def _manner(chances: Chances, tempo: Tempo, faulty: bool) -> Manner:
    return Manner(
        reach=tempo.reach * chances.one_of((0.01, 0.1, 1.0)),
        instant=chances.one_of((0.0, 0.5, 0.9)) if tempo.reach else 1.0,
        failing=chances.one_of((0.0, 0.0, 0.03)) if faulty else 0.0,
    )


def _disturbances(chances: Chances, tempo: Tempo) -> Sequence[str]:
    kinds = chances.some_of(DISTURBANCES, 2) if chances.happens(0.5) else DISTURBANCES
    if tempo is TORN:
        kinds = ("split",)
    return chances.some_of(kinds, 1 + chances.below(tempo.disturbances))


def _weighted(chances: Chances, *things: tuple[T, float]) -> T:
    left = chances.random()
    for thing, weight in things:
        left -= weight
        if left < 0:
            return thing
    return things[-1][0]
