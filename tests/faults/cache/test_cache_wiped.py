"""Valkey is wiped, and filled again by readers, while a write waits for leave to commit: what they have kept is not
read any more once the write is acknowledged."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import orjson
import uvloop

from tests.faults.cache.mariadb import administrator, waiting
from tests.faults.cache.schedule import POLL_SECONDS, usable_everywhere
from tests.faults.cache.stage import Stage, staged
from tests.servers import DatabaseServer, Servers

SERVERS = (0, 1)
OLD, NEW = "Old", "New"
PRODUCTS = 5
WAIT_SECONDS = 10.0
NO_COMMIT = ("BACKUP STAGE START", "BACKUP STAGE BLOCK_COMMIT")


def test_what_is_kept_between_a_wipe_and_a_commit_is_not_read_after_it(servers: Servers) -> None:
    url = servers.fresh_database("mariadb")
    kept, after, fences = uvloop.run(_wiped(url, servers.database_server("mariadb")))

    assert kept == [OLD] * PRODUCTS * len(SERVERS)
    assert after == [NEW] * PRODUCTS * len(SERVERS)
    assert fences == 0


async def _wiped(url: str, database: DatabaseServer) -> tuple[Sequence[str], Sequence[str], float]:
    """What was read from the cache before the commits, what was read after them, and the fences."""
    async with staged(url) as stage:
        made = [await stage.make("/v1/products", {"sku": f"WIPED-{each}", "name": OLD}) for each in range(PRODUCTS)]
        paths = [f"/v1/products/{each['id']}" for each in made]
        await usable_everywhere(stage)
        await _all_kept(stage, paths)
        change = orjson.dumps({"name": NEW})
        async with _no_commit(database):
            writes = [
                asyncio.create_task(stage.ask(number % 2, stage.caller.request(path, "PATCH", change, if_match="*")))
                for number, path in enumerate(paths)
            ]
            await _all_wait(database)
            async with stage.valkey_client() as client:
                await client.flushall()
            kept = await _all_kept(stage, paths)
        assert [answer.status for answer in await asyncio.gather(*writes)] == [200] * PRODUCTS
        return (
            kept,
            [name for name, _ in await _all_read(stage, paths)],
            await stage.metrics("warehouse_cache_fences_total"),
        )


@asynccontextmanager
async def _no_commit(database: DatabaseServer) -> AsyncIterator[None]:
    """Transactions do all they have to, and wait at their COMMIT."""
    with administrator(database) as rival:
        for statement in NO_COMMIT:
            rival.execute(statement)
        yield
        rival.execute("BACKUP STAGE END")


async def _all_wait(database: DatabaseServer) -> None:
    async with asyncio.timeout(WAIT_SECONDS):
        while list(await asyncio.to_thread(waiting, database)) != ["COMMIT"] * PRODUCTS:  # noqa: ASYNC110 (it is another process)
            await asyncio.sleep(POLL_SECONDS)


async def _all_kept(stage: Stage, paths: Sequence[str]) -> Sequence[str]:
    """What is read once all of it is in the cache."""
    async with asyncio.timeout(WAIT_SECONDS):
        while True:
            read = await _all_read(stage, paths)
            if all(is_hit for _, is_hit in read):
                return [name for name, _ in read]


async def _all_read(stage: Stage, paths: Sequence[str]) -> Sequence[tuple[str, bool]]:
    """At every server: the name, and whether it was in the cache."""
    answers = [await stage.ask(server, stage.caller.request(path)) for server in SERVERS for path in paths]
    return [(orjson.loads(answer.body)["name"], "hit" in answer.cache) for answer in answers]
