"""The servers' wall clocks jump by an hour, forward, back and apart: the cache, its fence and the circuit breakers go
by clocks that do not jump, and nothing changes for them.

What goes by the wall clock and should (times of creation, the expiry of API keys and reservations) does jump; that is
not looked at here, except to see that the jump has arrived. Valkey and MariaDB keep their own clocks: theirs are those
of other machines.
"""

import asyncio
import random
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import orjson
import pytest
import uvloop

from tests.conftest import FreshDatabase
from tests.faults.cache.clocks import ShiftedServer, set_clocks
from tests.faults.cache.goods import Goods
from tests.faults.cache.history import Fate, History
from tests.faults.cache.schedule import told_everywhere, usable_everywhere
from tests.faults.cache.stage import Stage, staged
from tests.faults.cache.traffic import Mix, Traffic
from tests.faults.chance import LONG, new_seed, seeded

PHASE_SECONDS = 20.0 if LONG else 1.5
HOUR = 3600.0
JUMPS: Sequence[tuple[float, float]] = ((HOUR, HOUR), (0, 0), (-HOUR, -HOUR), (0, 0), (HOUR, -HOUR), (0, 0))
"""By how much the clock of each server is off, one after the other."""
READS = Mix(readers=16, writers=0, writes=0.0)
READS_AND_WRITES = Mix(readers=16, writers=8, writes=0.02, burst=4, twins=0.0)
FENCES, CHANGES = "warehouse_cache_fences_total", "warehouse_policy_state_changes_total"
LESS_HITS = 0.1
CLOSE = timedelta(minutes=5)
ORDER_SECONDS = 2
BACK_SECONDS = 5.0
"""Within which a cache that nothing was written behind is used again: a breaker's open time, and a busy machine's."""


@dataclass(frozen=True)
class Phase:
    """What was counted while the clocks were off by so much."""

    offsets: tuple[float, float]
    reads: int
    hits: int

    def __str__(self) -> str:
        clocks = ", ".join(f"{seconds / HOUR:+.0f} h" for seconds in self.offsets)
        return f"clocks {clocks}: {self.reads:,} reads, {self.hits / self.reads:.1%} hits"


@dataclass(frozen=True)
class Run:
    """`before` is the first of the phases, with right clocks."""

    history: History
    before: Phase
    after: Sequence[Phase]
    fences: float
    changes: float
    """Of the states of circuit breakers."""

    def __str__(self) -> str:
        history = self.history
        return "\n".join(
            (
                *map(str, (self.before, *self.after)),
                f"{history.checked:,} reads, {history.stale} stale, {history.impossible} impossible, {history.failed}"
                f" failed; {history.writes[Fate.ACKNOWLEDGED]} of {history.written} writes acknowledged (slowest"
                f" {history.slowest_write:.2f} s); {self.fences:.0f} fences, {self.changes:.0f} changes of breakers",
                *history.violations,
            )
        )


@dataclass(frozen=True)
class Runs:
    reads: Run
    reads_and_writes: Run


@pytest.fixture(scope="module")
def runs(fresh_database: FreshDatabase) -> Runs:
    seed = new_seed()
    print(f"WAREHOUSE_TEST_SEED={seed}")  # noqa: T201 (pytest shows it where a test fails)
    return uvloop.run(_both(fresh_database("mariadb"), seeded(seed)))


def test_hits_go_on_being_hits_when_the_clock_jumps(runs: Runs) -> None:
    run = runs.reads
    print(run)  # noqa: T201

    assert [phase.hits for phase in run.after] == [phase.reads for phase in run.after]
    assert (run.history.failed, run.history.impossible) == (0, 0)
    assert (run.fences, run.changes) == (0, 0)


def test_writes_end_what_is_cached_when_the_clock_jumps(runs: Runs) -> None:
    run, history = runs.reads_and_writes, runs.reads_and_writes.history
    print(run)  # noqa: T201

    assert (history.stale, history.impossible, history.failed) == (0, 0, 0)
    assert history.written == history.writes[Fate.ACKNOWLEDGED] > 0
    assert (run.fences, run.changes) == (0, 0)
    share = run.before.hits / run.before.reads
    assert all(phase.hits / phase.reads >= share - LESS_HITS for phase in run.after)


def test_what_a_breaker_waits_for_comes_in_time_when_the_clock_jumps(fresh_database: FreshDatabase) -> None:
    away, ordered = uvloop.run(_waited(fresh_database("mariadb")))
    print(  # noqa: T201
        f"used again {_listed(away)} s after the return of Valkey, and {_listed(ordered)} s after an order not to"
    )

    assert max(away) <= BACK_SECONDS
    assert min(ordered) >= ORDER_SECONDS
    assert max(ordered) <= ORDER_SECONDS + BACK_SECONDS


async def _both(database_url: str, chance: random.Random) -> Runs:
    async with staged(database_url, ShiftedServer) as stage:
        return Runs(await _jumps(stage, READS, chance), await _jumps(stage, READS_AND_WRITES, chance))


async def _jumps(stage: Stage, mix: Mix, chance: random.Random) -> Run:
    history, goods = History(), await Goods.made(stage)
    await usable_everywhere(stage)
    await _all_kept(stage, goods)
    begun = [await stage.metrics(name) for name in (FENCES, CHANGES)]
    async with Traffic(stage, goods, history, mix, chance).running():
        before = await _phase(stage, history, (0, 0))
        after = [await _phase(stage, history, offsets) for offsets in JUMPS]
    fences, changes = [await stage.metrics(name) for name in (FENCES, CHANGES)]
    return Run(history, before, after, fences - begun[0], changes - begun[1])


async def _all_kept(stage: Stage, goods: Goods) -> None:
    for endpoint in goods.endpoints:
        for request in dict.fromkeys(endpoint.requests):
            await stage.ask(0, request)


async def _phase(stage: Stage, history: History, offsets: tuple[float, float]) -> Phase:
    set_clocks(stage, offsets)
    reads, hits = history.checked, _hits(history)
    await history.during(str(offsets), asyncio.sleep(PHASE_SECONDS))
    phase = Phase(offsets, history.checked - reads, _hits(history) - hits)
    for server, seconds in enumerate(offsets):
        told = await _time_of(stage, server)
        assert abs(told - datetime.now(UTC) - timedelta(seconds=seconds)) < CLOSE
    return phase


def _hits(history: History) -> int:
    return sum(reads.caches["hit"] for reads in history.reads.values())


async def _time_of(stage: Stage, server: int) -> datetime:
    """By a warehouse that it has made: nothing that is read depends on one."""
    body = orjson.dumps({"code": uuid4().hex[:8], "name": "Harbour"})
    answer = await stage.ask(server, stage.caller.request("/v1/warehouses", "POST", body))
    return datetime.fromisoformat(orjson.loads(answer.body)["created_at"])


async def _waited(database_url: str) -> tuple[Sequence[float], Sequence[float]]:
    """For each jump, how long after Valkey's return the cache was used, and how long after an order not to."""
    async with staged(database_url, ShiftedServer) as stage:
        product = await stage.make("/v1/products", {"sku": "CLOCK", "name": "Rye bread"})
        request = stage.caller.request(f"/v1/products/{product['id']}")
        await usable_everywhere(stage)
        offsets = (-HOUR, HOUR, 0)
        away = [await _used_after_return(stage, request, offset) for offset in offsets]
        ordered = [await _used_after_order(stage, request, offset) for offset in offsets]
        return away, ordered


async def _used_after_return(stage: Stage, request: bytes, offset: float) -> float:
    """The clocks jump while the breakers are open."""
    stage.valkey.kill()
    await told_everywhere(stage, request, "bypass")
    set_clocks(stage, (offset, offset))
    await stage.valkey.come_back()
    return await _used_after(stage, request, asyncio.get_running_loop().time())


async def _used_after_order(stage: Stage, request: bytes, offset: float) -> float:
    """The clocks jump while the breakers have an order to be open."""
    begun = asyncio.get_running_loop().time()
    body = orjson.dumps({"order": "open", "seconds": ORDER_SECONDS})
    for server in range(len(stage.ports)):
        answer = await stage.ask(server, stage.caller.request("/v1/ops/breakers/cache", "POST", body))
        assert answer.status == 200, answer.body
    await told_everywhere(stage, request, "bypass")
    set_clocks(stage, (offset, offset))
    return await _used_after(stage, request, begun)


async def _used_after(stage: Stage, request: bytes, begun: float) -> float:
    await told_everywhere(stage, request, "hit")
    return asyncio.get_running_loop().time() - begun


def _listed(seconds: Sequence[float]) -> str:
    return ", ".join(f"{each:.2f}" for each in seconds)
