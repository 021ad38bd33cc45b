"""However many keys a client makes up, they take no more memory than Valkey is given."""

import asyncio
import itertools
from collections.abc import Iterator, Sequence
from urllib.parse import quote

import orjson
import uvloop
from redis.asyncio import Redis

from tests.conftest import FreshDatabase
from tests.faults.cache.schedule import usable_everywhere
from tests.faults.cache.stage import Stage, staged
from tests.faults.cache.wire import Connection

LIMIT = 32 << 20
OPTIONS = ("--maxmemory", str(LIMIT), "--maxmemory-policy", "volatile-lru")
"""As the embedded default has it, but for the size."""
SLACK = 1 << 20
"""What may be over for a moment: room is made one command at a time."""
NAME = "Ambrosial Breakfast Cardamom Dumplings"
SEARCHES = 1000
FOUND = 50
CLIENTS = 8
ANSWER_SECONDS = 30.0


def test_searches_without_end_do_not_fill_the_memory(fresh_database: FreshDatabase) -> None:
    peak, evicted, fences, last = uvloop.run(_search(fresh_database("mariadb")))

    assert peak <= LIMIT + SLACK
    assert evicted > SEARCHES / 2
    assert fences == 0
    assert "Warehouse; hit" in last


async def _search(database_url: str) -> tuple[int, int, float, Sequence[str]]:
    """The most memory that was used, the keys that made room, the fences, and what became of the last search when it
    was sent again."""
    async with staged(database_url, options=OPTIONS) as stage, stage.valkey_client() as client:
        products = [{"sku": f"M-{number}", "name": NAME, "description": _text(number)} for number in range(FOUND)]
        await stage.make("/v1/products/batch", {"products": products})
        await usable_everywhere(stage)
        searches = _searches()
        connections = [Connection(port) for port in stage.ports * (CLIENTS // len(stage.ports))]
        peaks = await asyncio.gather(*(_search_on(stage, each, searches, client) for each in connections))
        for each in connections:
            await each.close()
        again = stage.caller.request(next(_searches()))
        last = [(await stage.ask(1, again)).cache for _ in range(5)]
        evicted = (await client.info("stats"))["evicted_keys"]
        return max(peaks), evicted, await stage.metrics("warehouse_cache_fences_total"), last


async def _search_on(stage: Stage, connection: Connection, searches: Iterator[str], client: "Redis") -> int:
    peak = 0
    for path in searches:
        answer = await connection.ask(stage.caller.request(path), ANSWER_SECONDS)
        assert (answer.status, len(orjson.loads(answer.body)["data"])) == (200, FOUND)
        peak = max(peak, (await client.info("memory"))["used_memory"])
    return peak


def _searches() -> Iterator[str]:
    """Each another way to ask for all products."""
    words = [[word[:length] for length in range(2, len(word) + 1)] for word in NAME.split()]
    asked = (f"/v1/products?q={quote(' '.join(each))}" for each in itertools.product(*words))
    return itertools.islice(asked, SEARCHES)


def _text(number: int) -> str:
    """One that does not get much smaller."""
    return " ".join(str((number * 1000 + each) ** 7) for each in range(1, 40))
