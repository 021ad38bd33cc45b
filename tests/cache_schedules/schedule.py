"""One schedule: an installation, what is done to it and in which order, all from one seed."""

import random
from collections import Counter
from contextlib import closing
from dataclasses import dataclass
from unittest.mock import patch

from tests.cache_schedules.actors import Actors
from tests.cache_schedules.loop import Chances, SeededLoop, run
from tests.cache_schedules.plan import drawn
from tests.cache_schedules.trace import Trace
from tests.cache_schedules.world import World
from warehouse.cache import invalidation

SHOWN = 150
"""The last lines of a trace."""


class Failed(AssertionError):
    """With all that is needed to have it again."""

    def __init__(self, seed: int, error: Exception, trace: Trace) -> None:
        lines = "\n".join(trace.lines()[-SHOWN:])
        super().__init__(f"{lines}\n{type(error).__name__}: {error}\nTo have it again: WAREHOUSE_TEST_SEED={seed}")


@dataclass(frozen=True)
class Outcome:
    """`rest` is what the seed would give next: two runs in which it is the same have asked for the same."""

    trace: Trace
    steps: int
    rest: float
    happened: Counter[str]


def perform(seed: int) -> Outcome:
    """Raises `Failed`."""
    chances = Chances(seed)
    # The production code spreads times to live by the common generator.
    random.seed(seed)
    with (
        closing(SeededLoop(chances)) as loop,
        patch.object(invalidation, "CHUNK", 1),
    ):
        world = World(drawn(chances), chances, loop)
        try:
            outcome = run(loop, _acted(world))
            if loop.complaints:
                raise AssertionError(loop.complaints)
        except Exception as error:
            raise Failed(seed, error, world.trace) from error
        return outcome


async def _acted(world: World) -> Outcome:
    await Actors(world).act()
    world.happened["switched on"] += world.database.switched_on
    return Outcome(world.trace, world.loop.steps, world.chances.random(), world.happened)
