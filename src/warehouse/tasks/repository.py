from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Any, Protocol
from uuid import UUID

from warehouse.tasks.model import OpenTask, Task, TaskEnding, TaskError, TaskFilter, TaskQueue, TaskStatus


class TaskRepository(Protocol):
    """Every change is one conditional UPDATE, and tells whether it was made."""

    async def add(self, task: Task) -> None: ...

    async def get(self, task_id: UUID) -> Task | None: ...

    async def find(self, task_ids: Collection[UUID]) -> Sequence[Task]:
        """Those of them that there are, in no order."""
        ...

    async def page(self, criteria: TaskFilter, after: Sequence[Any] | None, limit: int) -> Sequence[Task]:
        """The newest first."""
        ...

    async def queued(self, queue: TaskQueue) -> int:
        """How many tasks wait for a worker."""
        ...

    async def start(self, task_id: UUID, attempt: int, at: datetime) -> bool:
        """Begin the next attempt of a queued task, which has had so many. It counts from here on, whatever becomes of
        the worker."""
        ...

    async def advance(self, task_id: UUID, attempt: int, done: int, total: int | None) -> bool:
        """Note how far the attempt is, and that it lives; False where it is not the one that runs. Until the
        transaction ends nobody can take the task away."""
        ...

    async def finish(self, task_id: UUID, attempt: int, ending: TaskEnding, at: datetime) -> bool:
        """End the task, if this attempt is the one that runs."""
        ...

    async def give_back(self, task_id: UUID, attempt: int, *, free: bool) -> bool:
        """Queue the task again, if this attempt is the one that runs. A `free` attempt does not count."""
        ...

    async def take_away(self, task: OpenTask) -> bool:
        """Queue a running task again whose worker is presumed dead, unless it has changed since or
        somebody is just changing it."""
        ...

    async def end_abandoned(self, task: OpenTask, status: TaskStatus, at: datetime, error: TaskError | None) -> bool:
        """End a running task whose worker is presumed dead, unless it has changed since or somebody is just changing
        it."""
        ...

    async def cancel(self, task_id: UUID, at: datetime) -> bool:
        """End a queued task, and ask the worker of a running one to; False where it is neither."""
        ...

    async def reopen(self, task_id: UUID) -> bool:
        """Queue a task again that has failed or was cancelled, with as many attempts as a new one has."""
        ...

    async def open(self, limit: int) -> Sequence[OpenTask]:
        """All that run, and of the queued ones the oldest, so many of each queue."""
        ...

    async def batches(self, task_id: UUID) -> Mapping[int, Mapping[str, Any]]:
        """What the task has done in part, by number."""
        ...

    async def add_batch(self, task_id: UUID, number: int, outcome: Mapping[str, Any]) -> None: ...

    async def forget_batches(self, task_id: UUID) -> None:
        """What was noted of what is done anew."""
        ...

    async def finished_before(self, moment: datetime, limit: int) -> Sequence[UUID]:
        """The oldest first; until the transaction ends nobody can reopen them."""
        ...

    async def remove(self, task_ids: Collection[UUID]) -> None:
        """With their batches; but not those that have been opened again."""
        ...
