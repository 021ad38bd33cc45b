"""Connections to Valkey that ended while nobody used them are no reason to refuse anything."""

import asyncio
from collections.abc import Sequence
from uuid import uuid4

import orjson
import uvloop

from tests.conftest import FreshDatabase
from tests.faults.cache.schedule import usable_everywhere
from tests.faults.cache.stage import Stage, staged
from tests.faults.proxy import Network

FAR, NEAR = 0, 1
ROUNDS = 10
CROWD = 20
"""So many connections lie in the server's pool."""


def test_requests_after_a_reset_are_answered_and_released(fresh_database: FreshDatabase) -> None:
    failures, stale = uvloop.run(_resets(fresh_database("mariadb")))

    assert failures == []
    assert stale == []


async def _resets(database_url: str) -> tuple[Sequence[bytes], Sequence[bytes]]:
    """The answers that were none, and those that the other server gave after a write to it."""
    failures, stale = [], []
    async with staged(database_url) as stage:
        paths = [await _made(stage) for _ in range(CROWD)]
        for round_ in range(ROUNDS):
            await usable_everywhere(stage)
            await asyncio.gather(*(_get(stage, server, path) for server in (FAR, NEAR) for path in paths))
            await stage.proxy.become(Network.REFUSE)
            await stage.proxy.become(Network.PASS)
            name = f"Name {round_}"
            change = orjson.dumps({"name": name})
            requests = [stage.caller.request(path, "PATCH", change, if_match="*") for path in paths]
            answers = await asyncio.gather(*(stage.ask(FAR, request) for request in requests))
            failures += [answer.body for answer in answers if answer.status != 200]
            read = await asyncio.gather(*(_get(stage, NEAR, path) for path in paths))
            stale += [body for body in read if orjson.loads(body).get("name") != name]
    return failures, stale


async def _made(stage: Stage) -> str:
    product = await stage.make("/v1/products", {"sku": uuid4().hex, "name": "Rye bread"})
    return f"/v1/products/{product['id']}"


async def _get(stage: Stage, server: int, path: str) -> bytes:
    return (await stage.ask(server, stage.caller.request(path))).body
