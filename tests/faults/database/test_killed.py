"""The database killed with -9 under load."""

import asyncio

from tests.faults.chance import LONG
from tests.faults.database.experiment import DEADLINE, IN_TIME, LATE, experiment
from tests.faults.returning import ReturningMariaDb, ReturningValkey

KILLS = 10 if LONG else 2
AWAY_SECONDS = (0.5, 8.0) if LONG else (0.5, 3.0)
READY_SECONDS = 10.0
"""After it accepts connections again."""


async def test_no_acknowledged_write_is_lost_and_answers_are_in_time(
    own_mariadb: ReturningMariaDb, own_valkey: ReturningValkey
) -> None:
    loop = asyncio.get_running_loop()
    async with experiment("database killed", own_mariadb, own_valkey, settings=IN_TIME) as running:
        figures = running.figures
        async with running.load.running(running.clients):
            for _ in range(KILLS):
                await running.answers(running.chance.randint(50, 200))
                killed = loop.time()
                own_mariadb.kill()
                figures.faults += 1
                await asyncio.sleep(running.chance.uniform(*AWAY_SECONDS))
                away = loop.time()
                await own_mariadb.come_back()
                figures.recovery = max(figures.recovery, await running.ready())
                writes = figures.writes(killed, away)
                assert writes
                assert {each.status for each in writes} == {503}
        assert figures.recovery <= READY_SECONDS
        assert figures.slowest <= DEADLINE + LATE
