"""Valkey that is there and does not do what it is asked: out of memory, or without permission. What cannot be read or
kept is read from the database, and what cannot be released switches the cache off."""

import asyncio
import random

from tests.faults.cache.ordeal import endured
from tests.faults.cache.schedule import Fault, undeletable, unreadable, unwritable
from tests.faults.cache.stage import Stage
from tests.faults.cache.traffic import Mix
from tests.faults.chance import LONG
from tests.servers import Servers

MIX = Mix(readers=24, writers=8, writes=0.05, burst=4, twins=0.0)
GOOD = 0.999
FULL_SECONDS = 2.0


async def full(stage: Stage, _: random.Random) -> None:
    """It has less memory than it has used already: whatever needs some is refused."""
    async with stage.valkey_client() as client:
        await client.config_set("maxmemory-policy", "noeviction")
        await client.config_set("maxmemory", 1)
        await asyncio.sleep(FULL_SECONDS)
        await client.config_set("maxmemory", 0)


FAULTS: list[Fault] = [full, unreadable, undeletable, unwritable]
ROUNDS = 10 if LONG else 1


def test_a_cache_that_refuses_is_done_without(servers: Servers) -> None:
    for each in endured(servers, FAULTS * ROUNDS, MIX):
        assert (each.history.stale, each.history.impossible) == (0, 0)
        assert each.good >= GOOD
        assert each.history.turned_away <= each.history.checked / 10
        assert each.bypassed > 0
        assert each.acknowledged > 0
        assert each.unanswered == 0
