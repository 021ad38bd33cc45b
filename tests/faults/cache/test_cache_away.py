"""Valkey killed, and stopped, under load: reads go on without it, the database is asked once for each of them at most
and for a crowd once, and the cache is used again soon after its return."""

import asyncio
import random
from collections.abc import Sequence

import uvloop

from tests.faults.cache.mariadb import administrator, waiting
from tests.faults.cache.ordeal import endured
from tests.faults.cache.schedule import POLL_SECONDS, Fault, told_everywhere, usable_everywhere
from tests.faults.cache.stage import Stage, staged
from tests.faults.cache.traffic import Mix
from tests.faults.chance import LONG
from tests.servers import DatabaseServer, Servers

AWAY_SECONDS = 30.0 if LONG else 4.0
MIX = Mix(readers=100, writers=4, writes=0.01, burst=1, twins=0.0)
GOOD = 0.999
WRITTEN = 10
"""SELECTs that a write may cost."""
POLLS = 20
"""A second: two servers look at the fence every 0.25 s each, and at the client's key."""
USED_AGAIN_SECONDS = 15.0
"""5 until a fence opens, and 5 more where one of the first releases still fails; the rest is a busy machine's."""

CROWD = 40
KEYS = 4
SETTLED_ROUNDS = 10


async def killed(stage: Stage, _: random.Random) -> None:
    stage.valkey.kill()
    await asyncio.sleep(AWAY_SECONDS)
    await stage.valkey.come_back()


async def stopped(stage: Stage, _: random.Random) -> None:
    stage.valkey.suspend()
    await asyncio.sleep(AWAY_SECONDS)
    stage.valkey.resume()


FAULTS: Sequence[Fault] = (killed, stopped)


def test_reads_go_on_while_valkey_is_killed_or_stopped(servers: Servers) -> None:
    for each in endured(servers, FAULTS, MIX):
        assert (each.history.stale, each.history.impossible) == (0, 0)
        assert each.good >= GOOD
        assert each.bypassed > 0
        assert each.acknowledged > 0
        assert each.unanswered == 0
        assert each.selects <= each.reads + WRITTEN * each.acknowledged + POLLS * (each.seconds + 1)
        assert each.recovery <= USED_AGAIN_SECONDS


def test_a_crowd_without_the_cache_holds_one_connection_for_each_key_and_server(servers: Servers) -> None:
    url = servers.fresh_database("mariadb")
    held, statuses = uvloop.run(_crowded(url, servers.database_server("mariadb")))

    assert held == KEYS * 2
    assert statuses == [200] * CROWD * KEYS * 2


async def _crowded(url: str, database: DatabaseServer) -> tuple[int, Sequence[int]]:
    """The queries that wait while nobody may read the table and all of the crowd has asked, and its answers."""
    async with staged(url) as stage:
        made = [await stage.make("/v1/products", {"sku": f"CROWD-{number}", "name": "Rye"}) for number in range(KEYS)]
        requests = [stage.caller.request(f"/v1/products/{each['id']}") for each in made]
        await usable_everywhere(stage)
        stage.valkey.kill()
        await told_everywhere(stage, requests[0], "bypass")
        with administrator(database) as rival:
            rival.execute(f"LOCK TABLES {url.rpartition('/')[2]}.products WRITE")
            crowd = [
                asyncio.create_task(stage.ask(server, request))
                for request in requests
                for server in (0, 1)
                for _ in range(CROWD)
            ]
            held = await _most_waiting(database)
            rival.execute("UNLOCK TABLES")
        answers = await asyncio.gather(*crowd)
        await stage.valkey.come_back()
        return held, [answer.status for answer in answers]


async def _most_waiting(database: DatabaseServer) -> int:
    """How many statements wait once they have not become more for a second."""
    most, rounds = 0, 0
    while rounds < SETTLED_ROUNDS:
        count = len(await asyncio.to_thread(waiting, database))
        rounds = rounds + 1 if 0 < count <= most else 0
        most = max(most, count)
        await asyncio.sleep(POLL_SECONDS)
    return most
