"""Two processes of the server share the quotas of their callers, and go on without Redis."""

import asyncio
import re
from collections import Counter
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from uuid import uuid4

import pytest
from httpx import AsyncClient, Response

from tests.api.crowd import crowd
from tests.conftest import FreshDatabase
from tests.faults.returning import ReturningValkey
from tests.limiting.world import AGES
from tests.serving import WarehouseServer
from warehouse.auth.model import Role

QUOTA, STRANGERS = 100, 40
CLIENTS = 20
PATH = "/v1/products?limit=1"
AGAIN_SECONDS = 30.0
SETTINGS = {
    "RATE_LIMIT_DEFAULT": f"{QUOTA} per {AGES} seconds",
    "RATE_LIMIT_STRANGERS": f"{STRANGERS} per {AGES} seconds",
    "RATE_LIMIT_TRUSTED_PROXIES": "127.0.0.1",
    # On a busy machine, too, only what is away does not answer.
    "POLICIES_RATE_LIMIT": '{"timeout": 5}',
}


@pytest.fixture(scope="module")
def valkey() -> Iterator[ReturningValkey]:
    with ReturningValkey() as valkey:
        yield valkey


@pytest.fixture(scope="module")
def server(fresh_database: FreshDatabase, valkey: ReturningValkey) -> Iterator[WarehouseServer]:
    settings = {**SETTINGS, "REDIS_URL": valkey.url()}
    with WarehouseServer(fresh_database("sqlite"), workers=2, settings=settings) as server:
        yield server


@pytest.fixture
async def clients(server: WarehouseServer) -> AsyncIterator[Sequence[AsyncClient]]:
    """Without a key, at an address of the test's own, and known to every process."""
    async with crowd(server, "nobody", CLIENTS) as clients:
        address = f"2001:db8:{uuid4().hex[:4]}:{uuid4().hex[:4]}::1"
        for client in clients:
            del client.headers["Authorization"]
            client.headers["X-Forwarded-For"] = address
        yield clients


def by(key: str) -> Mapping[str, str]:
    return {"Authorization": f"Bearer {key}"}


async def known_key(server: WarehouseServer, clients: Sequence[AsyncClient]) -> tuple[str, int]:
    """A new key that every process knows, and how often it has been counted by now."""
    key = await asyncio.to_thread(server.key, Role.VIEWER)
    answers = [await client.get(PATH, headers=by(key)) for client in clients]
    assert {each.status_code for each in answers} == {200}
    return key, sum(each.headers["ratelimit-policy"].startswith('"default"') for each in answers)


async def ask(clients: Sequence[AsyncClient], key: str | None, count: int) -> Sequence[Response]:
    async def some(client: AsyncClient) -> Sequence[Response]:
        return [await client.get(PATH, headers=by(key) if key else {}) for _ in range(count // len(clients))]

    return [each for answers in await asyncio.gather(*map(some, clients)) for each in answers]


def statuses(answers: Sequence[Response]) -> Mapping[int, int]:
    return Counter(each.status_code for each in answers)


async def test_of_very_many_requests_at_once_exactly_the_quota_is_answered(
    server: WarehouseServer, clients: Sequence[AsyncClient]
) -> None:
    key, counted = await known_key(server, clients)
    answers = await ask(clients, key, 300)

    assert statuses(answers) == {200: QUOTA - counted, 429: 300 - QUOTA + counted}
    for each in answers:
        assert each.headers["ratelimit-policy"] == f'"default";q={QUOTA};w={AGES}'
        assert re.fullmatch(r'"default";r=\d+;t=\d+', each.headers["ratelimit"])
    refusal = next(each for each in answers if each.status_code == 429)
    assert refusal.json()["code"] == "rate_limited"
    assert int(refusal.headers["retry-after"]) >= 1


async def test_another_key_is_not_affected(server: WarehouseServer, clients: Sequence[AsyncClient]) -> None:
    key, _ = await known_key(server, clients)
    other, counted = await known_key(server, clients)
    await ask(clients, key, 300)
    assert statuses(await ask(clients, other, 60)) == {200: 60}
    assert counted + 60 <= QUOTA


async def test_a_stranger_has_the_quota_of_his_address(server: WarehouseServer, clients: Sequence[AsyncClient]) -> None:
    assert statuses(await ask(clients, None, 100)) == {401: STRANGERS, 429: 100 - STRANGERS}
    elsewhere = await clients[0].get(PATH, headers={"X-Forwarded-For": "198.51.100.1"})
    assert elsewhere.status_code == 401


async def test_without_redis_each_process_gives_out_the_quota_and_after_its_return_they_share_it_again(
    server: WarehouseServer, clients: Sequence[AsyncClient], valkey: ReturningValkey
) -> None:
    key, _ = await known_key(server, clients)
    other, _ = await known_key(server, clients)
    asking = asyncio.create_task(ask(clients, key, 600))
    await asyncio.to_thread(valkey.kill)
    found = statuses(await asking)
    assert found.keys() == {200, 429}
    given = found[200]
    # A process with few of the connections gives out its quota late.
    async with asyncio.timeout(AGAIN_SECONDS):
        while (found := statuses(await ask(clients, key, 100))) != {429: 100}:
            assert found.keys() <= {200, 429}
            given += found[200]
    assert given <= QUOTA * 3

    await valkey.come_back()
    await shared_again(clients, other)
    new, counted = await known_key(server, clients)
    assert statuses(await ask(clients, new, 300)) == {200: QUOTA - counted, 429: 300 - QUOTA + counted}


async def shared_again(clients: Sequence[AsyncClient], key: str) -> None:
    async with asyncio.timeout(AGAIN_SECONDS):
        while True:
            for client in clients:
                assert (await client.get(PATH, headers=by(key))).status_code in (200, 429)
            if not await open_circuits(clients[0]):
                return


async def open_circuits(client: AsyncClient) -> float:
    """Of all processes, to the counts of the quotas."""
    text = (await client.get("/metrics")).text
    [value] = re.findall(r'^warehouse_policy_not_closed{policy="rate_limit"} (\S+)$', text, re.MULTILINE)
    return float(value)
