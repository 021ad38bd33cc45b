"""One attempt of one task, from its beginning to whatever end."""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol
from uuid import UUID

from warehouse import metrics
from warehouse.clock import utc_now
from warehouse.ending import ended
from warehouse.errors import Code, NotFound, Unavailable, WarehouseError
from warehouse.resilience import ResilienceError, detached
from warehouse.tasks.model import Superseded, Task, TaskEnding, TaskError, TaskFault, TaskResult, TaskStatus
from warehouse.unit_of_work import UnitOfWork, UnitOfWorkFactory, replayed_on_conflict

BEAT_SECONDS = 2.0

log = logging.getLogger(__name__)


class Running:
    """What a handler has of its task. `report` costs nothing; what it says goes out with the next beat."""

    def __init__(self, task: Task) -> None:
        self.task = task
        self.done = 0
        self.total: int | None = None
        self.is_finished = False
        """The handler has ended the task itself, in the transaction of its effect."""

    def report(self, done: int, total: int | None = None) -> None:
        """So much is done, of so much in all."""
        self.done, self.total = done, total

    async def hold(self, uow: UnitOfWork) -> None:
        """Until the transaction ends the task is this attempt's. Raises `Superseded` where it is not any more."""
        if not await uow.tasks.advance(self.task.id, self.task.attempt, self.done, self.total):
            raise Superseded

    async def finish(self, uow: UnitOfWork, result: TaskResult | None) -> None:
        """End the task in the transaction of its effect. Raises `Superseded`."""
        ending = TaskEnding(TaskStatus.SUCCEEDED, self.done, self.total, result=result)
        if not await uow.tasks.finish(self.task.id, self.task.attempt, ending, utc_now()):
            raise Superseded
        self.is_finished = True


Handler = Callable[[Running], Awaitable[TaskResult | TaskEnding | None]]
"""Gives what the task has made, or how it ends where that is not well."""


@dataclass(frozen=True, slots=True)
class TaskKind:
    """`seconds` is how long an attempt may take. A handler is run again from its start when its worker is lost: what
    it writes, it writes together with a mark (`Running.hold`, `Running.finish`) or so that it may be written again.

    It raises a `WarehouseError` other than `Unavailable` for what another attempt would not mend.
    """

    handler: Handler
    seconds: float


class Runner(Protocol):
    async def run(self, task_id: UUID, attempt: int) -> None:
        """The next attempt of a task that has had so many, unless somebody has begun it already.

        Cancelled, it gives the task back, as one whose attempt does not count. Where the beginning or the end cannot be
        written the task is left to a sweep. Raises `NotFound`.
        """
        ...


@dataclass(frozen=True, slots=True)
class EndedAttempt:
    """What became of it, in a word; and how many seconds it took."""

    kind: str
    outcome: str
    seconds: float


def count_attempt(ended: EndedAttempt) -> None:
    metrics.tasks_ended.labels(ended.kind, ended.outcome).inc()
    metrics.task_seconds.labels(ended.kind).observe(ended.seconds)


Tell = Callable[[EndedAttempt], None]


class TaskRunner:
    """`tell` is told of each attempt that has ended."""

    def __init__(self, uow: UnitOfWorkFactory, kinds: Mapping[str, TaskKind], tell: Tell = count_attempt) -> None:
        self._uow = uow
        self._kinds = kinds
        self._tell = tell

    async def run(self, task_id: UUID, attempt: int) -> None:
        """See `Runner`."""
        try:
            task = await self._start(task_id, attempt)
        except (Unavailable, ResilienceError) as error:
            log.warning("task.not_begun id=%s error=%s", task_id, type(error).__name__)
            return
        if task is None:
            log.info("task.passed_over id=%s attempt=%d", task_id, attempt + 1)
            return
        begun = time.monotonic()
        outcome = "lost"
        try:
            outcome = await self._attempt(task)
        except (WarehouseError, ResilienceError) as error:
            log.warning("task.left_to_sweep id=%s error=%s", task.id, type(error).__name__)
        finally:
            kind = self.label(task)
            self._tell(EndedAttempt(kind, outcome, time.monotonic() - begun))
            log.info("task.attempt_ended id=%s kind=%s attempt=%d outcome=%s", task.id, kind, task.attempt, outcome)

    def label(self, task: Task) -> str:
        """Its kind for metrics: one of those that there are."""
        return task.kind if task.kind in self._kinds else "unknown"

    @replayed_on_conflict
    async def _start(self, task_id: UUID, attempt: int) -> Task | None:
        async with self._uow() as uow:
            is_ours = await uow.tasks.start(task_id, attempt, utc_now())
            task = await uow.tasks.get(task_id)
            if task is None:
                raise NotFound("There is no such task.")
            await uow.commit()
        return task if is_ours else None

    async def _attempt(self, task: Task) -> str:
        """How it ended, in a word."""
        running = Running(task)
        work = asyncio.create_task(self._work(running))
        pulse = _Pulse(self._uow, running, work)
        beating = asyncio.create_task(pulse.run())
        try:
            await asyncio.wait([work])
        except asyncio.CancelledError:
            work.cancel()
            await asyncio.wait([work])
            await asyncio.shield(detached(self._interrupted(task)))
            raise
        finally:
            await ended(beating)
        if not work.cancelled():
            return await self._settle(running, work.result())
        if pulse.is_superseded:
            return "superseded"
        if pulse.is_asked_to_end:
            return await self._end(task, TaskEnding(TaskStatus.CANCELLED, running.done, running.total))
        return await self._settle(running, RuntimeError("the work was cancelled by itself"))

    async def _interrupted(self, task: Task) -> None:
        await self._give_back(task, free=True)

    async def _work(self, running: Running) -> "TaskEnding | Exception":
        """How the task ends, or what another attempt may mend."""
        kind = self._kinds.get(running.task.kind)
        if kind is None:
            return _failed(running, TaskFault.UNKNOWN_KIND, f"This release has no work called {running.task.kind}.")
        limit = asyncio.timeout(kind.seconds)
        try:
            async with limit:
                result = await kind.handler(running)
        except TimeoutError as error:
            if not limit.expired():
                return error
            return _failed(running, Code.TIMEOUT, f"It took longer than {kind.seconds:.0f} seconds.")
        except Exception as error:  # noqa: BLE001 (whatever a handler raises is told in the task)
            return _refusal(running, error)
        if isinstance(result, TaskEnding):
            return result
        return TaskEnding(TaskStatus.SUCCEEDED, running.done, running.total, result=result)

    async def _settle(self, running: Running, found: "TaskEnding | Exception") -> str:
        task = running.task
        if isinstance(found, TaskEnding):
            # Where the transaction in which it ended itself was not committed, something was raised.
            is_done = running.is_finished and found.status is TaskStatus.SUCCEEDED
            return found.status if is_done else await self._end(task, found)
        if isinstance(found, Superseded):
            return "superseded"
        is_outage = isinstance(found, Unavailable | ResilienceError)
        level, cause = (logging.WARNING, None) if is_outage else (logging.ERROR, found)
        told = task.id, task.kind, task.attempt, type(found).__name__
        log.log(level, "task.failed id=%s kind=%s attempt=%d error=%s", *told, exc_info=cause)
        if task.attempt < task.most_attempts:
            await self._give_back(task, free=False)
            return "given_back"
        code = found.code if isinstance(found, WarehouseError) else Code.INTERNAL_ERROR
        detail = found.detail if isinstance(found, WarehouseError) else "The work failed."
        return await self._end(task, _failed(running, code, f"{detail} This was attempt {task.attempt}, the last."))

    @replayed_on_conflict
    async def _end(self, task: Task, ending: TaskEnding) -> str:
        async with self._uow() as uow:
            is_ours = await uow.tasks.finish(task.id, task.attempt, ending, utc_now())
            await uow.commit()
        return ending.status if is_ours else "superseded"

    @replayed_on_conflict
    async def _give_back(self, task: Task, *, free: bool) -> None:
        async with self._uow() as uow:
            if await uow.tasks.give_back(task.id, task.attempt, free=free):
                found = await uow.tasks.get(task.id)
                if found is not None and found.cancelling:
                    await uow.tasks.cancel(task.id, utc_now())
            await uow.commit()


class _Pulse:
    """Tells in the task's row that its worker lives, and hears there whether it is to end."""

    def __init__(self, uow: UnitOfWorkFactory, running: Running, work: "asyncio.Task[Any]") -> None:
        self._uow = uow
        self._running = running
        self._work = work
        self.is_asked_to_end = False
        self.is_superseded = False

    async def run(self) -> None:
        while True:
            await asyncio.sleep(BEAT_SECONDS)
            try:
                await self._beat()
            except (WarehouseError, ResilienceError) as error:
                # The fence holds all the same; and who cannot tell that he lives may be taken for dead.
                log.warning("task.beat_missed id=%s error=%s", self._running.task.id, type(error).__name__)
                continue
            if self.is_superseded or self.is_asked_to_end:
                self._work.cancel()
                return

    async def _beat(self) -> None:
        running, task = self._running, self._running.task
        async with self._uow() as uow:
            self.is_superseded = not await uow.tasks.advance(task.id, task.attempt, running.done, running.total)
            found = await uow.tasks.get(task.id)
            await uow.commit()
        self.is_asked_to_end = found is not None and found.cancelling


def _failed(running: Running, code: str, detail: str) -> TaskEnding:
    return TaskEnding(TaskStatus.FAILED, running.done, running.total, error=TaskError(code, detail))


def _refusal(running: Running, error: Exception) -> "TaskEnding | Exception":
    """What the work refuses for good ends the task; anything else may go better next time."""
    if not isinstance(error, WarehouseError) or isinstance(error, Unavailable):
        return error
    errors = tuple({"pointer": each.pointer, "code": each.code, "detail": each.detail} for each in error.errors)
    return TaskEnding(TaskStatus.FAILED, running.done, running.total, error=TaskError(error.code, error.detail, errors))
