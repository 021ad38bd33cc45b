"""Counting for all processes, on Redis or Valkey."""

import hashlib
from collections.abc import Awaitable, Callable, Sequence
from typing import NamedTuple

import redis.asyncio as redis
from redis.exceptions import NoScriptError, RedisError

from warehouse.limiting.quota import Name
from warehouse.limiting.script import ARGUMENT, SCRIPT
from warehouse.resilience import Policy, ResilienceError

FAILURES = (RedisError, OSError, TimeoutError, RuntimeError, ResilienceError)
"""`RuntimeError` is uvloop's word for a connection that has been closed under the writer."""

SHA = hashlib.sha1(SCRIPT.encode(), usedforsecurity=False).hexdigest()


class Ask(NamedTuple):
    name: Name
    needed: int
    wanted: int
    """So many may be granted even if fewer are needed."""
    returned: int
    bucket: int
    """Of those that are returned."""


class Answer(NamedTuple):
    granted: int
    """From 0 to what was needed or wanted."""
    remaining: int
    reset: int
    """Milliseconds until the bucket ends."""
    retry: int
    """Milliseconds until a permit is free; 0 where one is."""
    bucket: int


class SharedWindows:
    """One call, and one round trip, for many keys."""

    def __init__(self, client: "redis.Redis", policy: Policy) -> None:
        if policy.settings.attempts != 1:
            raise ValueError("a call to count is not to be repeated: the policy needs attempts=1")
        # One connection held for good: to take it from the pool each time costs as much again as to use it.
        self._connection = client.client()
        self._circuit = policy.circuit
        self._evaluate = policy.protects(self._evaluate_once)

    @property
    def may_answer(self) -> bool:
        """Whether the policy would let a call through."""
        return self._circuit.retry_after <= 0

    async def take(self, asks: Sequence[Ask]) -> list[Answer]:
        """In the same order; no name may be there twice. Raises one of `FAILURES`."""
        keys = [_key(ask.name) for ask in asks]
        numbers = await self._evaluate([len(keys), *keys, *map(_argument, asks)])
        return [Answer(*numbers[start : start + 5]) for start in range(0, len(numbers), 5)]

    async def close(self) -> None:
        """Gives its connection back to the client's pool."""
        await self._connection.aclose()

    async def _evaluate_once(self, arguments: Sequence[bytes | int]) -> list[int]:
        try:
            return await self._command("EVALSHA", SHA, arguments)
        except NoScriptError:
            return await self._command("EVAL", SCRIPT, arguments)

    async def _command(self, name: str, script: str, arguments: Sequence[bytes | int]) -> list[int]:
        execute: Callable[..., Awaitable[list[int]]] = self._connection.execute_command
        return await execute(name, script, *arguments)


def _key(name: Name) -> bytes:
    key, quota = name
    return f"rl:{quota.permits}/{quota.seconds}:{key}".encode(errors="surrogatepass")


def _argument(ask: Ask) -> bytes:
    quota = ask.name[1]
    return ARGUMENT.pack(quota.permits, quota.seconds * 1000, ask.needed, ask.wanted, ask.returned, ask.bucket)
