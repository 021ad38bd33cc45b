"""A server that takes all writes cannot reach Valkey, and another one that answers reads from it can: the cache is
switched off for both before a write is acknowledged, and the write is acknowledged within its deadline."""

import asyncio
import random
from collections.abc import Sequence
from typing import Any

import orjson
import uvloop

from tests.conftest import FreshDatabase
from tests.faults.cache.ordeal import FENCES, endured
from tests.faults.cache.schedule import Fault, usable_everywhere
from tests.faults.cache.stage import Stage, staged
from tests.faults.cache.traffic import Mix
from tests.faults.chance import LONG
from tests.faults.proxy import Network
from tests.servers import Servers

CUT_SECONDS = 30.0 if LONG else 4.0
WRITER = 0
MIX = Mix(readers=24, writers=8, writes=0.05, burst=4, twins=0.0, written_at=(WRITER,))
GOOD = 0.999
DEADLINE_SECONDS = 15.0
CROWD = 20


async def refused(stage: Stage, _: random.Random) -> None:
    await _cut(stage, Network.REFUSE)


async def blackholed(stage: Stage, _: random.Random) -> None:
    await _cut(stage, Network.BLACKHOLE)


async def muted(stage: Stage, _: random.Random) -> None:
    await _cut(stage, Network.MUTE)


async def _cut(stage: Stage, network: Network) -> None:
    await stage.proxy.become(network)
    await asyncio.sleep(CUT_SECONDS)
    await stage.proxy.become(Network.PASS)


FAULTS: Sequence[Fault] = (refused, blackholed, muted)


def test_nothing_stale_is_read_where_the_writer_alone_cannot_reach_valkey(servers: Servers) -> None:
    for each in endured(servers, FAULTS, MIX):
        assert (each.history.stale, each.history.impossible) == (0, 0)
        assert each.good >= GOOD
        assert each.acknowledged > 0
        assert each.unanswered == 0
        assert each.history.slowest_write <= DEADLINE_SECONDS


def test_the_first_writes_after_its_return_do_not_switch_the_cache_off_again(fresh_database: FreshDatabase) -> None:
    during, after = uvloop.run(_fences(fresh_database("mariadb")))

    assert during > 0
    assert after == 0


async def _fences(database_url: str) -> tuple[float, float]:
    """Of a crowd of writes while the writer is cut off, and of another once the cache is used again."""
    async with staged(database_url) as stage:
        made = [await stage.make("/v1/products", {"sku": f"CUT-{number}", "name": "Rye"}) for number in range(CROWD)]
        await usable_everywhere(stage)
        await stage.proxy.become(Network.REFUSE)
        during = await _fences_of_writes(stage, made, "Cut")
        await usable_everywhere(stage)  # the other server has found that it is there
        await stage.proxy.become(Network.PASS)
        return during, await _fences_of_writes(stage, made, "Back")


async def _fences_of_writes(stage: Stage, products: Sequence[Any], name: str) -> float:
    before = await stage.metrics(FENCES)
    paths = [f"/v1/products/{product['id']}" for product in products]
    requests = [stage.caller.request(path, "PATCH", orjson.dumps({"name": name}), if_match="*") for path in paths]
    answers = await asyncio.gather(*(stage.ask(WRITER, request) for request in requests))
    assert [answer.status for answer in answers] == [200] * len(products)
    return await stage.metrics(FENCES) - before
