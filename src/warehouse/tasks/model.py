"""Background tasks. A task's row is the truth; the queue carries nothing but its id and the number of its attempt."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

from warehouse.ids import new_id

ATTEMPTS = 3
"""A task that has ended its worker so often is not given to another one."""


class TaskStatus(StrEnum):
    QUEUED = "queued"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"


OPEN = frozenset({TaskStatus.QUEUED, TaskStatus.RUNNING})


class TaskQueue(StrEnum):
    """Each has workers of its own, so that nothing short waits for something long."""

    SHORT = "short"
    LONG = "long"


@dataclass(frozen=True, slots=True)
class TaskDraft:
    """What is asked for. `parameters` are plain JSON, for the kind's handler."""

    kind: str
    queue: TaskQueue
    parameters: Mapping[str, Any]
    unit: str = "rows"
    id: UUID = field(default_factory=new_id)


class TaskFault(StrEnum):
    """Codes of tasks that failed for no reason that a request could fail for."""

    WORKER_LOST = "worker_lost"
    UNKNOWN_KIND = "unknown_kind"


@dataclass(frozen=True, slots=True)
class TaskError:
    """Why a task failed, in the words of a problem document. `code` is a `TaskFault` or one of `warehouse.errors`."""

    code: str
    detail: str
    errors: tuple[Mapping[str, Any], ...] = ()


@dataclass(frozen=True, slots=True)
class TaskResult:
    """What a task has made: a blob, and how it is served."""

    key: str
    media_type: str
    file_name: str
    size: int


@dataclass(frozen=True, slots=True)
class TaskEnding:
    """How an attempt ends, and how far it came."""

    status: TaskStatus
    done: int = 0
    total: int | None = None
    error: TaskError | None = None
    result: TaskResult | None = None


@dataclass(frozen=True, slots=True)
class Task:
    """`attempt` counts those that have begun, and is the fence: who writes under another number is a worker that was
    presumed dead. `beat` grows with every change. `done` of `total` (None: not known) are counted in `unit`."""

    id: UUID
    kind: str
    queue: TaskQueue
    status: TaskStatus
    caller_id: UUID
    actor: str
    parameters: Mapping[str, Any]
    attempt: int
    most_attempts: int
    beat: int
    cancelling: bool
    done: int
    total: int | None
    unit: str
    error: TaskError | None
    result: TaskResult | None
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None

    @property
    def is_open(self) -> bool:
        return self.status in OPEN

    def seconds(self, at: datetime) -> float | None:
        """How long the last attempt has been running, or was; None before the first."""
        return None if self.started_at is None else ((self.finished_at or at) - self.started_at).total_seconds()


@dataclass(frozen=True, slots=True)
class OpenTask:
    """What a sweep looks at. `most_attempts` and `cancelling` decide what becomes of it when its worker is gone."""

    id: UUID
    kind: str
    queue: TaskQueue
    status: TaskStatus
    attempt: int
    most_attempts: int
    beat: int
    cancelling: bool
    created_at: datetime


@dataclass(frozen=True, slots=True)
class TaskFilter:
    caller_id: UUID | None = None
    status: TaskStatus | None = None
    kind: str | None = None


class Superseded(Exception):
    """Another attempt has the task, or nobody has it any more: nothing of this one may be written."""


def new_task(draft: TaskDraft, caller_id: UUID, actor: str, at: datetime) -> Task:
    return Task(
        id=draft.id,
        kind=draft.kind,
        queue=draft.queue,
        status=TaskStatus.QUEUED,
        caller_id=caller_id,
        actor=actor,
        parameters=draft.parameters,
        attempt=0,
        most_attempts=ATTEMPTS,
        beat=1,
        cancelling=False,
        done=0,
        total=None,
        unit=draft.unit,
        error=None,
        result=None,
        created_at=at,
        started_at=None,
        finished_at=None,
    )
