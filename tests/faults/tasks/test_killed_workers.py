"""Tasks under a load of requests while their workers are killed with -9 and suspended past their leases, and Redis is
killed and flushed: none is lost, none has an effect twice, every one ends, and what a worker leaves is soon another's.

One worker of the three is spared for a while, then another one: who has not been there for ten seconds cannot tell
that somebody else is gone.
"""

import asyncio
import random
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from uuid import UUID

import pytest

from tests.contract.ledger import Ledger
from tests.faults.chance import LONG, new_seed, seeded
from tests.faults.tasks.figures import Figures
from tests.faults.tasks.stage import Goods, Stage, loaded, staged
from tests.servers import Servers
from tests.worker.processes import WorkerProcess
from warehouse.tasks.model import TaskFault, TaskQueue, TaskStatus
from warehouse.tasks.queue import Job

SPARED_SECONDS = 25.0
RECOVERY_SECONDS = 30.0
QUANTITY = 3
KILLED_ALONE = 0.5
"""Of the kills so many leave the processes of last attempts to themselves; the others end all, as where a container is
ended."""


@dataclass(frozen=True)
class Plan:
    tasks: int
    kills: int
    redis_kills: int
    flushes: int
    stops: int
    pace: float
    """Seconds from one fault to the next."""

    @property
    def faults(self) -> int:
        return self.kills + self.redis_kills + self.flushes + self.stops


PLAN = Plan(2000, 100, 10, 2, 6, 3.5) if LONG else Plan(150, 8, 2, 1, 1, 2.0)


class Ordeal:
    def __init__(self, stage: Stage, goods: Goods, figures: Figures, chance: random.Random) -> None:
        self.stage = stage
        self.goods = goods
        self.figures = figures
        self.chance = chance
        self.ids: list[UUID] = []
        self.batches: dict[UUID, int] = {}
        self.expected = [1] * len(goods.skus)
        self.slowest = ""
        self._spared = stage.workers[0]
        self._spared_since = 0.0
        self._after: list[asyncio.Task[None]] = []

    async def run(self, plan: Plan) -> None:
        handing_in = asyncio.create_task(self.hand_in(plan))
        kinds: list[Callable[[], Awaitable[None]]] = [
            *[self.kill] * plan.kills,
            *[self.kill_redis] * plan.redis_kills,
            *[self.flush] * plan.flushes,
            *[self.suspend] * plan.stops,
        ]
        self.chance.shuffle(kinds)
        for fault in kinds:
            await asyncio.sleep(plan.pace * self.chance.uniform(0.6, 1.4))
            await fault()
        await handing_in
        await asyncio.gather(*self._after)

    async def hand_in(self, plan: Plan) -> None:
        """Over the time of the faults. Every fifth is a long one."""
        for number in range(plan.tasks):
            place = self.chance.randrange(len(self.goods.skus))
            batches, is_long = self.chance.randint(3, 5), number % 5 == 0
            task_id = await self.stage.desk.add(
                "receive",
                TaskQueue.LONG if is_long else TaskQueue.SHORT,
                sku=self.goods.skus[place],
                location=self.goods.location,
                quantity=QUANTITY,
                batches=batches,
                pause=self.chance.uniform(0.5, 3.0) if is_long else self.chance.uniform(0, 0.3),
            )
            self.ids.append(task_id)
            self.batches[task_id] = batches
            self.expected[place] += QUANTITY * batches
            await asyncio.sleep(plan.faults * plan.pace / plan.tasks * self.chance.uniform(0.2, 1.6))

    async def kill(self) -> None:
        alone = self.chance.random() < KILLED_ALONE
        self._after.append(asyncio.create_task(self.stage.kill(await self.victim(), alone=alone)))
        self.figures.kills += 1

    async def suspend(self) -> None:
        self._after.append(asyncio.create_task(self.stage.suspend(await self.victim())))
        self.figures.stops += 1

    async def kill_redis(self) -> None:
        await self.stage.kill_redis(self.chance.uniform(0.1, 3.0))
        self.figures.redis_kills += 1

    async def flush(self) -> None:
        await asyncio.to_thread(self.stage.flush)
        self.figures.flushes += 1

    async def victim(self) -> WorkerProcess:
        """One that runs, as soon as there is one, and not the one that is spared."""
        now = asyncio.get_running_loop().time()
        knowing = [each for each in self.stage.workers if self.stage.knows_the_others(each)]
        if now - self._spared_since > SPARED_SECONDS and (others := [each for each in knowing if each != self._spared]):
            self._spared, self._spared_since = self.chance.choice(others), now
        while True:
            away = {self._spared, *self.stage.suspended, *self.stage.returning}
            if found := [each for each in self.stage.workers if each not in away]:
                return self.chance.choice(found)
            await asyncio.sleep(0.1)

    async def end(self) -> None:
        """Every task ends; those that had too many workers killed under them are tried again, and end well."""
        desk, figures = self.stage.desk, self.figures
        found = await desk.until_ended(self.ids)
        figures.ended.update(task.status for task in found)
        figures.recoveries = [seconds for seconds, _ in self.stage.recoveries.found]
        self.slowest = self.stage.slowest_recovery()
        while failed := [task for task in found if task.status is TaskStatus.FAILED]:
            assert {task.error.code for task in failed if task.error} == {TaskFault.WORKER_LOST}
            async with desk.uow() as uow:
                for task in failed:
                    assert await uow.tasks.reopen(task.id)
                await uow.commit()
            await desk.queue.enqueue([Job(task.queue, task.id, task.attempt) for task in failed])
            found = await desk.until_ended(self.ids)
        assert {task.status for task in found} == {TaskStatus.SUCCEEDED}
        figures.attempts = sum(task.attempt for task in found)

    async def audit(self) -> None:
        figures = self.figures
        figures.tasks, figures.batches = len(self.ids), sum(self.batches.values())
        figures.refused = self.stage.logs().count("outcome=superseded")
        posted = await self.stage.posted()
        for task_id, batches in self.batches.items():
            count = posted.get(str(task_id), 0)
            figures.lost += [str(task_id)] * (count < batches)
            figures.doubled += [str(task_id)] * (count > batches)

    async def on_hand(self) -> Sequence[int]:
        ledger = Ledger.over(self.stage.desk.uow)
        summaries = [await ledger.queries.summary(product_id) for product_id in self.goods.ids]
        return [summary.on_hand for summary in summaries]


@pytest.fixture(scope="module")
def url(servers: Servers) -> str:
    return servers.fresh_database("mariadb")


async def test_no_task_is_lost_and_none_has_two_effects(url: str) -> None:
    figures = Figures(new_seed())
    chance = seeded(figures.seed)
    async with staged(url) as stage:
        ordeal = Ordeal(stage, await stage.goods(), figures, chance)
        try:
            async with loaded(stage, figures, chance):
                await ordeal.run(PLAN)
                await ordeal.end()
            await ordeal.audit()
        finally:
            print(figures, ordeal.slowest, stage.tracebacks()[-10_000:], sep="\n")  # noqa: T201 (what the run showed)
        assert not figures.lost
        assert not figures.doubled
        assert await ordeal.on_hand() == ordeal.expected
        # One that is suspended may have nothing to do just then; six are not all so.
        assert figures.refused > 0 or not LONG
        assert figures.recovery < RECOVERY_SECONDS
        assert figures.refused_requests < figures.requests / 100
        assert not stage.tracebacks()
