"""One fault after the other, each under load: what becomes of reads, of writes and of the database, and how soon the
cache is in use again."""

import asyncio
import random
from collections.abc import Sequence
from dataclasses import dataclass

import uvloop

from tests.faults.cache.goods import Goods
from tests.faults.cache.history import Fate, History
from tests.faults.cache.mariadb import selects
from tests.faults.cache.schedule import Fault, told_everywhere, usable_everywhere
from tests.faults.cache.stage import Stage, staged
from tests.faults.cache.traffic import Mix, Traffic
from tests.faults.chance import new_seed, seeded
from tests.servers import DatabaseServer, Servers

CALM_SECONDS = 1.0
CALM, RECOVERING = "calm", "recovering"
THINGS = 20
FENCES = "warehouse_cache_fences_total"


@dataclass(frozen=True)
class Ordeal:
    """`seconds` is how long the fault lasted, `selects` what the database was sent meanwhile, `recovery` the seconds
    from its end until every server answered from the cache."""

    fault: str
    history: History
    seconds: float
    selects: int
    recovery: float
    fences: int
    """How often the cache was switched off."""

    @property
    def reads(self) -> int:
        """Answered ones that began during the fault."""
        return self.history.phases[self.fault].reads

    @property
    def good(self) -> float:
        """The part of all reads that was answered in time, and rightly."""
        history = self.history
        return (history.checked - history.stale - history.impossible) / max(1, history.checked + history.failed)

    @property
    def bypassed(self) -> int:
        return sum(reads.caches["bypass"] for reads in self.history.reads.values())

    @property
    def acknowledged(self) -> int:
        return self.history.writes[Fate.ACKNOWLEDGED]

    @property
    def unanswered(self) -> int:
        """Writes that were refused, or whose outcome is not known."""
        return self.history.written - self.acknowledged

    def __str__(self) -> str:
        history = self.history
        phase = history.phases[self.fault]
        return "\n".join(
            (
                f"{self.fault} for {self.seconds:.1f} s: {history.checked:,} reads ({self.bypassed:,} bypassed, slowest"
                f" {phase.slowest_read:.2f} s), {history.stale} stale, {history.impossible} impossible,"
                f" {history.failed} failed; {self.acknowledged} writes acknowledged, {self.unanswered} not (slowest"
                f" {history.slowest_write:.2f} s); during the fault {self.reads:,} reads cost {self.selects:,} SELECTs;"
                f" {self.fences} fences, used again after {self.recovery:.2f} s",
                *(f"  failed: {count} in {reason}" for reason, count in history.failures.most_common(5)),
                *history.violations,
            )
        )


def endured(servers: Servers, faults: Sequence[Fault], mix: Mix) -> Sequence[Ordeal]:
    """Each of the faults, with `mix` before, during and after it. Prints its seed and what came of it. Raises where a
    server has met an error that it did not expect."""
    seed = new_seed()
    print(f"WAREHOUSE_TEST_SEED={seed}")  # noqa: T201 (pytest shows it where a test fails)
    database, url = servers.database_server("mariadb"), servers.fresh_database("mariadb")
    return uvloop.run(_all_endured(url, database, faults, mix, seeded(seed)))


async def _all_endured(
    database_url: str, database: DatabaseServer, faults: Sequence[Fault], mix: Mix, chance: random.Random
) -> Sequence[Ordeal]:
    ordeals = []
    async with staged(database_url) as stage:
        for fault in faults:
            ordeals.append(await _endured(stage, database, fault, mix, chance))
            print(ordeals[-1])  # noqa: T201
        assert not stage.tracebacks(), stage.tracebacks()
    return ordeals


async def _endured(stage: Stage, database: DatabaseServer, fault: Fault, mix: Mix, chance: random.Random) -> Ordeal:
    history, name = History(), fault.__name__
    goods = await Goods.made(stage, THINGS)
    await usable_everywhere(stage)
    fences = await stage.metrics(FENCES)
    now = asyncio.get_running_loop().time
    async with Traffic(stage, goods, history, mix, random.Random(chance.random())).running():  # noqa: S311
        await history.during(CALM, asyncio.sleep(CALM_SECONDS))
        before = await asyncio.to_thread(selects, database)
        await history.during(name, fault(stage, chance))
        cost = await asyncio.to_thread(selects, database) - before
        ended = now()
        await history.during(RECOVERING, told_everywhere(stage, goods.endpoints[0].requests[0], "hit"))
        recovery = now() - ended
    fences = await stage.metrics(FENCES) - fences
    return Ordeal(name, history, history.phases[name].seconds, cost, recovery, int(fences))
