"""Tasks as they change. However many follow them, the process looks once a moment."""

import asyncio
import logging
from collections import Counter
from collections.abc import AsyncGenerator, Iterator
from contextlib import contextmanager
from uuid import UUID

from warehouse.errors import WarehouseError
from warehouse.resilience import ResilienceError, detached
from warehouse.tasks.model import Task
from warehouse.unit_of_work import UnitOfWorkFactory

LOOK_SECONDS = 0.5

log = logging.getLogger(__name__)


class TaskFeed:
    def __init__(self, uow: UnitOfWorkFactory) -> None:
        self._uow = uow
        self._followers: Counter[UUID] = Counter()
        self._latest: dict[UUID, Task] = {}
        self._news = asyncio.Condition()
        self._looking: asyncio.Task[None] | None = None

    async def follow(self, task: Task, beat: int | None = None) -> AsyncGenerator[Task, None]:
        """The task as it has just been read, unless that is the state of this beat, and whenever it has changed since;
        ends behind the state in which the task has ended, and where there is no such task any more."""
        latest: Task | None = task
        with self._following(task.id):
            while latest is not None:
                if latest.beat != beat:
                    yield latest
                if not latest.is_open:
                    return
                latest = await self._later(latest)

    async def close(self) -> None:
        if self._looking is not None:
            self._looking.cancel()
            await asyncio.gather(self._looking, return_exceptions=True)

    @contextmanager
    def _following(self, task_id: UUID) -> Iterator[None]:
        self._followers[task_id] += 1
        if self._looking is None or self._looking.done():
            self._looking = detached(self._look())
        try:
            yield
        finally:
            self._followers[task_id] -= 1
            if not self._followers[task_id]:
                del self._followers[task_id]
                self._latest.pop(task_id, None)

    async def _later(self, task: Task) -> Task | None:
        """What was last seen may be older: others have followed the task before."""
        looked = 0
        async with self._news:
            while True:
                found = self._latest.get(task.id)
                if found is not None and found.beat > task.beat:
                    return found
                if found is None and looked > 1:
                    return None
                await self._news.wait()
                looked += 1

    async def _look(self) -> None:
        while self._followers:
            try:
                async with self._uow(read_only=True) as uow:
                    found = await uow.tasks.find(list(self._followers))
            except (WarehouseError, ResilienceError) as error:
                log.warning("tasks.not_seen error=%s", type(error).__name__)
            else:
                self._latest = {task.id: task for task in found}
                async with self._news:
                    self._news.notify_all()
            await asyncio.sleep(LOOK_SECONDS)
