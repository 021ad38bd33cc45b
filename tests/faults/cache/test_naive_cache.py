"""What our protocol is for: without it, and without any fault, the same checker finds stale reads."""

import asyncio
import random
import secrets
from collections.abc import Sequence

import uvloop

from tests.conftest import FreshDatabase
from tests.faults.cache import naive
from tests.faults.cache.goods import Goods
from tests.faults.cache.history import History
from tests.faults.cache.report import table
from tests.faults.cache.stage import StagedServer, staged
from tests.faults.cache.traffic import Mix, Traffic

PATIENCE_SECONDS = 60.0


class NaiveServer(StagedServer):
    def command(self) -> Sequence[str]:
        *python, _, _ = program = self._warehouse()
        # Without the folder in which it lies among the modules that may be imported.
        return [*python, "-P", naive.__file__, *super().command()[len(program) :]]


def test_the_checker_finds_that_naive_cache_aside_is_stale(fresh_database: FreshDatabase) -> None:
    seed = secrets.randbits(32)
    history = uvloop.run(_run(fresh_database("mariadb"), random.Random(seed)))  # noqa: S311 (nothing here is secret)
    print(f"seed {seed}\n{table(history, fences=0)}")  # noqa: T201 (pytest shows it where a test fails)

    assert history.stale > 0


async def _run(database_url: str, chance: random.Random) -> History:
    """Until there is one, but not for ever."""
    history = History()
    async with staged(database_url, NaiveServer) as stage:
        goods = await Goods.made(stage)
        async with Traffic(stage, goods, history, Mix(twins=0.0), chance).running():
            await history.during("calm", _eventually_stale(history))
    return history


async def _eventually_stale(history: History) -> None:
    loop = asyncio.get_running_loop()
    deadline = loop.time() + PATIENCE_SECONDS
    while not history.stale and loop.time() < deadline:  # noqa: ASYNC110 (it is counted wherever an answer comes)
        await asyncio.sleep(0.1)
