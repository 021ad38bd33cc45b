"""Tasks without a database and jobs without a queue, both of which can go away; and handlers that do as they are told.
What the rows do on real databases is told by tests/contract/test_tasks.py."""

import asyncio
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import replace
from datetime import datetime
from types import TracebackType
from typing import Any, Self, cast
from uuid import UUID

from prometheus_client import REGISTRY

from tests.contract.ledger import CALLER
from warehouse.clock import utc_now
from warehouse.errors import OutcomeUnknown, Unavailable
from warehouse.tasks.model import (
    OPEN,
    OpenTask,
    Task,
    TaskDraft,
    TaskEnding,
    TaskError,
    TaskQueue,
    TaskStatus,
    new_task,
)
from warehouse.tasks.queue import Job
from warehouse.tasks.running import Handler, TaskKind, TaskRunner
from warehouse.tasks.sweeping import Sweep
from warehouse.unit_of_work import UnitOfWorkFactory

SECONDS = 60.0


class MemoryTasks:
    def __init__(self, rows: dict[UUID, Task]) -> None:
        self.rows = rows

    async def get(self, task_id: UUID) -> Task | None:
        return self.rows.get(task_id)

    async def find(self, task_ids: Collection[UUID]) -> Sequence[Task]:
        return [self.rows[task_id] for task_id in task_ids if task_id in self.rows]

    async def queued(self, queue: TaskQueue) -> int:
        return sum(row.status is TaskStatus.QUEUED and row.queue is queue for row in self.rows.values())

    async def start(self, task_id: UUID, attempt: int, at: datetime) -> bool:
        may = task_id in self.rows and self._is(task_id, attempt, TaskStatus.QUEUED)
        return may and self._change(task_id, status=TaskStatus.RUNNING, attempt=attempt + 1, started_at=at)

    async def advance(self, task_id: UUID, attempt: int, done: int, total: int | None) -> bool:
        return self._runs(task_id, attempt) and self._change(task_id, done=done, total=total)

    async def finish(self, task_id: UUID, attempt: int, ending: TaskEnding, at: datetime) -> bool:
        end = {name: getattr(ending, name) for name in TaskEnding.__dataclass_fields__}
        return self._runs(task_id, attempt) and self._change(task_id, finished_at=at, **end)

    async def give_back(self, task_id: UUID, attempt: int, *, free: bool) -> bool:
        if not self._runs(task_id, attempt):
            return False
        return self._change(task_id, status=TaskStatus.QUEUED, most_attempts=self.rows[task_id].most_attempts + free)

    async def take_away(self, task: OpenTask) -> bool:
        return self._is_unchanged(task) and self._change(task.id, status=TaskStatus.QUEUED)

    async def end_abandoned(self, task: OpenTask, status: TaskStatus, at: datetime, error: TaskError | None) -> bool:
        return self._is_unchanged(task) and self._change(task.id, status=status, finished_at=at, error=error)

    async def cancel(self, task_id: UUID, at: datetime) -> bool:
        if self.rows[task_id].status is TaskStatus.QUEUED:
            return self._change(task_id, status=TaskStatus.CANCELLED, finished_at=at, cancelling=False)
        return self._change(task_id, cancelling=True)

    async def open(self, limit: int) -> Sequence[OpenTask]:
        names = OpenTask.__dataclass_fields__
        rows = [row for row in self.rows.values() if row.status in OPEN]
        return [OpenTask(**{name: getattr(row, name) for name in names}) for row in rows][:limit]

    def _is(self, task_id: UUID, attempt: int, status: TaskStatus) -> bool:
        row = self.rows[task_id]
        return row.attempt == attempt and row.status is status

    def _runs(self, task_id: UUID, attempt: int) -> bool:
        return self._is(task_id, attempt, TaskStatus.RUNNING)

    def _is_unchanged(self, task: OpenTask) -> bool:
        return self._runs(task.id, task.attempt) and self.rows[task.id].beat == task.beat

    def _change(self, task_id: UUID, **values: Any) -> bool:
        row = self.rows[task_id]
        self.rows[task_id] = replace(row, beat=row.beat + 1, **values)
        return True


class MemoryDatabase:
    """One transaction at a time, each on a copy of the rows. `fails` are raised one by one where transactions begin,
    `breaks` where they are committed: before the commit, or after it."""

    def __init__(self) -> None:
        self.rows: dict[UUID, Task] = {}
        self.is_away = False
        self.fails: list[Exception] = []
        self.breaks: list[tuple[Exception, bool]] = []
        self.begun = 0
        self.lock = asyncio.Lock()

    def __call__(self, *, read_only: bool = False) -> "MemoryUnitOfWork":
        return MemoryUnitOfWork(self)


class MemoryUnitOfWork:
    def __init__(self, database: MemoryDatabase) -> None:
        self._database = database
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        database = self._database
        await self._stack.enter_async_context(database.lock)
        database.begun += 1
        try:
            if database.is_away:
                raise Unavailable("The database does not answer.")
            if database.fails:
                raise database.fails.pop(0)
        except Unavailable:
            await self._stack.aclose()
            raise
        self.tasks = MemoryTasks(dict(database.rows))
        return self

    async def commit(self) -> None:
        if self._database.is_away:
            raise OutcomeUnknown("It is not known whether this has been done.")
        error, is_done = self._database.breaks.pop(0) if self._database.breaks else (None, True)
        if is_done:
            self._database.rows = self.tasks.rows
        if error is not None:
            raise error

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._stack.aclose()


class MemoryQueue:
    """`enqueued` are all that ever came, `jobs` those that are there."""

    def __init__(self) -> None:
        self.is_away = False
        self.enqueued: list[Job] = []
        self.jobs: set[Job] = set()

    async def enqueue(self, jobs: Collection[Job]) -> None:
        self._answer()
        self.enqueued += jobs
        self.jobs.update(jobs)

    async def missing(self, jobs: Sequence[Job]) -> Sequence[Job]:
        self._answer()
        return [job for job in jobs if job not in self.jobs]

    def _answer(self) -> None:
        if self.is_away:
            raise Unavailable("The queue does not answer.")


class World:
    """A runner, whose one kind of task is `work`, and sweeps by the loop's time."""

    def __init__(self, handler: Handler | None = None, seconds: float = SECONDS) -> None:
        self.database = MemoryDatabase()
        self.uow = cast(UnitOfWorkFactory, self.database)
        self.queue = MemoryQueue()
        kinds: Mapping[str, TaskKind] = {"work": TaskKind(handler, seconds)} if handler else {}
        self.runner = TaskRunner(self.uow, kinds)

    def add(self, kind: str = "work", **fields: Any) -> UUID:
        draft = TaskDraft(kind, TaskQueue.SHORT, {})
        self.database.rows[draft.id] = replace(new_task(draft, CALLER, "tester", utc_now()), **fields)
        return draft.id

    def sweep(self, clock: Callable[[], float] | None = None) -> Sweep:
        return Sweep(self.uow, self.queue, clock or asyncio.get_running_loop().time)

    def task(self, task_id: UUID) -> Task:
        return self.database.rows[task_id]

    def change(self, task_id: UUID, **values: Any) -> None:
        """As somebody else would, elsewhere."""
        row = self.database.rows[task_id]
        self.database.rows[task_id] = replace(row, beat=row.beat + 1, **values)

    async def run(self, task_id: UUID) -> Task:
        """The next attempt."""
        await self.runner.run(task_id, self.task(task_id).attempt)
        return self.task(task_id)


def counted(metric: str, **labels: str) -> float:
    return REGISTRY.get_sample_value(metric, labels) or 0.0
