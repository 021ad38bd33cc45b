"""What the database does to single connections and transactions is nothing that clients notice."""

import asyncio

from tests.faults.chance import LONG
from tests.faults.commands import Sent
from tests.faults.database.experiment import Experiment, experiment, until
from tests.faults.database.rival import counted, rival, waited_for
from tests.faults.database.stage import connection_ids, kill_connection, operator
from tests.faults.returning import ReturningMariaDb, ReturningValkey

KILLS = 600 if LONG else 40
KILL_SECONDS = 0.1
ROUNDS = 20 if LONG else 3
TIMEOUTS = 2
"""So often each of the waiting is sent away before it gets the lock."""


async def test_killed_connections(own_mariadb: ReturningMariaDb, own_valkey: ReturningValkey) -> None:
    async with experiment("KILL CONNECTION", own_mariadb, own_valkey) as running:
        with operator(own_mariadb) as connection, connection.cursor() as cursor:
            async with running.load.running(running.clients):
                await running.answers(100)
                while running.figures.faults < KILLS:
                    if ids := connection_ids(cursor):
                        kill_connection(cursor, running.chance.choice(ids))
                        running.figures.faults += 1
                    await asyncio.sleep(KILL_SECONDS)
        assert running.figures.refused == []


async def test_lock_timeouts(own_mariadb: ReturningMariaDb, own_valkey: ReturningValkey) -> None:
    async with experiment("1205", own_mariadb, own_valkey, settings={"DATABASE_TIMEOUT": "1"}) as running:
        before = counted(running, "lock_timeouts")
        for _ in range(ROUNDS):
            commands = [running.commands.of("receipts", 1) for _ in range(2)]
            async with rival(running) as other:
                await other.lock(running.load.records.location)
                sending = asyncio.create_task(_all(running, commands))
                await _counted(running, "lock_timeouts", TIMEOUTS * len(commands))
            await sending
        running.figures.faults = counted(running, "lock_timeouts") - before
        assert running.figures.refused == []


async def test_deadlocks(own_mariadb: ReturningMariaDb, own_valkey: ReturningValkey) -> None:
    async with experiment("1213", own_mariadb, own_valkey) as running:
        records = running.load.records
        await running.done(running.commands.of("receipts", 50))
        await running.done(running.commands.of("transfers", 1))
        before = counted(running, "lock_deadlocks")
        for _ in range(ROUNDS):
            async with rival(running) as other:
                await other.lock(records.other_location)
                sending = asyncio.create_task(_all(running, [running.commands.of("transfers", 1)]))
                await waited_for(running)
                await other.lock(records.location)
            await sending
        running.figures.faults = counted(running, "lock_deadlocks") - before
        assert running.figures.faults >= ROUNDS
        assert running.figures.refused == []


async def _counted(running: Experiment, metric: str, count: int) -> None:
    """Until there are so many more."""
    enough = counted(running, metric) + count
    await until(lambda: counted(running, metric) >= enough)


async def _all(running: Experiment, commands: list[Sent]) -> None:
    """Each by another server."""
    await asyncio.gather(
        *(running.load.send(client, sent) for client, sent in zip(running.clients, commands, strict=False))
    )
