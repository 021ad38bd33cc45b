"""How workers learn of tasks. The queue may forget anything at any time: the tasks' rows are the truth."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Protocol
from uuid import UUID

from warehouse.tasks.model import TaskQueue


@dataclass(frozen=True, slots=True)
class Job:
    """The next attempt of a task that has had so many."""

    queue: TaskQueue
    task_id: UUID
    attempt: int

    @property
    def id(self) -> str:
        """In one queue the older task comes first."""
        return f"{self.task_id}:{self.attempt}"


class JobQueue(Protocol):
    """Raises `Unavailable` where the queue does not answer."""

    async def enqueue(self, jobs: Collection[Job]) -> None:
        """Those that are there already stay where they are."""
        ...

    async def missing(self, jobs: Sequence[Job]) -> Sequence[Job]:
        """Those of them that are neither waiting nor in a worker's hands."""
        ...
