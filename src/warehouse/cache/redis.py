"""The store on Redis or Valkey."""

import asyncio
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from typing import Any

import redis.asyncio as redis
from redis.exceptions import RedisError

from warehouse.cache.store import StoreFailure
from warehouse.resilience import Policy, ResilienceError, detached

TAG_SECONDS = 3600
"""A generation that is gone costs a miss, no more."""
BATCH = 512
"""Keys in one call, so that no caller waits for too many others; who wants more goes alone."""

FAILURES = (RedisError, OSError, TimeoutError, RuntimeError)
"""The last is uvloop's word for a connection that has been closed under the writer."""


Command = Callable[..., Awaitable[Any]]


class RedisCacheStore:
    """Reads of one process that come while another is on its way travel together in the next one: a call costs many
    times what one key more does."""

    def __init__(self, client: "redis.Redis", policy: Policy, releases: Policy) -> None:
        """`releases` is for what may not rest only because reads do: after a write keys have to be dropped."""
        self._client = client
        self._policy = policy
        self._releases = releases
        # One connection held for good: to take it from the pool each time costs as much again as to use it.
        self._reader = client.client()
        self._waiting: list[tuple[Sequence[str], asyncio.Future[list[bytes | None]]]] = []
        self._carrier: asyncio.Task[None] | None = None

    async def fetch(self, keys: Sequence[str]) -> list[bytes | None]:
        if len(keys) > BATCH // 8:
            return list(await self._call(self._client.mget, keys))
        answer: asyncio.Future[list[bytes | None]] = asyncio.get_running_loop().create_future()
        self._waiting.append((keys, answer))
        if self._carrier is None:
            self._carrier = detached(self._carry())
        return await answer

    async def claim(self, tokens: Mapping[str, bytes]) -> list[bytes | None]:
        async with self._client.pipeline(transaction=False) as pipe:
            for key, token in tokens.items():
                pipe.set(key, token, ex=TAG_SECONDS, nx=True)
            pipe.mget(list(tokens))
            *_, found = await self._call(pipe.execute)
        return list(found)

    async def fill(self, values: Mapping[str, bytes], seconds: float, done: Collection[str] = ()) -> None:
        async with self._client.pipeline(transaction=False) as pipe:
            for key, value in values.items():
                pipe.set(key, value, px=max(1, int(seconds * 1000)))
            if done:
                pipe.unlink(*done)
            await self._call(pipe.execute)

    async def drop(self, keys: Collection[str]) -> None:
        if keys:
            await _store_call(self._releases, self._client.unlink, *keys)

    async def lease(self, key: str, seconds: float) -> bool:
        return bool(await self._call(self._client.set, key, b"", nx=True, px=int(seconds * 1000)))

    async def seconds_left(self, key: str) -> float:
        return float(await self._call(self._client.pttl, key)) / 1000

    async def close(self) -> None:
        if self._carrier is not None:
            self._carrier.cancel()
            await asyncio.gather(self._carrier, return_exceptions=True)
        await self._reader.aclose()
        await self._client.aclose(close_connection_pool=True)

    async def _carry(self) -> None:
        try:
            while self._waiting:
                await self._carry_some(self._take())
        finally:
            self._carrier = None

    def _take(self) -> list[tuple[Sequence[str], asyncio.Future[list[bytes | None]]]]:
        count = keys = 0
        while count < len(self._waiting) and keys < BATCH:
            keys += len(self._waiting[count][0])
            count += 1
        taken, self._waiting = self._waiting[:count], self._waiting[count:]
        return taken

    async def _carry_some(self, taken: Sequence[tuple[Sequence[str], asyncio.Future[list[bytes | None]]]]) -> None:
        try:
            values = await self._call(self._reader.mget, [key for keys, _ in taken for key in keys])
        except BaseException as error:
            for _, answer in taken:
                if not answer.done():
                    answer.set_exception(error if isinstance(error, StoreFailure) else StoreFailure("given up"))
            if not isinstance(error, StoreFailure):
                raise
        else:
            start = 0
            for keys, answer in taken:
                if not answer.done():
                    answer.set_result(values[start : start + len(keys)])
                start += len(keys)

    async def _call(self, command: Command, *arguments: Any, **options: Any) -> Any:
        return await _store_call(self._policy, command, *arguments, **options)


async def _store_call(policy: Policy, command: Command, *arguments: Any, **options: Any) -> Any:
    """Raises `StoreFailure`."""
    try:
        return await policy.call(_answer, command, arguments, options)
    except (*FAILURES, ResilienceError) as error:
        raise StoreFailure(type(error).__name__) from error


async def _answer(command: Command, arguments: Sequence[Any], options: Mapping[str, Any]) -> Any:
    return await command(*arguments, **options)
