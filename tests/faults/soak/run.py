"""One soak: load and faults, then a time to recover, then the account."""

import asyncio
import random
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from httpx import AsyncClient

from tests.api.calls import new_records
from tests.faults.cache.goods import Goods
from tests.faults.cache.history import History
from tests.faults.cache.report import table
from tests.faults.cache.schedule import usable_everywhere
from tests.faults.cache.traffic import Mix, Traffic
from tests.faults.chance import seeded
from tests.faults.commands import Commands
from tests.faults.database.audit import audit, settle
from tests.faults.database.experiment import IN_TIME
from tests.faults.database.figures import BROKEN, Figures
from tests.faults.database.stage import DatabaseStage, staged_database
from tests.faults.returning import ReturningMariaDb, ReturningValkey
from tests.faults.soak.insisting import InsistingLoad
from tests.faults.soak.schedule import FAULTS, Fault
from tests.faults.soak.watching import Watcher

CLIENTS = 6
MIX = Mix(readers=6, writers=24, burst=5)
CALM_SECONDS = (0.5, 2.0)
CALM, RECOVERING = "calm", "recovering"
DRAINED_SECONDS = 60.0
"""After the last fault."""


@dataclass
class Soak:
    """What a run told."""

    figures: Figures
    history: History = field(default_factory=History)
    faults: Counter[str] = field(default_factory=Counter)
    fences: float = 0.0
    looks: int = 0
    unanswered: int = 0
    wrongs: list[str] = field(default_factory=list)
    """Whatever was not as it has to be, in words."""

    def __str__(self) -> str:
        kinds = ", ".join(f"{count} x {name}" for name, count in sorted(self.faults.items()))
        return "\n".join(
            (
                table(self.history, self.fences),
                f"{len(self.faults)} kinds of faults: {kinds}",
                str(self.figures),
                f"{self.looks} looks at what was acknowledged, {self.unanswered} not answered",
                *self.wrongs,
                f"{len(self.wrongs)} wrong",
            )
        )


async def soak(minutes: float, seed: int) -> Soak:
    """Raises where the balances in the end are not those of the ledger."""
    chance, told = seeded(seed), Soak(Figures("soak", seed))
    with ReturningMariaDb() as database, ReturningValkey() as valkey:
        async with staged_database(database, valkey, chance, IN_TIME) as stage, stage.clients(CLIENTS + 1) as clients:
            auditor, *others = clients
            load = InsistingLoad(Commands(await new_records(auditor), chance), told.figures, chance, others)
            await usable_everywhere(stage)
            try:
                async with _watched(load, auditor, told, chance):
                    await _loaded(stage, load, others, told, minutes * 60)
                await audit(auditor, load.sent, load.records, told.figures)
            except* TimeoutError as errors:
                told.wrongs.append(f"it did not come to an end: {errors.exceptions}")
            told.fences = await stage.metrics("warehouse_cache_fences_total")
            told.wrongs += _wrongs(told, stage.tracebacks())
    return told


async def _loaded(
    stage: DatabaseStage, load: InsistingLoad, clients: Sequence[AsyncClient], told: Soak, seconds: float
) -> None:
    """From the first fault until all that was begun has ended."""
    chance, history = seeded(told.figures.seed), told.history
    begun = time.monotonic()
    traffic = Traffic(stage, await Goods.made(stage), history, MIX, chance)
    async with traffic.running():
        async with load.running(clients):
            for fault in _schedule(chance, seconds):
                await history.during(CALM, asyncio.sleep(chance.uniform(*CALM_SECONDS)))
                print(f"{time.monotonic() - begun:6.1f} s {fault.__name__}", file=sys.stderr)  # noqa: T201
                await history.during(fault.__name__, fault(stage, chance))
                told.faults[fault.__name__] += 1
                told.figures.faults += 1
            ended = time.monotonic()
            await history.during(RECOVERING, usable_everywhere(stage))
        await settle(clients[0], load.sent, chance)
        told.figures.recovery = time.monotonic() - ended


def _schedule(chance: random.Random, seconds: float) -> Iterator[Fault]:
    """Every kind comes before any comes again."""
    end = time.monotonic() + seconds
    while True:
        for fault in chance.sample(FAULTS, len(FAULTS)):
            if time.monotonic() >= end:
                return
            yield fault


@asynccontextmanager
async def _watched(load: InsistingLoad, client: AsyncClient, told: Soak, chance: random.Random) -> AsyncIterator[None]:
    watcher = Watcher(load, client, chance)
    watching = asyncio.create_task(watcher.run())
    try:
        yield
    finally:
        watching.cancel()
        await asyncio.wait([watching])
    if not watching.cancelled():
        watching.result()
    await watcher.look()
    told.looks, told.unanswered = watcher.looks, watcher.unanswered
    told.wrongs += watcher.wrongs


def _wrongs(told: Soak, tracebacks: str) -> Iterator[str]:
    figures, history = told.figures, told.history
    yield from (f"lost: {key}" for key in figures.lost)
    yield from (f"duplicated: {key}" for key in figures.duplicated)
    yield from (f"answer: {each}" for each in figures.wrong if each.status != BROKEN)
    yield from (f"answer: {count} x {reason}" for reason, count in history.failures.items() if ": 500 " in reason)
    if figures.oversold:
        yield f"{figures.oversold} oversold"
    if history.stale or history.impossible:
        yield f"{history.stale} stale, {history.impossible} impossible"
    if figures.recovery > DRAINED_SECONDS:
        yield f"not drained within {DRAINED_SECONDS:.0f} s"
    if tracebacks:
        yield tracebacks
