"""No read returns a value older than the last write that was acknowledged before the read began, whatever happens to
Valkey, and to the way to it."""

import asyncio
import os
import random
import secrets
import time
from collections.abc import Iterator
from dataclasses import dataclass

import uvloop

from tests.conftest import FreshDatabase
from tests.faults.cache.goods import Goods
from tests.faults.cache.history import History
from tests.faults.cache.report import table
from tests.faults.cache.schedule import FAULTS, Fault, usable_everywhere
from tests.faults.cache.stage import staged
from tests.faults.cache.traffic import Mix, Traffic

CALM = "calm"
RECOVERING = "recovering"
GOOD = 0.999
"""The part of the reads that has to be answered."""


@dataclass(frozen=True)
class Plan:
    """The faults go on until it has lasted so long and so much has been read; each comes once at least."""

    seconds: float = 0.0
    reads: int = 0


PLAN = Plan(300.0, 500_000) if os.environ.get("WAREHOUSE_TEST_STEPS") == "long" else Plan()


@dataclass(frozen=True)
class Run:
    history: History
    fences: float
    tracebacks: str

    def __str__(self) -> str:
        return f"{table(self.history, self.fences)}\n{self.tracebacks}"


def test_no_read_is_older_than_an_acknowledged_write(fresh_database: FreshDatabase) -> None:
    seed = int(os.environ.get("WAREHOUSE_TEST_SEED") or secrets.randbits(32))
    run = uvloop.run(_run(fresh_database("mariadb"), PLAN, random.Random(seed)))  # noqa: S311 (nothing here is secret)
    print(f"WAREHOUSE_TEST_SEED={seed}\n{run}")  # noqa: T201 (pytest shows it where a test fails)

    history = run.history
    assert (history.stale, history.impossible) == (0, 0)
    assert history.failed <= (1 - GOOD) * history.checked
    assert history.turned_away <= history.checked / 10
    assert run.fences > 0
    assert all(history.reads[name].caches["hit"] for name in ("by id", "by SKU", "page", "search"))


async def _run(database_url: str, plan: Plan, chance: random.Random) -> Run:
    history = History()
    async with staged(database_url) as stage:
        goods = await Goods.made(stage)
        await usable_everywhere(stage)
        begun = time.monotonic()
        async with Traffic(stage, goods, history, Mix(), random.Random(chance.random())).running():  # noqa: S311
            for fault in _schedule(plan, chance, history, begun):
                await history.during(CALM, asyncio.sleep(chance.uniform(1, 2)))
                await history.during(fault.__name__, fault(stage, chance))
                await history.during(RECOVERING, usable_everywhere(stage))
        fences = await stage.metrics("warehouse_cache_fences_total")
        return Run(history, fences, stage.tracebacks())


def _schedule(plan: Plan, chance: random.Random, history: History, begun: float) -> Iterator[Fault]:
    while True:
        yield from chance.sample(FAULTS, len(FAULTS))
        if time.monotonic() >= begun + plan.seconds and history.checked >= plan.reads:
            return
