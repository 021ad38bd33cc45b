"""Finds the tasks that nobody works at, and sees to it that somebody does."""

import asyncio
import logging
import random
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from uuid import UUID

from warehouse import metrics
from warehouse.clock import utc_now
from warehouse.errors import TransactionConflict, WarehouseError
from warehouse.resilience import ResilienceError
from warehouse.tasks.model import OpenTask, TaskError, TaskFault, TaskQueue, TaskStatus
from warehouse.tasks.queue import Job, JobQueue
from warehouse.unit_of_work import UnitOfWorkFactory

SWEEP_SECONDS = 2.0
LEASE_SECONDS = 10.0
"""A task whose row has not changed for so long has no worker any more: one that lives changes it every two seconds."""
GAP_SECONDS = 5.0
"""Who has not looked for so long, because the database was away or the process stood still, cannot tell whether the
others have been at work meanwhile, and begins anew."""
SETTLED_SECONDS = 2.0
"""Whoever has just written a queued task's row is about to enqueue it."""
MOST = 1000
"""Queued tasks of each queue that a sweep looks at, the oldest."""

log = logging.getLogger(__name__)


@dataclass(slots=True)
class _Seen:
    beat: int
    since: float


class Sweep:
    """Every worker sweeps. What changes is told by the rows' counters and how long ago by this process' own monotonic
    clock: no wall clock decides whether a worker lives."""

    def __init__(
        self, uow: UnitOfWorkFactory, queue: JobQueue, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self._uow = uow
        self._queue = queue
        self._now = monotonic
        self._seen: dict[UUID, _Seen] = {}
        self._looked = monotonic()

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            try:
                await self.once()
            except (WarehouseError, ResilienceError) as error:
                log.warning("sweep.failed error=%s", type(error).__name__)
            except Exception:
                # Without sweeps tasks would be left where they are for good.
                log.exception("sweep.failed")
            await asyncio.sleep(SWEEP_SECONDS * random.uniform(0.8, 1.2))  # noqa: S311 (so that workers take turns)

    async def once(self) -> None:
        """Raises what the database and the queue raise."""
        async with self._uow(read_only=True) as uow:
            tasks = await uow.tasks.open(MOST)
            counts = {queue: await uow.tasks.queued(queue) for queue in TaskQueue}
        self._look(tasks)
        _measure(tasks, counts)
        taken = [task for task in tasks if self._is_abandoned(task) and await self._take_away(task)]
        self._looked = self._now()
        await self._queue.enqueue([Job(task.queue, task.id, task.attempt) for task in taken])
        late = await self._queue.missing(list(self._settled(tasks)))
        await self._queue.enqueue(late)
        for job in late:
            log.info("task.enqueued_by_sweep id=%s", job.task_id)
            metrics.tasks_enqueued_late.labels(job.queue).inc()

    def _look(self, tasks: Sequence[OpenTask]) -> None:
        now, seen = self._now(), self._seen
        if now - self._looked > GAP_SECONDS:
            seen = {}
        self._seen = {
            task.id: found
            if (found := seen.get(task.id)) is not None and found.beat == task.beat
            else _Seen(task.beat, now)
            for task in tasks
        }

    def _unchanged_for(self, task: OpenTask) -> float:
        return self._now() - self._seen[task.id].since

    def _is_abandoned(self, task: OpenTask) -> bool:
        return task.status is TaskStatus.RUNNING and self._unchanged_for(task) >= LEASE_SECONDS

    def _settled(self, tasks: Sequence[OpenTask]) -> Iterator[Job]:
        for task in tasks:
            if task.status is TaskStatus.QUEUED and self._unchanged_for(task) >= SETTLED_SECONDS:
                yield Job(task.queue, task.id, task.attempt)

    async def _take_away(self, task: OpenTask) -> bool:
        """Whether the task is queued again. It may have ended instead, or live."""
        try:
            is_ours = await self._change(task)
        except TransactionConflict:
            # Whoever has locked the row is at work. The next sweep will see.
            return False
        if is_ours:
            log.warning("task.abandoned id=%s kind=%s attempt=%d", task.id, task.kind, task.attempt)
            metrics.tasks_abandoned.labels(task.kind).inc()
        return is_ours and not _has_ended(task)

    async def _change(self, task: OpenTask) -> bool:
        async with self._uow() as uow:
            if task.cancelling:
                is_ours = await uow.tasks.end_abandoned(task, TaskStatus.CANCELLED, utc_now(), None)
            elif _has_ended(task):
                error = TaskError(TaskFault.WORKER_LOST, f"Its worker was lost in attempt {task.attempt}, the last.")
                is_ours = await uow.tasks.end_abandoned(task, TaskStatus.FAILED, utc_now(), error)
            else:
                is_ours = await uow.tasks.take_away(task)
            await uow.commit()
        return is_ours


def _has_ended(task: OpenTask) -> bool:
    return task.cancelling or task.attempt >= task.most_attempts


def _measure(tasks: Sequence[OpenTask], counts: dict[TaskQueue, int]) -> None:
    now = utc_now()
    for queue, count in counts.items():
        ages = [
            (now - task.created_at).total_seconds()
            for task in tasks
            if task.queue is queue and task.status is TaskStatus.QUEUED
        ]
        metrics.tasks_queued.labels(queue).set(count)
        metrics.tasks_oldest.labels(queue).set(max(ages, default=0.0))
        running = sum(task.queue is queue and task.status is TaskStatus.RUNNING for task in tasks)
        metrics.tasks_running.labels(queue).set(running)
