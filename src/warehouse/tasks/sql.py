from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, Row, case, delete, func, insert, literal, null, select, update
from sqlalchemy.types import String

from warehouse.storage.connection import Connection
from warehouse.storage.dialects import behind, for_update
from warehouse.storage.tables import task_batches, tasks
from warehouse.tasks.model import (
    ATTEMPTS,
    OPEN,
    OpenTask,
    Task,
    TaskEnding,
    TaskError,
    TaskFilter,
    TaskQueue,
    TaskResult,
    TaskStatus,
)

COLUMNS = [tasks.c[name] for name in Task.__dataclass_fields__]
OPEN_COLUMNS = [tasks.c[name] for name in OpenTask.__dataclass_fields__]
QUEUED, RUNNING = TaskStatus.QUEUED.value, TaskStatus.RUNNING.value
REOPENABLE = (TaskStatus.FAILED.value, TaskStatus.CANCELLED.value)


class SqlTaskRepository:
    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def add(self, task: Task) -> None:
        values = {column.name: getattr(task, column.name) for column in COLUMNS}
        nothing_yet = {"error": null(), "result": null()}
        await self._connection.execute(insert(tasks).values({**values, **nothing_yet}))

    async def get(self, task_id: UUID) -> Task | None:
        row = (await self._connection.execute(select(*COLUMNS).where(tasks.c.id == task_id))).one_or_none()
        return None if row is None else _task(row)

    async def find(self, task_ids: Collection[UUID]) -> Sequence[Task]:
        rows = await self._connection.execute(select(*COLUMNS).where(tasks.c.id.in_(task_ids)))
        return [_task(row) for row in rows]

    async def page(self, criteria: TaskFilter, after: Sequence[Any] | None, limit: int) -> Sequence[Task]:
        given = ((name, getattr(criteria, name)) for name in TaskFilter.__dataclass_fields__)
        conditions = [tasks.c[name] == value for name, value in given if value is not None]
        if after is not None:
            conditions.append(behind((tasks.c.id,), after, descending=True))
        statement = select(*COLUMNS).where(*conditions).order_by(tasks.c.id.desc()).limit(limit)
        return [_task(row) for row in await self._connection.execute(statement)]

    async def queued(self, queue: TaskQueue) -> int:
        statement = select(func.count()).where(tasks.c.status == QUEUED, tasks.c.queue == queue.value)
        return int(await self._connection.scalar(statement))

    async def start(self, task_id: UUID, attempt: int, at: datetime) -> bool:
        return await self._change(
            (tasks.c.id == task_id, tasks.c.attempt == attempt, tasks.c.status == QUEUED),
            {"status": RUNNING, "attempt": attempt + 1, "started_at": at},
        )

    async def advance(self, task_id: UUID, attempt: int, done: int, total: int | None) -> bool:
        return await self._change(_attempt(task_id, attempt), {"done": done, "total": total})

    async def finish(self, task_id: UUID, attempt: int, ending: TaskEnding, at: datetime) -> bool:
        progress = {"done": ending.done, "total": ending.total}
        end = _end(ending.status, at, ending.error, ending.result)
        return await self._change(_attempt(task_id, attempt), {**end, **progress})

    async def give_back(self, task_id: UUID, attempt: int, *, free: bool) -> bool:
        more = {"most_attempts": tasks.c.most_attempts + 1} if free else {}
        return await self._change(_attempt(task_id, attempt), {"status": QUEUED, **more})

    async def take_away(self, task: OpenTask) -> bool:
        return await self._is_free(task) and await self._change(_unchanged(task), {"status": QUEUED})

    async def end_abandoned(self, task: OpenTask, status: TaskStatus, at: datetime, error: TaskError | None) -> bool:
        return await self._is_free(task) and await self._change(_unchanged(task), _end(status, at, error, None))

    async def cancel(self, task_id: UUID, at: datetime) -> bool:
        queued = tasks.c.status == QUEUED
        # MySQL would see the new status in what is set after it.
        values = [
            # Asked again and again it would look as if its worker lived.
            (tasks.c.beat, tasks.c.beat + case((tasks.c.cancelling, 0), else_=1)),
            (tasks.c.finished_at, case((queued, literal(at, tasks.c.finished_at.type)), else_=null())),
            (tasks.c.cancelling, ~queued),
            (tasks.c.status, case((queued, literal(TaskStatus.CANCELLED.value, String(16))), else_=tasks.c.status)),
        ]
        statement = update(tasks).where(tasks.c.id == task_id, tasks.c.status.in_([each.value for each in OPEN]))
        return (await self._connection.execute(statement.ordered_values(*values))).rowcount == 1

    async def reopen(self, task_id: UUID) -> bool:
        anew = {"status": QUEUED, "most_attempts": tasks.c.attempt + ATTEMPTS, "cancelling": False}
        nothing_yet = {"error": null(), "result": null(), "finished_at": None}
        return await self._change((tasks.c.id == task_id, tasks.c.status.in_(REOPENABLE)), {**anew, **nothing_yet})

    async def open(self, limit: int) -> Sequence[OpenTask]:
        running = select(*OPEN_COLUMNS).where(tasks.c.status == RUNNING)
        found = list(await self._connection.execute(running))
        for queue in TaskQueue:
            waiting = select(*OPEN_COLUMNS).where(tasks.c.status == QUEUED, tasks.c.queue == queue.value)
            found += await self._connection.execute(waiting.order_by(tasks.c.id).limit(limit))
        return [_open_task(row) for row in found]

    async def batches(self, task_id: UUID) -> Mapping[int, Mapping[str, Any]]:
        statement = select(task_batches.c.number, task_batches.c.outcome).where(task_batches.c.task_id == task_id)
        rows = await self._connection.execute(statement.order_by(task_batches.c.number))
        return {row.number: row.outcome for row in rows}

    async def add_batch(self, task_id: UUID, number: int, outcome: Mapping[str, Any]) -> None:
        values = {"task_id": task_id, "number": number, "outcome": outcome}
        await self._connection.execute(insert(task_batches), values)

    async def forget_batches(self, task_id: UUID) -> None:
        await self._connection.execute(delete(task_batches).where(task_batches.c.task_id == task_id))

    async def finished_before(self, moment: datetime, limit: int) -> Sequence[UUID]:
        statement = select(tasks.c.id).where(tasks.c.finished_at < moment).order_by(tasks.c.finished_at, tasks.c.id)
        return (await self._connection.execute(statement.limit(limit).with_for_update())).scalars().all()

    async def remove(self, task_ids: Collection[UUID]) -> None:
        statement = select(tasks.c.id).where(tasks.c.id.in_(task_ids), tasks.c.finished_at.is_not(None))
        rows = await self._connection.execute(for_update(self._connection.dialect.name, statement, tasks))
        ended = rows.scalars().all()
        await self._connection.execute(delete(task_batches).where(task_batches.c.task_id.in_(ended)))
        await self._connection.execute(delete(tasks).where(tasks.c.id.in_(ended)))

    async def _is_free(self, task: OpenTask) -> bool:
        """Without waiting: who has locked the row is at work, and a sweep has others to look after."""
        statement = select(tasks.c.id).where(*_unchanged(task)).with_for_update(skip_locked=True)
        return (await self._connection.execute(statement)).one_or_none() is not None

    async def _change(self, conditions: Sequence[ColumnElement[bool]], values: Mapping[str, Any]) -> bool:
        statement = update(tasks).where(*conditions).values({**values, "beat": tasks.c.beat + 1})
        return (await self._connection.execute(statement)).rowcount == 1


def _attempt(task_id: UUID, attempt: int) -> Sequence[ColumnElement[bool]]:
    return tasks.c.id == task_id, tasks.c.attempt == attempt, tasks.c.status == RUNNING


def _unchanged(task: OpenTask) -> Sequence[ColumnElement[bool]]:
    return *_attempt(task.id, task.attempt), tasks.c.beat == task.beat


def _end(status: TaskStatus, at: datetime, error: TaskError | None, result: TaskResult | None) -> Mapping[str, Any]:
    return {
        "status": status.value,
        "finished_at": at,
        "error": null() if error is None else asdict(error),
        "result": null() if result is None else asdict(result),
    }


def _task(row: Row[*tuple[Any, ...]]) -> Task:
    values = dict(row._mapping)
    error, result = values["error"], values["result"]
    values["queue"], values["status"] = TaskQueue(values["queue"]), TaskStatus(values["status"])
    values["error"] = None if error is None else TaskError(error["code"], error["detail"], tuple(error["errors"]))
    values["result"] = None if result is None else TaskResult(**result)
    return Task(**values)


def _open_task(row: Row[*tuple[Any, ...]]) -> OpenTask:
    values = dict(row._mapping)
    values["queue"], values["status"] = TaskQueue(values["queue"]), TaskStatus(values["status"])
    return OpenTask(**values)
