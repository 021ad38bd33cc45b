"""What lies in Valkey under our keys is believed only if we have put it there."""

import asyncio
import struct
import zlib
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass
from uuid import uuid4

import orjson
import pytest
import redis.asyncio as redis
import uvloop

from tests.conftest import FreshDatabase
from tests.faults.cache.schedule import usable_everywhere
from tests.faults.cache.stage import Stage, staged
from tests.faults.cache.wire import Answer
from warehouse.cache.entry import GENERATION_BYTES, HEAD
from warehouse.cache.fence import FORMAT

NEAR = 1
HIT, MISS, BYPASS = "Warehouse; hit", "Warehouse; fwd=uri-miss; stored", "Warehouse; fwd=bypass"
GARBAGE_COUNT = "warehouse_cache_garbage_total"


def _sealed(value: bytes) -> bytes:
    """With the checksum that belongs to it."""
    return struct.pack("<I", zlib.crc32(value[4:])) + value[4:]


def _of_another_layout(value: bytes) -> bytes:
    """Without the last of what is described."""
    _, count, length = HEAD.unpack_from(value)
    start = HEAD.size + count * GENERATION_BYTES
    description = orjson.dumps(orjson.loads(value[start : start + length])[:-1])
    head = HEAD.pack(0, count, len(description))
    return _sealed(head + value[HEAD.size : start] + description + value[start + length :])


GARBAGE: Mapping[str, Callable[[bytes], bytes]] = {
    "nothing": lambda value: b"",
    "a word": lambda value: b"OK",
    "JSON": lambda value: b'{"status": 200, "body": "' + b"." * len(value) + b'"}',
    "zeros": lambda value: bytes(len(value)),
    "its head": lambda value: value[: HEAD.size],
    "half of it": lambda value: value[: len(value) // 2],
    "all but a byte": lambda value: value[:-1],
    "a byte more": lambda value: value + b".",
    "another byte": lambda value: value[:-9] + bytes([value[-9] ^ 1]) + value[-8:],
    "no description": lambda value: _sealed(HEAD.pack(0, 1, 0) + value[HEAD.size :]),
    "no end of the description": lambda value: _sealed(HEAD.pack(0, 1, 1 << 30) + value[HEAD.size :]),
    "another layout": _of_another_layout,
}
"""Made of the value that should be there; its generation is the current one."""


@dataclass
class Scene:
    """A product in the cache, under the key `value` and the tag `tag`."""

    stage: Stage
    client: "redis.Redis"
    path: str
    body: bytes
    value: str
    tag: str

    @classmethod
    async def set(cls, stage: Stage, client: "redis.Redis") -> "Scene":
        await usable_everywhere(stage)
        product = await stage.make("/v1/products", {"sku": uuid4().hex, "name": "Rye bread"})
        path = f"/v1/products/{product['id']}"
        answer = await stage.ask(NEAR, stage.caller.request(path))
        [value] = [key.decode() async for key in client.scan_iter(f"{FORMAT}:*:v:{path}")]
        [tag] = [key.decode() async for key in client.scan_iter(f"{FORMAT}:*:t:product:{product['id']}")]
        return cls(stage, client, path, answer.body, value, tag)

    async def read(self) -> Answer:
        """Whatever there is in Valkey, it is the product."""
        answer = await self.stage.ask(NEAR, self.stage.caller.request(self.path))
        assert (answer.status, answer.body) == (200, self.body)
        return answer

    async def write(self) -> None:
        change = self.stage.caller.request(self.path, "PATCH", b'{"name": "Oat bread"}', if_match="*")
        self.body = (await self.stage.ask(NEAR, change)).body

    async def garbage(self) -> float:
        """How often some has been found."""
        return await self.stage.metric(NEAR, GARBAGE_COUNT)


Act = Callable[[Callable[[Scene], Awaitable[None]]], None]


@pytest.fixture(scope="module")
def in_scene(fresh_database: FreshDatabase) -> Iterator[Act]:
    """Runs what is to happen in a new scene on a common stage."""
    stack = AsyncExitStack()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        stage = runner.run(stack.enter_async_context(staged(fresh_database("mariadb"))))

        async def run(act: Callable[[Scene], Awaitable[None]]) -> None:
            async with stage.valkey_client() as client:
                await act(await Scene.set(stage, client))

        try:
            yield lambda act: runner.run(run(act))
        finally:
            runner.run(stack.aclose())


@pytest.mark.parametrize("spoil", GARBAGE.values(), ids=GARBAGE)
def test_garbage_is_a_miss_that_is_counted(in_scene: Act, spoil: Callable[[bytes], bytes]) -> None:
    async def act(scene: Scene) -> None:
        counted = await scene.garbage()
        await scene.client.set(scene.value, spoil(await scene.client.get(scene.value)))
        assert [(await scene.read()).cache for _ in range(2)] == [MISS, HIT]
        assert await scene.garbage() > counted

    in_scene(act)


def test_garbage_in_place_of_what_a_server_has_a_copy_of_harms_nobody(in_scene: Act) -> None:
    async def act(scene: Scene) -> None:
        assert (await scene.read()).cache == HIT
        await scene.client.set(scene.value, "OK")
        assert (await scene.read()).cache in (HIT, MISS)  # now and then the value is looked at though there is a copy
        await scene.write()
        assert [(await scene.read()).cache for _ in range(2)] == [MISS, HIT]

    in_scene(act)


def test_what_another_release_has_put_there_is_not_seen(in_scene: Act) -> None:
    async def act(scene: Scene) -> None:
        counted = await scene.garbage()
        for key in (scene.value, scene.tag):
            await scene.client.rename(key, key.replace(FORMAT, "w0", 1))
        assert [(await scene.read()).cache for _ in range(2)] == [MISS, HIT]
        assert await scene.garbage() == counted

    in_scene(act)


def test_a_value_of_other_generations_is_a_miss_and_no_garbage(in_scene: Act) -> None:
    async def act(scene: Scene) -> None:
        counted = await scene.garbage()
        await scene.client.set(scene.tag, bytes(GENERATION_BYTES))
        assert [(await scene.read()).cache for _ in range(2)] == [MISS, HIT]
        assert await scene.garbage() == counted

    in_scene(act)


def test_a_value_that_is_no_string_is_a_miss(in_scene: Act) -> None:
    async def act(scene: Scene) -> None:
        await scene.client.delete(scene.value)
        await scene.client.execute_command("RPUSH", scene.value, "")  # type: ignore[no-untyped-call]
        assert [(await scene.read()).cache for _ in range(2)] == [MISS, HIT]

    in_scene(act)


def test_a_generation_that_is_none_bypasses_the_cache_until_a_write(in_scene: Act) -> None:
    async def act(scene: Scene) -> None:
        await scene.client.set(scene.tag, "short")
        assert [(await scene.read()).cache for _ in range(2)] == [BYPASS, BYPASS]
        await scene.write()
        assert [(await scene.read()).cache for _ in range(2)] == [MISS, HIT]

    in_scene(act)
