"""What callers do with tasks: hand them in, look at them, end them, have them done again."""

import logging
from collections.abc import Sequence
from typing import Any
from uuid import UUID

from warehouse.auth.model import Caller, Role
from warehouse.clock import utc_now
from warehouse.commands.model import Command, Outcome
from warehouse.commands.service import CommandRunner
from warehouse.errors import Code, Conflict, NotFound, Overloaded, Unavailable
from warehouse.tasks.model import Task, TaskDraft, TaskFilter, TaskQueue, TaskStatus, new_task
from warehouse.tasks.queue import Job, JobQueue
from warehouse.unit_of_work import UnitOfWork, UnitOfWorkFactory

SEES_ALL = Role.ADMIN
"""Others see the tasks that were handed in with their own key."""
FULL_SECONDS = 30
"""After which to try again where the queue is full."""

log = logging.getLogger(__name__)


class TaskService:
    """`queue` None: tasks wait in their table for a worker's sweep. `most` of each queue may wait."""

    def __init__(self, uow: UnitOfWorkFactory, commands: CommandRunner, queue: JobQueue | None, most: int) -> None:
        self._uow = uow
        self._commands = commands
        self._queue = queue
        self._most = most

    async def submit(self, command: Command, draft: TaskDraft) -> Outcome[Task]:
        """Raises `Overloaded` where too many wait already."""

        async def work(uow: UnitOfWork) -> Task:
            await self._check_room(uow, draft.queue)
            task = new_task(draft, command.caller_id, command.actor, utc_now())
            await uow.tasks.add(task)
            return task

        return await self._announced(await self._commands.run(command, work))

    async def get(self, caller: Caller, task_id: UUID) -> Task:
        """Raises `NotFound`, for a task of another's as well."""
        async with self._uow(read_only=True) as uow:
            return await _visible(uow, caller, task_id)

    async def page(
        self, caller: Caller, status: TaskStatus | None, kind: str | None, after: Sequence[Any] | None, limit: int
    ) -> Sequence[Task]:
        criteria = TaskFilter(None if caller.role.covers(SEES_ALL) else caller.id, status, kind)
        async with self._uow(read_only=True) as uow:
            return await uow.tasks.page(criteria, after, limit)

    async def batches(self, caller: Caller, task_id: UUID) -> Sequence[Any]:
        """What the task has done in part, in order. Raises `NotFound`."""
        async with self._uow(read_only=True) as uow:
            await _visible(uow, caller, task_id)
            return list((await uow.tasks.batches(task_id)).values())

    async def cancel(self, command: Command, caller: Caller, task_id: UUID) -> Outcome[Task]:
        """A running task ends as soon as its worker has heard of it, within seconds; what it has done stays done.
        Raises `NotFound` and `Conflict`."""

        async def work(uow: UnitOfWork) -> Task:
            await _visible(uow, caller, task_id)
            is_ending = await uow.tasks.cancel(task_id, utc_now())
            task = await _visible(uow, caller, task_id)
            if not is_ending and task.status is not TaskStatus.CANCELLED:
                raise _conflict(task, Code.TASK_ENDED)
            return task

        return await self._commands.run(command, work)

    async def retry(self, command: Command, caller: Caller, task_id: UUID) -> Outcome[Task]:
        """What the task has done in part is not done again. Raises `NotFound`, `Conflict` and, where too
        many wait already, `Overloaded`."""

        async def work(uow: UnitOfWork) -> Task:
            task = await _visible(uow, caller, task_id)
            await self._check_room(uow, task.queue)
            if not await uow.tasks.reopen(task_id):
                raise _conflict(task, Code.TASK_NOT_FAILED)
            return await _visible(uow, caller, task_id)

        return await self._announced(await self._commands.run(command, work))

    async def _check_room(self, uow: UnitOfWork, queue: TaskQueue) -> None:
        """Raises `Overloaded`."""
        if await uow.tasks.queued(queue) >= self._most:
            detail = "Too many tasks wait for a worker already. Nothing of this request was done."
            raise Overloaded(detail, retry_after=FULL_SECONDS)

    async def _announced(self, outcome: Outcome[Task]) -> Outcome[Task]:
        """What the queue does not hear now, a sweep tells it."""
        task = outcome.result
        if task is not None and self._queue is not None:
            try:
                await self._queue.enqueue([Job(task.queue, task.id, task.attempt)])
            except Unavailable as error:
                log.warning("task.not_enqueued id=%s error=%s", task.id, type(error).__name__)
        return outcome


async def _visible(uow: UnitOfWork, caller: Caller, task_id: UUID) -> Task:
    task = await uow.tasks.get(task_id)
    if task is None or not (task.caller_id == caller.id or caller.role.covers(SEES_ALL)):
        raise NotFound("There is no such task.")
    return task


def _conflict(task: Task, code: Code) -> Conflict:
    return Conflict(f"The task is {task.status}.", code=code, extra={"task_status": task.status})
