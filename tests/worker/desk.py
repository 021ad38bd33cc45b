"""Where tests hand tasks in, and look at what became of them."""

import asyncio
from collections.abc import AsyncIterator, Collection, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any
from uuid import UUID

import redis.asyncio as redis

from tests.contract.ledger import CALLER
from warehouse.clock import utc_now
from warehouse.errors import Unavailable
from warehouse.policies import Policies
from warehouse.settings import DatabaseSettings
from warehouse.storage.database import SqlDatabase
from warehouse.storage.sql import SqlUnitOfWorkFactory
from warehouse.tasks.arq_queue import ArqJobQueue
from warehouse.tasks.model import Task, TaskDraft, TaskEnding, TaskQueue, TaskStatus, new_task
from warehouse.tasks.queue import Job
from warehouse.unit_of_work import UnitOfWorkFactory, replayed_on_conflict

LOOK_SECONDS = 0.1
WAITING_SECONDS = 120.0


class Desk:
    def __init__(self, uow: UnitOfWorkFactory, queue: ArqJobQueue) -> None:
        self.uow = uow
        self.queue = queue

    async def add(self, kind: str, queue: TaskQueue = TaskQueue.SHORT, *, attempt: int = 0, **parameters: Any) -> UUID:
        """As `TaskService` does, without its command; as one that has had so many attempts. Where the queue is away a
        sweep has to find it."""
        draft = TaskDraft(kind, queue, parameters)
        await self._write(draft, attempt)
        try:
            await self.queue.enqueue([Job(queue, draft.id, attempt)])
        except Unavailable:
            return draft.id
        return draft.id

    @replayed_on_conflict
    async def _write(self, draft: TaskDraft, attempt: int) -> None:
        async with self.uow() as uow:
            await uow.tasks.add(replace(new_task(draft, CALLER, "tester", utc_now()), attempt=attempt))
            await uow.commit()

    async def end(self, task: Task) -> None:
        """One that runs nowhere any more, lest another test's sweep find it."""
        async with self.uow() as uow:
            assert await uow.tasks.finish(task.id, task.attempt, TaskEnding(TaskStatus.FAILED), utc_now())
            await uow.commit()

    async def find(self, ids: Collection[UUID]) -> Sequence[Task]:
        """In the order of their ids."""
        async with self.uow(read_only=True) as uow:
            found = await uow.tasks.find(ids)
        return sorted(found, key=lambda task: task.id)

    async def get(self, task_id: UUID) -> Task:
        [task] = await self.find([task_id])
        return task

    async def until(self, ids: Collection[UUID], *statuses: TaskStatus, seconds: float = WAITING_SECONDS) -> None:
        """All of them have come to one of these."""
        async with asyncio.timeout(seconds):
            while any(task.status not in statuses for task in await self.find(ids)):  # noqa: ASYNC110
                await asyncio.sleep(LOOK_SECONDS)

    async def until_ended(self, ids: Collection[UUID], seconds: float = WAITING_SECONDS) -> Sequence[Task]:
        await self.until(ids, TaskStatus.SUCCEEDED, TaskStatus.FAILED, TaskStatus.CANCELLED, seconds=seconds)
        return await self.find(ids)


@asynccontextmanager
async def desk_of(database_url: str, redis_url: str) -> AsyncIterator[Desk]:
    database = SqlDatabase(database_url, DatabaseSettings())
    client = redis.Redis.from_url(redis_url, socket_timeout=1, socket_connect_timeout=1)
    try:
        yield Desk(SqlUnitOfWorkFactory(database), ArqJobQueue(client, Policies().queue))
    finally:
        await client.aclose()
        await database.close()
