"""The database goes away: what is cached goes on being shown for a while, for what it is, to who takes it."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

import pytest
from httpx import AsyncClient, Response
from sqlalchemy.engine import make_url

from tests.api.calls import Json, Records, made, new_key, new_product, new_records
from tests.api.crowd import new_client
from tests.conftest import FreshDatabase
from tests.faults.proxy import Network, Proxy
from tests.servers import DatabaseServer
from tests.serving import WarehouseServer, check
from warehouse.auth.model import Role

STALE_SECONDS = 20.0
AGAIN_SECONDS = 60.0
HIT = "Warehouse; hit"
STALE = "Warehouse; hit; detail=stale-if-error"
SNAPSHOT = "/v1/products/snapshot"
GONE = [Network.REFUSE, Network.BLACKHOLE]


@dataclass(frozen=True)
class Stage:
    """The server reaches its database by the proxy. `client` has an admin's key."""

    server: WarehouseServer
    proxy: Proxy
    client: AsyncClient
    records: Records

    @property
    def cached(self) -> list[str]:
        product, location = self.records.product["id"], self.records.location
        return [
            f"/v1/products/{product}",
            f"/v1/products?q={self.records.product['sku']}",
            f"/v1/stock?product_id={product}",
            f"/v1/stock/summary/{product}",
            f"/v1/locations/{location['id']}",
            SNAPSHOT,
        ]

    async def shown(self) -> dict[str, Json]:
        """What is cached now, by its path."""
        shown = {}
        for path in self.cached:
            await self.client.get(path)
            answer = await self.client.get(path)
            assert answer.status_code == 200, answer.text
            assert answer.headers["cache-status"] == HIT, path
            shown[path] = answer.json()
        return shown

    @asynccontextmanager
    async def outage(self, network: Network) -> AsyncIterator[None]:
        """Afterwards the server answers from the database again."""
        await self.proxy.become(network)
        try:
            yield
        finally:
            await self.proxy.become(Network.PASS)
            await self.is_back()

    async def is_back(self) -> None:
        async with asyncio.timeout(AGAIN_SECONDS):
            while True:
                if await self._is_as_before():
                    return
                await asyncio.sleep(0.1)

    async def _is_as_before(self) -> bool:
        written = await self.client.post("/v1/stock/receipts", json={"lines": [self.records.line]}, headers=new_key())
        read = await self.client.get("/v1/stock/movements?limit=1")
        answers = [await self.client.get(path) for path in self.cached * 2]
        hits = [each.status_code == 200 and each.headers["cache-status"] == HIT for each in answers]
        return written.status_code == 201 and read.status_code == 200 and all(hits[len(self.cached) :])


@pytest.fixture(scope="module")
async def stage(mariadb: DatabaseServer, fresh_database: FreshDatabase) -> AsyncIterator[Stage]:
    url = make_url(fresh_database("mariadb"))
    async with AsyncExitStack() as stack:
        proxy = await stack.enter_async_context(Proxy(mariadb.address.port or 0))
        proxied = url.set(port=proxy.port).render_as_string(hide_password=False)
        server = WarehouseServer(proxied, workers=1, settings={"CACHE_STALE_SECONDS": f"{STALE_SECONDS}"})
        # Beside the event loop, which serves the proxy.
        await asyncio.to_thread(server.start)
        stack.push_async_callback(asyncio.to_thread, server.stop)
        key = await asyncio.to_thread(server.key, Role.ADMIN)
        client = await stack.enter_async_context(new_client(server, key))
        stage = Stage(server, proxy, client, await new_records(client))
        await stage.is_back()  # for a server that has just started does without its cache for some seconds
        yield stage
    await asyncio.to_thread(check, url.render_as_string(hide_password=False))


def is_refused(answer: Response) -> bool:
    return answer.status_code == 503 and int(answer.headers["retry-after"]) >= 1


@pytest.mark.parametrize("network", GONE)
async def test_what_is_cached_goes_on_being_shown(stage: Stage, network: Network) -> None:
    before = await stage.shown()
    async with stage.outage(network):
        # At once, as each waits for a database that hangs, until it is known to do so.
        await asyncio.gather(*(until_stale(stage.client, path) for path in stage.cached))
        answers = await asyncio.gather(*map(stage.client.get, before))
        assert {(each.status_code, each.headers["cache-status"]) for each in answers} == {(200, STALE)}
        assert [each.json() for each in answers] == list(before.values())


async def until_stale(client: AsyncClient, path: str) -> None:
    """While the last look at the database counts, answers are as good as ever; none is missing."""
    async with asyncio.timeout(STALE_SECONDS):
        while True:
            answer = await client.get(path)
            assert answer.status_code == 200, answer.text
            if answer.headers["cache-status"] == STALE:
                return
            await asyncio.sleep(0.05)


async def until_refused(client: AsyncClient, path: str, control: str) -> None:
    """While the last look at the database counts, what is cached is no older than it should be."""
    async with asyncio.timeout(STALE_SECONDS):
        while True:
            answer = await client.get(path, headers={"Cache-Control": control})
            if is_refused(answer):
                return
            assert answer.headers["cache-status"] != STALE
            await asyncio.sleep(0.05)


async def test_it_can_be_asked_for_on_condition_and_in_part(stage: Stage) -> None:
    await stage.shown()
    plain = {"Accept-Encoding": "identity"}
    whole = await stage.client.get(SNAPSHOT, headers=plain)
    tags = {path: (await stage.client.get(path)).headers["etag"] for path in stage.cached}
    async with stage.outage(Network.REFUSE):
        for path, tag in tags.items():
            await until_stale(stage.client, path)
            assert (await stage.client.get(path, headers={"If-None-Match": tag})).status_code == 304
            assert (await stage.client.head(path)).status_code == 200
        part = await stage.client.get(SNAPSHOT, headers={**plain, "Range": "bytes=0-9"})
        assert (part.status_code, part.content) == (206, whole.content[:10])


@pytest.mark.parametrize("control", ["no-cache", "stale-if-error=0", "max-age=5, stale-if-error=0", "no-store"])
async def test_who_does_not_take_it_is_told_that_there_is_nothing_newer(stage: Stage, control: str) -> None:
    await stage.shown()
    async with stage.outage(Network.REFUSE):
        for path in stage.cached:
            await until_refused(stage.client, path, control)
            await until_stale(stage.client, path)


async def test_nothing_but_what_is_cached_is_answered(stage: Stage) -> None:
    await stage.shown()
    async with stage.outage(Network.REFUSE):
        await until_stale(stage.client, stage.cached[0])
        for path in ("/v1/stock/movements", "/v1/reservations", "/v1/api-keys", "/v1/products?q=not+asked+before"):
            assert is_refused(await stage.client.get(path)), path
        receipt = {"lines": [stage.records.line]}
        assert is_refused(await stage.client.post("/v1/stock/receipts", json=receipt, headers=new_key()))


async def test_a_key_that_was_revoked_or_is_not_known_is_refused(stage: Stage) -> None:
    revoked = await made(stage.client, "/v1/api-keys", {"name": "Scanner", "role": "viewer"})
    async with new_client(stage.server, revoked["key"]) as scanner:
        assert (await scanner.get(stage.cached[0])).status_code == 200
        assert (await stage.client.delete(f"/v1/api-keys/{revoked['id']}")).status_code == 204
        await stage.shown()
        async with stage.outage(Network.REFUSE):
            await until_stale(stage.client, stage.cached[0])
            for path in stage.cached:
                assert is_refused(await scanner.get(path))
                guess = {"Authorization": f"Bearer {revoked['key'][:-1]}"}
                assert is_refused(await stage.client.get(path, headers=guess))


async def test_what_was_written_before_is_never_shown_in_its_old_form(stage: Stage) -> None:
    product = await new_product(stage.client)
    path, listed = f"/v1/products/{product['id']}", f"/v1/products?q={product['sku']}"
    for cached in (path, listed, SNAPSHOT):
        await stage.client.get(cached)
    changed = await stage.client.patch(path, json={"name": "Rye"}, headers={"If-Match": "*"})
    assert changed.status_code == 200
    await stage.client.get(stage.cached[0])
    async with stage.outage(Network.REFUSE):
        await until_stale(stage.client, stage.cached[0])
        for cached in (path, listed, SNAPSHOT):
            assert is_refused(await stage.client.get(cached))
    assert (await stage.client.get(path)).json()["name"] == "Rye"


async def test_it_is_shown_for_a_bounded_time(stage: Stage) -> None:
    await stage.shown()
    begun = time.monotonic()
    async with stage.outage(Network.REFUSE):
        async with asyncio.timeout(STALE_SECONDS * 3):
            while True:
                if all([is_refused(await stage.client.get(path)) for path in stage.cached]):
                    break
                await asyncio.sleep(0.2)
        assert time.monotonic() - begun >= STALE_SECONDS - 1
