"""The cache's store on a real Valkey."""

import asyncio
from collections.abc import AsyncIterator

import pytest
import redis.asyncio as redis

from tests.servers import Valkey
from warehouse.cache.redis import BATCH, RedisCacheStore
from warehouse.cache.store import StoreFailure
from warehouse.ids import new_id
from warehouse.policies import Policies


@pytest.fixture
async def client(valkey: Valkey) -> AsyncIterator["redis.Redis"]:
    client: redis.Redis = redis.Redis.from_url(valkey.url(), socket_timeout=5)
    yield client
    await client.aclose()


@pytest.fixture
async def store(client: "redis.Redis") -> AsyncIterator[RedisCacheStore]:
    store = store_on(client)
    yield store
    await store.close()


def store_on(client: "redis.Redis") -> RedisCacheStore:
    policies = Policies(cache_seconds=5.0)
    return RedisCacheStore(client, policies.cache, policies.cache_releases)


@pytest.fixture
def name() -> str:
    return new_id().hex


async def test_a_value_is_there_until_it_is_dropped(store: RedisCacheStore, name: str) -> None:
    assert await store.fetch([name]) == [None]
    await store.fill({name: b"\0value"}, 60)
    assert await store.fetch([name, f"{name}-other"]) == [b"\0value", None]
    assert 0 < await store.seconds_left(name) <= 60
    await store.drop([name])
    assert await store.fetch([name]) == [None]
    assert await store.seconds_left(name) < 0


async def test_a_token_goes_to_whoever_comes_first(store: RedisCacheStore, name: str) -> None:
    keys = [f"{name}-{number}" for number in range(3)]
    assert await store.claim({keys[0]: b"first"}) == [b"first"]
    assert await store.claim(dict.fromkeys(keys, b"second")) == [b"first", b"second", b"second"]


async def test_a_lease_is_held_by_one_and_given_up_by_a_fill(store: RedisCacheStore, name: str) -> None:
    assert [await store.lease(name, 60) for _ in range(2)] == [True, False]
    await store.fill({f"{name}-value": b"value"}, 60, [name])
    assert await store.lease(name, 60)


async def test_many_reads_at_once_each_get_their_own(store: RedisCacheStore, name: str) -> None:
    keys = [f"{name}-{number}" for number in range(3000)]
    await store.fill({key: key.encode() for key in keys}, 60)
    found = await asyncio.gather(*(store.fetch([key, name]) for key in keys), store.fetch(keys[:BATCH]))
    assert found[:-1] == [[key.encode(), None] for key in keys]
    assert found[-1] == [key.encode() for key in keys[:BATCH]]


async def test_a_read_that_is_given_up_disturbs_no_other(store: RedisCacheStore, name: str) -> None:
    await store.fill({name: b"value"}, 60)
    reads = [asyncio.create_task(store.fetch([name])) for _ in range(50)]
    await asyncio.sleep(0)
    for read in reads[::2]:
        read.cancel()
    found = await asyncio.gather(*reads, return_exceptions=True)
    assert found[1::2] == [[b"value"]] * 25
    assert all(isinstance(each, asyncio.CancelledError) for each in found[::2])


async def test_a_store_that_is_not_there_fails_every_call_in_the_same_way(name: str) -> None:
    store = store_on(redis.Redis.from_url("redis://127.0.0.1:1", socket_timeout=1))
    for call in (
        store.fetch([name]),
        store.fetch([name]),
        store.claim({name: b"token"}),
        store.fill({name: b"value"}, 60),
        store.drop([name]),
        store.lease(name, 60),
        store.seconds_left(name),
    ):
        with pytest.raises(StoreFailure):
            await call
    await store.close()


async def test_a_full_store_refuses_values_but_releases_tags(name: str) -> None:
    with Valkey() as full:
        small: redis.Redis = redis.Redis.from_url(full.url())
        filled = store_on(small)
        await filled.claim({name: b"token"})
        await small.config_set("maxmemory", "1")
        with pytest.raises(StoreFailure):
            await filled.fill({f"{name}-value": b"value"}, 60)
        await filled.drop([name])
        await small.config_set("maxmemory", "0")
        assert await small.get(name) is None
        await filled.close()
