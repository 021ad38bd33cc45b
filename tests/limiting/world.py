"""Limiters as processes have them: each with a client and a policy of its own."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Unpack
from uuid import uuid4

import redis.asyncio as redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from tests.resilience.world import Clock, Diary
from tests.servers import Valkey
from warehouse.limiting import Decision, Limiter, Quota
from warehouse.resilience import Policy, PolicyOptions

AGES = 10**9
"""Seconds of a window of which no boundary falls into a test before 2033."""

ANSWER_SECONDS = 5.0
"""More than any answer takes on a busy machine."""


class MortalValkey(Valkey):
    """Comes back on the same port, empty."""

    def kill(self) -> None:
        assert self._process is not None
        self._process.kill()
        self._process.wait()

    def revive(self) -> None:
        self._process = self._spawn(self.command())
        assert self._answers(self._process)

    def signal(self, number: signal.Signals) -> None:
        assert self.pid is not None
        os.kill(self.pid, number)


@asynccontextmanager
async def a_limiter(
    server: Valkey, clock: Clock | None = None, diary: Diary | None = None, **options: Unpack[PolicyOptions]
) -> AsyncIterator[Limiter]:
    """By default its clock stands still, so that leases last."""
    clock = clock or Clock()
    settings: PolicyOptions = {"attempts": 1, "timeout": ANSWER_SECONDS, **options}
    policy = Policy("limits", monotonic=clock, listeners=[diary] if diary else [], **settings)
    client: redis.Redis = redis.Redis.from_url(server.url(), retry=Retry(NoBackoff(), 0))
    limiter = Limiter(client, policy, monotonic=clock)
    try:
        yield limiter
    finally:
        await limiter.close()
        await client.aclose()


def alone(clock: Clock) -> Limiter:
    return Limiter(None, Policy("limits", attempts=1), monotonic=clock)


def a_key() -> str:
    return uuid4().hex


async def burst(limiter: Limiter, key: str, quota: Quota, count: int) -> Sequence[Decision]:
    return await asyncio.gather(*(limiter.take(key, quota) for _ in range(count)))


def admitted(decisions: Sequence[Decision]) -> int:
    return sum(decision.allowed for decision in decisions)
