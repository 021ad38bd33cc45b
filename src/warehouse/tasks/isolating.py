"""The last attempt of a task has a process of its own: the task has ended two workers, or was with the one that did.

The process is told to end by the end of its standard input, be it that the worker closes it or that the worker is gone;
signals are the worker's to see to. It tells on its standard output how the attempt ended.
"""

import asyncio
import logging
import os
import pickle
import sys
import time
from asyncio.subprocess import PIPE, Process
from collections.abc import Awaitable, Callable
from uuid import UUID

import orjson

from warehouse.errors import Unavailable
from warehouse.metrics import FOLDER_VARIABLE
from warehouse.resilience import ResilienceError
from warehouse.tasks.model import ATTEMPTS, Task, TaskStatus
from warehouse.tasks.running import EndedAttempt, TaskRunner, Tell, count
from warehouse.unit_of_work import UnitOfWorkFactory

PROGRAM = "warehouse.tasks.isolated"
ENDING_SECONDS = 4.5
"""A process that was told to end has so long to give its task back; less than its worker has to end."""

IsolatedWork = Callable[[UUID, int, Tell], Awaitable[None]]
"""`TaskRunner.run` in a process that has nothing yet. It is pickled."""

log = logging.getLogger(__name__)


class IsolatingRunner:
    """Has a process for the last attempt of a task, and leaves all others to `runner`."""

    def __init__(self, uow: UnitOfWorkFactory, runner: TaskRunner, work: IsolatedWork) -> None:
        self._uow = uow
        self._runner = runner
        self._work = work

    async def run(self, task_id: UUID, attempt: int) -> None:
        """See `warehouse.tasks.running.Runner`."""
        try:
            task = await self._waiting_for_its_last(task_id, attempt)
        except (Unavailable, ResilienceError) as error:
            log.warning("task.not_begun id=%s error=%s", task_id, type(error).__name__)
            return
        if task is None:
            await self._runner.run(task_id, attempt)
        else:
            await self._isolated(task)

    async def _waiting_for_its_last(self, task_id: UUID, attempt: int) -> Task | None:
        if attempt + 1 < ATTEMPTS:
            return None
        async with self._uow(read_only=True) as uow:
            task = await uow.tasks.get(task_id)
        if task is None or (task.status, task.attempt) != (TaskStatus.QUEUED, attempt):
            return None
        return task if attempt + 1 >= task.most_attempts else None

    async def _isolated(self, task: Task) -> None:
        # Modules are found where they are found here. What such a process counts is counted here.
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
        environment.pop(FOLDER_VARIABLE, None)
        begun = time.monotonic()
        try:
            process = await asyncio.create_subprocess_exec(
                sys.executable, "-m", PROGRAM, stdin=PIPE, stdout=PIPE, env=environment
            )
        except OSError as error:
            # It is queued as before.
            log.warning("task.not_begun id=%s error=%s", task.id, type(error).__name__)
            return
        log.info("task.isolated id=%s kind=%s process=%d", task.id, task.kind, process.pid)
        told, status = await _talk(process, pickle.dumps((self._work, task.id, task.attempt)))
        if told:
            count(EndedAttempt(*orjson.loads(told)))
        elif status:
            log.error("task.process_lost id=%s kind=%s status=%d", task.id, task.kind, status)
            count(EndedAttempt(self._runner.label(task), "lost", time.monotonic() - begun))


async def _talk(process: Process, orders: bytes) -> tuple[bytes, int]:
    """What it has told, and its exit status. Cancelled, it tells the process to end, and waits for that."""
    assert process.stdin is not None and process.stdout is not None  # noqa: S101, PT018 (they were asked for)
    process.stdin.write(orders)
    try:
        return await process.stdout.read(), await process.wait()
    except asyncio.CancelledError:
        process.stdin.close()
        try:
            async with asyncio.timeout(ENDING_SECONDS):
                await process.wait()
        except TimeoutError:
            process.kill()
            await process.wait()
        raise
