"""Tasks on the wire."""

from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

from pydantic import Field, StringConstraints

from warehouse.http.fields import Output
from warehouse.http.pagination import Page
from warehouse.tasks.model import Task, TaskStatus

KindFilter = Annotated[str, StringConstraints(min_length=1, max_length=32)]


class ProgressRead(Output):
    done: int
    total: int | None = Field(description="Null as long as it is not known.")
    unit: str
    rate: float | None = Field(description="So many in a second, of this attempt on average; null while it waits.")


class TaskFieldErrorRead(Output):
    pointer: str
    code: str
    detail: str


class TaskErrorRead(Output):
    """Why it failed, with the codes of problem documents, and `worker_lost` or `unknown_kind`."""

    code: str
    detail: str
    errors: list[TaskFieldErrorRead]


class TaskRead(Output):
    id: UUID
    kind: str = Field(description="What is done, as `import_products`.")
    status: TaskStatus
    progress: ProgressRead
    attempt: int = Field(description="How many have begun. A task whose worker is lost is begun again, up to 3 times.")
    error: TaskErrorRead | None
    result_url: str | None = Field(description="Where what it has made is; null where it has made nothing.")
    created_at: datetime
    started_at: datetime | None = Field(description="When the last attempt began.")
    finished_at: datetime | None


class TaskPage(Page[TaskRead]):
    pass


def task_document(task: Task, at: datetime, root: str = "") -> Mapping[str, Any]:
    """The `TaskRead` of a task as it is at this moment. `root` is what stands before all paths."""
    seconds = None if task.status is TaskStatus.QUEUED else task.seconds(at)
    return {
        "id": task.id,
        "kind": task.kind,
        "status": task.status,
        "progress": {
            "done": task.done,
            "total": task.total,
            "unit": task.unit,
            "rate": None if not seconds else round(task.done / seconds, 1),
        },
        "attempt": task.attempt,
        "error": task.error,
        "result_url": f"{root}/v1/tasks/{task.id}/result" if task.result else None,
        "created_at": task.created_at,
        "started_at": task.started_at,
        "finished_at": task.finished_at,
    }
