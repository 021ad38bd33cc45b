"""What became of the tasks of a run."""

import statistics
from collections import Counter
from dataclasses import dataclass, field
from uuid import UUID

from warehouse.tasks.model import OpenTask, TaskStatus


@dataclass
class Figures:
    """Times are in seconds."""

    seed: int
    tasks: int = 0
    batches: int = 0
    kills: int = 0
    stops: int = 0
    redis_kills: int = 0
    flushes: int = 0
    attempts: int = 0
    ended: Counter[TaskStatus] = field(default_factory=Counter)
    """When all had ended, before those that failed were tried again."""
    refused: int = 0
    """Attempts that learned that they had been superseded."""
    recoveries: list[float] = field(default_factory=list)
    """Times from the last sign of life of an attempt to the beginning of the next."""
    lost: list[str] = field(default_factory=list)
    doubled: list[str] = field(default_factory=list)
    requests: int = 0
    refused_requests: int = 0

    @property
    def recovery(self) -> float:
        """The longest."""
        return max(self.recoveries, default=0.0)

    def __str__(self) -> str:
        ends = ", ".join(f"{count} {status}" for status, count in self.ended.most_common())
        return (
            f"WAREHOUSE_TEST_SEED={self.seed}: {self.tasks} tasks of {self.batches} batches, {self.kills} workers "
            f"killed, {self.stops} suspended past their leases, {self.redis_kills} times Redis killed, {self.flushes} "
            f"times flushed; {self.attempts} attempts, {self.refused} superseded; ended: {ends}; "
            f"{len(self.recoveries)} recoveries, the longest of {self.recovery:.1f} s, the median of "
            f"{statistics.median(self.recoveries or [0.0]):.1f} s; {len(self.lost)} lost, "
            f"{len(self.doubled)} doubled; {self.requests} requests of which {self.refused_requests} were refused"
        )


class Recoveries:
    """Tells from the rows alone how long a task was in nobody's hands: from the last change of a running attempt to the
    first sight of the next one."""

    def __init__(self) -> None:
        self.found: list[tuple[float, UUID]] = []
        self._alive: dict[UUID, tuple[int, int, float]] = {}

    def look(self, tasks: list[OpenTask], now: float) -> None:
        for task in tasks:
            if task.status is not TaskStatus.RUNNING:
                continue
            known = self._alive.get(task.id)
            if known is not None and task.attempt > known[0]:
                self.found.append((now - known[2], task.id))
            if known is None or known[:2] != (task.attempt, task.beat):
                self._alive[task.id] = task.attempt, task.beat, now
