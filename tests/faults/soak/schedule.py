"""What happens to the database, to Valkey, to the ways to them, and to the servers."""

import asyncio
import random
from collections.abc import Awaitable, Callable, Sequence

from tests.faults.database.stage import DatabaseStage, connection_ids, kill_connection, operator
from tests.faults.proxy import Network, Proxy
from tests.faults.returning import Returning

Fault = Callable[[DatabaseStage, random.Random], Awaitable[None]]
"""Brings it about, lets it last for some seconds, and undoes it."""

SECONDS = (0.3, 6.0)
STORM_SECONDS = 0.1


async def database_killed(stage: DatabaseStage, chance: random.Random) -> None:
    await _killed(stage.database, chance)


async def database_suspended(stage: DatabaseStage, chance: random.Random) -> None:
    await _suspended(stage.database, chance)


async def database_read_only(stage: DatabaseStage, chance: random.Random) -> None:
    # Beside the event loop, which serves the proxies: it waits for the transactions that are under way.
    await asyncio.to_thread(stage.database.execute, "SET GLOBAL read_only = 1")
    await _lasting(chance)
    stage.database.execute("SET GLOBAL read_only = 0")


async def connections_killed(stage: DatabaseStage, chance: random.Random) -> None:
    with operator(stage.database) as connection, connection.cursor() as cursor:
        for _ in range(chance.randint(5, 50)):
            for number in connection_ids(cursor)[:1]:
                kill_connection(cursor, number)
            await asyncio.sleep(STORM_SECONDS)


async def database_refused(stage: DatabaseStage, chance: random.Random) -> None:
    await _network(stage.ways, chance, Network.REFUSE)


async def database_blackholed(stage: DatabaseStage, chance: random.Random) -> None:
    await _network(stage.ways, chance, Network.BLACKHOLE)


async def database_muted(stage: DatabaseStage, chance: random.Random) -> None:
    await _network(stage.ways, chance, Network.MUTE)


async def database_slow(stage: DatabaseStage, chance: random.Random) -> None:
    await _poor(stage.ways, chance, delay=chance.uniform(0.02, 0.3))


async def database_lossy(stage: DatabaseStage, chance: random.Random) -> None:
    await _poor(stage.ways, chance, losses=chance.uniform(0.01, 0.1))


async def valkey_killed(stage: DatabaseStage, chance: random.Random) -> None:
    await _killed(stage.valkey, chance)


async def valkey_suspended(stage: DatabaseStage, chance: random.Random) -> None:
    await _suspended(stage.valkey, chance)


async def valkey_flushed(stage: DatabaseStage, chance: random.Random) -> None:
    async with stage.valkey_client() as client:
        for _ in range(chance.randint(1, 10)):
            await client.flushall()
            await asyncio.sleep(chance.uniform(0, 0.5))


async def valkey_refused(stage: DatabaseStage, chance: random.Random) -> None:
    await _network(stage.cache_ways, chance, Network.REFUSE)


async def valkey_blackholed(stage: DatabaseStage, chance: random.Random) -> None:
    await _network(stage.cache_ways, chance, Network.BLACKHOLE)


async def valkey_muted(stage: DatabaseStage, chance: random.Random) -> None:
    await _network(stage.cache_ways, chance, Network.MUTE)


async def valkey_slow(stage: DatabaseStage, chance: random.Random) -> None:
    await _poor(stage.cache_ways, chance, delay=chance.uniform(0.02, 0.6))


async def valkey_lossy(stage: DatabaseStage, chance: random.Random) -> None:
    await _poor(stage.cache_ways, chance, losses=chance.uniform(0.01, 0.1))


async def server_killed(stage: DatabaseStage, chance: random.Random) -> None:
    await _killed(chance.choice(stage.servers), chance)


FAULTS: Sequence[Fault] = (
    database_killed,
    database_suspended,
    database_read_only,
    connections_killed,
    database_refused,
    database_blackholed,
    database_muted,
    database_slow,
    database_lossy,
    valkey_killed,
    valkey_suspended,
    valkey_flushed,
    valkey_refused,
    valkey_blackholed,
    valkey_muted,
    valkey_slow,
    valkey_lossy,
    server_killed,
)


async def _lasting(chance: random.Random) -> None:
    await asyncio.sleep(chance.uniform(*SECONDS))


async def _killed(server: Returning, chance: random.Random) -> None:
    server.kill()
    await _lasting(chance)
    await server.come_back()


async def _suspended(server: Returning, chance: random.Random) -> None:
    server.suspend()
    try:
        await _lasting(chance)
    finally:
        server.resume()


async def _network(ways: Sequence[Proxy], chance: random.Random, network: Network) -> None:
    some = _some(ways, chance)
    for way in some:
        await way.become(network)
    await _lasting(chance)
    for way in some:
        await way.become(Network.PASS)


async def _poor(ways: Sequence[Proxy], chance: random.Random, *, delay: float = 0.0, losses: float = 0.0) -> None:
    some = _some(ways, chance)
    for way in some:
        await way.become(Network.PASS, delay, slice_=1024, losses=losses)
    await _lasting(chance)
    for way in some:
        await way.become(Network.PASS)


def _some(ways: Sequence[Proxy], chance: random.Random) -> Sequence[Proxy]:
    """One server's or all."""
    return chance.sample(ways, chance.randint(1, len(ways)))
