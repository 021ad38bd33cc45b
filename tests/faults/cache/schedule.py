"""What happens to Valkey, and to one server's way to it."""

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager

from redis.asyncio import Redis
from redis.exceptions import OutOfMemoryError, ResponseError

from tests.faults.cache.stage import Stage
from tests.faults.proxy import Network

Fault = Callable[[Stage, random.Random], Awaitable[None]]
"""Brings it about, lets it last for some seconds, and undoes it."""

USABLE_SECONDS = 60.0
POLL_SECONDS = 0.1
FILLER = b"." * 65536


async def killed(stage: Stage, chance: random.Random) -> None:
    """By SIGKILL; it comes back empty."""
    stage.valkey.kill()
    await asyncio.sleep(chance.uniform(0, 2))
    await stage.valkey.come_back()


async def stopped(stage: Stage, chance: random.Random) -> None:
    """It answers nothing for a while, and then everything that it was asked."""
    stage.valkey.suspend()
    await asyncio.sleep(chance.uniform(0.2, 4))
    stage.valkey.resume()


async def flushed(stage: Stage, chance: random.Random) -> None:
    async with stage.valkey_client() as client:
        for _ in range(chance.randint(3, 10)):
            await client.flushall()
            await asyncio.sleep(chance.uniform(0, 0.5))


async def full(stage: Stage, chance: random.Random) -> None:
    """It takes nothing more, and gives what it has."""
    async with stage.valkey_client() as client, _memory(client, "noeviction", 1 << 20):
        filler = await _fill(client)
        await asyncio.sleep(chance.uniform(1, 3))
        await client.unlink(*filler)


async def evicting(stage: Stage, chance: random.Random) -> None:
    """Any key may vanish at any time."""
    async with stage.valkey_client() as client, _memory(client, "allkeys-random", 1 << 16):
        await asyncio.sleep(chance.uniform(2, 4))


async def unreadable(stage: Stage, chance: random.Random) -> None:
    await _forbidden(stage, chance, "mget")


async def undeletable(stage: Stage, chance: random.Random) -> None:
    """What was cached can be read, and not be released."""
    await _forbidden(stage, chance, "unlink")


async def unwritable(stage: Stage, chance: random.Random) -> None:
    await _forbidden(stage, chance, "@write")


async def cut_off(stage: Stage, chance: random.Random) -> None:
    """One server alone, which knows it at once."""
    await _network(stage, chance, Network.REFUSE)


async def blackholed(stage: Stage, chance: random.Random) -> None:
    """One server alone; what it sent arrives when it has given it up."""
    await _network(stage, chance, Network.BLACKHOLE)


async def muted(stage: Stage, chance: random.Random) -> None:
    """One server alone; what it sends is done, and it does not learn so."""
    await _network(stage, chance, Network.MUTE)


async def slow(stage: Stage, chance: random.Random) -> None:
    """One server alone, within its patience or a little beyond."""
    await _network(stage, chance, Network.PASS, chance.uniform(0.02, 0.6))


FAULTS: Sequence[Fault] = (
    killed,
    stopped,
    flushed,
    full,
    evicting,
    unreadable,
    undeletable,
    unwritable,
    cut_off,
    blackholed,
    muted,
    slow,
)


async def usable_everywhere(stage: Stage) -> None:
    """Until all servers use the cache."""
    async with asyncio.timeout(USABLE_SECONDS):
        while await stage.metrics("warehouse_cache_usable") < len(stage.ports):  # noqa: ASYNC110 (in other processes)
            await asyncio.sleep(POLL_SECONDS)


async def told_everywhere(stage: Stage, request: bytes, word: str) -> None:
    """Until the Cache-Status of all servers' answers has the word in it."""
    async with asyncio.timeout(USABLE_SECONDS):
        for server in range(len(stage.ports)):
            while word not in (await stage.ask(server, request)).cache:  # noqa: ASYNC110 (it is another process)
                await asyncio.sleep(POLL_SECONDS)


async def _forbidden(stage: Stage, chance: random.Random, command: str) -> None:
    async with stage.valkey_client() as client:
        await _allow(client, f"-{command}")
        await asyncio.sleep(chance.uniform(0.5, 3))
        await _allow(client, "+@all")


async def _allow(client: "Redis", rule: str) -> None:
    await client.execute_command("ACL", "SETUSER", "default", rule)  # type: ignore[no-untyped-call]


async def _network(stage: Stage, chance: random.Random, network: Network, delay: float = 0.0) -> None:
    await stage.proxy.become(network, delay)
    await asyncio.sleep(chance.uniform(0.5, 4))
    await stage.proxy.become(Network.PASS)


@asynccontextmanager
async def _memory(client: "Redis", policy: str, more: int) -> AsyncIterator[None]:
    """Bounded by what it uses and so many bytes more."""
    used = (await client.info("memory"))["used_memory"]
    await client.config_set("maxmemory-policy", policy)
    await client.config_set("maxmemory", used + more)
    try:
        yield
    finally:
        await client.config_set("maxmemory", 0)


async def _fill(client: "Redis") -> Sequence[str]:
    """Until nothing more goes in."""
    keys = []
    try:
        for number in range(1000):
            keys.append(f"filler:{number}")
            await client.set(keys[-1], FILLER, ex=60)
    except (OutOfMemoryError, ResponseError):
        return keys
    raise AssertionError("it is never full")
