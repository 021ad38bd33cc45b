"""A write may find that another has done its work already, and not released it from the cache yet. It is answered all
the same only when nobody reads there any more what was before it."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

import orjson
import uvloop

from tests.conftest import FreshDatabase
from tests.faults.cache.schedule import usable_everywhere
from tests.faults.cache.stage import Stage, staged
from tests.faults.proxy import Network

FAR, NEAR = 0, 1
ROUNDS = 10
COMMIT_SECONDS = 10.0
OLD, NEW = "Old", "New"


@dataclass(frozen=True)
class Case:
    """`path` shows `NEW` once `first` is done; `again` is to find it done."""

    name: str
    path: str
    first: bytes
    again: bytes


async def _cases(stage: Stage) -> Sequence[Case]:
    """Each on a record of its own. Of the last one nothing is sent again."""
    code = uuid4().hex[:8]
    sku = f"s{code}"
    product, untouched = [
        (await stage.make("/v1/products", {"sku": each, "name": OLD})) for each in (sku, f"{sku}-untouched")
    ]
    await stage.make("/v1/products", {"sku": f"{sku}-row", "name": OLD})
    warehouse = await stage.make("/v1/warehouses", {"code": code, "name": OLD})
    locations = f"/v1/warehouses/{warehouse['id']}/locations"
    location = await stage.make(locations, {"code": "A", "name": OLD})
    row = {"products": [{"sku": f"{sku}-row", "name": NEW}]}
    paths = {
        "product": f"/v1/products/{product['id']}",
        "warehouse": f"/v1/warehouses/{warehouse['id']}",
        "location": f"/v1/locations/{location['id']}",
        "untouched": f"/v1/products/{untouched['id']}",
    }
    changes = {name: _sent(stage, path, "PATCH", {"name": NEW}, if_match="*") for name, path in paths.items()}
    cases = [Case(name, path, changes[name], changes[name]) for name, path in paths.items()]
    batch = _sent(stage, "/v1/products/batch", "POST", row)
    return [Case("row of a batch", f"/v1/products/by-sku/{sku}-row", batch, batch), *cases]


def test_it_is_answered_no_sooner_than_what_it_found_done(fresh_database: FreshDatabase) -> None:
    assert uvloop.run(_stale(fresh_database("mariadb"))) == []


async def _stale(database_url: str) -> Sequence[str]:
    """The cases in which the old was read after the answer to the second write."""
    async with staged(database_url) as stage:
        for _ in range(ROUNDS):
            await usable_everywhere(stage)
            *cases, untouched = await _cases(stage)
            for case in (*cases, untouched):
                assert OLD in [await _name(stage, case.path) for _ in range(2)]
            async with _written_from_afar(stage, (*cases, untouched)):
                again = await asyncio.gather(*(stage.ask(NEAR, case.again) for case in cases))
                read = [await _name(stage, case.path) for case in cases]
                cache_is_in_use = await _name(stage, untouched.path) == OLD
            assert [answer.status for answer in again] == [200] * len(cases)
            if cache_is_in_use:
                return [case.name for case, name in zip(cases, read, strict=True) if name != NEW]
    raise AssertionError("the cache was always off before the second writes were answered")


@asynccontextmanager
async def _written_from_afar(stage: Stage, cases: Sequence[Case]) -> AsyncIterator[None]:
    """The first writes are committed, and cannot be released."""
    await stage.proxy.become(Network.BLACKHOLE)
    writes = [asyncio.create_task(stage.ask(FAR, case.first)) for case in cases]
    async with asyncio.timeout(COMMIT_SECONDS):
        for case in cases:
            while await _name(stage, case.path, cache_control="no-cache") != NEW:  # noqa: ASYNC110 (it is in the database)
                await asyncio.sleep(0)
    try:
        yield
    finally:
        await stage.proxy.become(Network.PASS)
        assert [answer.status for answer in await asyncio.gather(*writes)] == [200] * len(cases)


def _sent(stage: Stage, path: str, method: str, body: Any, **headers: str) -> bytes:
    return stage.caller.request(path, method, orjson.dumps(body), **headers)


async def _name(stage: Stage, path: str, **headers: str) -> str:
    name: str = orjson.loads((await stage.ask(NEAR, stage.caller.request(path, **headers))).body)["name"]
    return name
