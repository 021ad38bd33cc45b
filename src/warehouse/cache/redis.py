"""The store on Redis or Valkey."""

import asyncio
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager

import redis.asyncio as redis
from redis.exceptions import RedisError

from warehouse.cache.store import StoreFailure

TAG_SECONDS = 3600
"""A generation that is gone costs a miss, no more."""
REST_SECONDS = 0.5
"""After a failure reads do without the store for so long, that not each of them finds out by itself."""
BATCH = 512
"""Keys in one call, so that no caller waits for too many others; who wants more goes alone."""

FAILURES = (RedisError, OSError, TimeoutError, RuntimeError)
"""The last is uvloop's word for a connection that has been closed under the writer."""


class RedisCacheStore:
    """Reads of one process that come while another is on its way travel together in the next one: a call costs many
    times what one key more does."""

    def __init__(self, client: "redis.Redis") -> None:
        self._client = client
        # One connection held for good: to take it from the pool each time costs as much again as to use it.
        self._reader = client.client()
        self._waiting: list[tuple[Sequence[str], asyncio.Future[list[bytes | None]]]] = []
        self._carrier: asyncio.Task[None] | None = None
        self._rests_until = 0.0

    async def fetch(self, keys: Sequence[str]) -> list[bytes | None]:
        if time.monotonic() < self._rests_until:
            raise StoreFailure("it failed just now")
        if len(keys) > BATCH // 8:
            with self._failures():
                return list(await self._client.mget(keys))
        answer: asyncio.Future[list[bytes | None]] = asyncio.get_running_loop().create_future()
        self._waiting.append((keys, answer))
        if self._carrier is None:
            self._carrier = asyncio.create_task(self._carry())
        return await answer

    async def claim(self, tokens: Mapping[str, bytes]) -> list[bytes | None]:
        with self._failures():
            async with self._client.pipeline(transaction=False) as pipe:
                for key, token in tokens.items():
                    pipe.set(key, token, ex=TAG_SECONDS, nx=True)
                pipe.mget(list(tokens))
                *_, found = await pipe.execute()
        return list(found)

    async def fill(self, values: Mapping[str, bytes], seconds: float, done: Collection[str] = ()) -> None:
        with self._failures():
            async with self._client.pipeline(transaction=False) as pipe:
                for key, value in values.items():
                    pipe.set(key, value, px=max(1, int(seconds * 1000)))
                if done:
                    pipe.unlink(*done)
                await pipe.execute()

    async def drop(self, keys: Collection[str]) -> None:
        if keys:
            with self._failures():
                await self._client.unlink(*keys)

    async def lease(self, key: str, seconds: float) -> bool:
        with self._failures():
            return bool(await self._client.set(key, b"", nx=True, px=int(seconds * 1000)))

    async def seconds_left(self, key: str) -> float:
        with self._failures():
            return float(await self._client.pttl(key)) / 1000

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
            with self._failures():
                values = await self._reader.mget([key for keys, _ in taken for key in keys])
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

    @contextmanager
    def _failures(self) -> Iterator[None]:
        try:
            yield
        except FAILURES as error:
            self._rests_until = time.monotonic() + REST_SECONDS
            raise StoreFailure(type(error).__name__) from error
