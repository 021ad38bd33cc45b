"""The database stands still: it accepts everything and answers nothing."""

import asyncio
import os
import statistics
from collections.abc import Sequence

from tests.faults.database.experiment import DEADLINE, IN_TIME, LATE, experiment, until
from tests.faults.database.figures import Answered
from tests.faults.database.stage import DatabaseStage
from tests.faults.returning import ReturningMariaDb, ReturningValkey
from warehouse.settings import DatabaseSettings

SUSPENDED_SECONDS = 20.0
LOOK_SECONDS = 0.1
FAST_SECONDS = 0.05
"""Beyond what the least of answers takes on this machine meanwhile."""
RECOVERY_SECONDS = 5.0
CLOSING_SECONDS = 15.0
"""Within which it has noticed who has left meanwhile."""
POOLS = 2
"""For transactions and for reads; what is watched has one connection of its own."""


async def test_it_is_answered_in_time_then_at_once_and_leaks_no_connection(
    own_mariadb: ReturningMariaDb, own_valkey: ReturningValkey
) -> None:
    loop = asyncio.get_running_loop()
    most = POOLS * DatabaseSettings().pool_size + 1
    async with experiment("database suspended", own_mariadb, own_valkey, settings=IN_TIME, clients=20) as running:
        figures, stage = running.figures, running.stage
        async with running.load.running(running.clients):
            await running.answers(200)
            files = _files(stage)
            own_mariadb.suspend()
            figures.faults += 1
            suspended = loop.time()
            try:
                while loop.time() < suspended + SUSPENDED_SECONDS:
                    await running.load.read(running.clients[0], "/livez")
                    await asyncio.sleep(LOOK_SECONDS)
            finally:
                own_mariadb.resume()
            resumed = loop.time()
            figures.recovery = await running.usable()
        late = suspended + SUSPENDED_SECONDS / 2, resumed
        refusals = [each for each in figures.between(*late) if each.status == 503]
        assert _median(refusals) < FAST_SECONDS + _median(figures.reads(*late, "/livez"))
        assert figures.slowest <= DEADLINE + LATE
        assert figures.recovery <= RECOVERY_SECONDS
        await until(lambda: stage.connections() <= most * len(stage.servers), CLOSING_SECONDS)
        await until(lambda: all(n <= before + most for n, before in zip(_files(stage), files, strict=True)))


def _median(answers: Sequence[Answered]) -> float:
    return statistics.median(each.seconds for each in answers)


def _files(stage: DatabaseStage) -> list[int]:
    """How many each server has open."""
    return [len(os.listdir(f"/proc/{server.pid}/fd")) for server in stage.servers]
