"""Who asks Redis for those who wait."""

import asyncio
from collections.abc import Callable, Sequence
from contextvars import Context
from itertools import islice

from warehouse.limiting.decision import Decision
from warehouse.limiting.leases import Lease, Leases
from warehouse.limiting.quota import Name
from warehouse.limiting.redis import FAILURES, SharedWindows
from warehouse.limiting.window import Windows

BATCH = 128
"""Keys in one call, so that Redis serves others in between."""

Waiting = dict[Name, list[asyncio.Future[Decision]]]


class Carrier:
    """Whoever comes while a call is on its way travels in the next one: a call costs many times what one key more does.
    When a call fails, all who wait are counted by this process, so that nobody waits for a second one."""

    def __init__(self, shared: SharedWindows, leases: Leases, local: Windows, monotonic: Callable[[], float]) -> None:
        self._shared = shared
        self._leases = leases
        self._local = local
        self._now = monotonic
        self._waiting: Waiting = {}
        self._task: asyncio.Task[None] | None = None

    @property
    def may_ask(self) -> bool:
        """Whether the policy would let a call through."""
        return self._shared.may_answer

    def send(self, name: Name) -> asyncio.Future[Decision]:
        decision: asyncio.Future[Decision] = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(name, []).append(decision)
        if self._task is None:
            # The deadline of who happens to come first is not that of the others.
            self._task = asyncio.create_task(self._carry(), context=Context())
        return decision

    async def close(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
            self._finish()  # again, for a task that had not begun
        await self._shared.close()

    async def _carry(self) -> None:
        try:
            while self._waiting:
                await self._carry_some(self._next_batch())
        except FAILURES:
            pass  # The policy has taken note of it.
        finally:
            self._finish()

    def _finish(self) -> None:
        self._task = None
        self._count_here(self._waiting)
        self._waiting.clear()

    def _next_batch(self) -> Waiting:
        return {name: self._waiting.pop(name) for name in list(islice(self._waiting, BATCH))}

    async def _carry_some(self, batch: Waiting) -> None:
        sent = self._now()
        asks = [self._leases.ask(name, len(waiting)) for name, waiting in batch.items()]
        asks += self._leases.returns(sent, BATCH - len(asks))
        try:
            answers = await self._shared.take(asks)
            now = self._now()
            for name, answer in zip(batch, answers, strict=False):  # what is returned comes last
                self._give(name, Lease(name[1], answer, sent, now), batch[name], now)
        finally:
            self._count_here(batch)

    def _give(self, name: Name, lease: Lease, waiting: Sequence[asyncio.Future[Decision]], now: float) -> None:
        """To those who waited for it and, if it is good for more, to those who have come since. They would end it early
        by asking anew, and under load there are always some."""
        self._leases.put(name, lease)
        late = self._waiting.pop(name, [])
        served = 0
        for each in (*waiting, *late):
            if not each.done():
                decision = lease.take(now)
                if decision is None:
                    break
                each.set_result(decision)
            served += 1
        if left := late[max(0, served - len(waiting)) :]:
            self._waiting[name] = left

    def _count_here(self, waiting: Waiting) -> None:
        """For whoever has no decision yet."""
        for name, decisions in waiting.items():
            for each in decisions:
                if not each.done():
                    each.set_result(self._local.take(name, self._now()))
