"""The last attempt of a task has a process of its own: the task has ended two workers, or was with the one that did.

Such a process is told to end by the end of what it can read from its worker, be it that the worker says no more or that
it is gone; signals are the worker's to see to. It answers how the attempt ended.
"""

import asyncio
import logging
import os
import pickle
import socket
import sys
import time
from asyncio.subprocess import Process
from collections.abc import Awaitable, Callable
from contextlib import suppress
from uuid import UUID

import orjson

from warehouse.errors import Unavailable
from warehouse.metrics import FOLDER_VARIABLE
from warehouse.resilience import ResilienceError
from warehouse.tasks.model import ATTEMPTS, Task, TaskStatus
from warehouse.tasks.running import EndedAttempt, TaskRunner, Tell, count_attempt
from warehouse.unit_of_work import UnitOfWorkFactory

PROGRAM = "warehouse.tasks.isolated"

IsolatedWork = Callable[[UUID, int, Tell], Awaitable[None]]
"""`TaskRunner.run` in a process that has nothing yet. It is pickled."""

log = logging.getLogger(__name__)


class Isolation:
    """Has processes for `work`, which a server forks: it loads `module`, where `work` is, once, which takes a second.
    `close()` it at the end."""

    def __init__(self, work: IsolatedWork, module: str) -> None:
        self._work = work
        self._module = module
        self._starting = asyncio.Lock()
        self._server: Process | None = None
        self._control: socket.socket | None = None

    async def run(self, task_id: UUID, attempt: int) -> bytes:
        """What the process has told: JSON, or nothing where it was lost. Cancelled, it tells the process to end, and
        waits for that until it is cancelled again. Raises `OSError` where there is no process."""
        ours, theirs = socket.socketpair()
        try:
            with theirs:
                await self._hand_over(theirs)
            reader, writer = await asyncio.open_connection(sock=ours)
        except BaseException:
            ours.close()
            raise
        try:
            writer.write(pickle.dumps((self._work, task_id, attempt)))
            return await reader.read()
        except asyncio.CancelledError:
            writer.write_eof()
            with suppress(ConnectionError):
                await reader.read()
            raise
        except ConnectionError:
            return b""
        finally:
            writer.close()

    async def close(self) -> None:
        """The server ends; those that it has forked end by themselves."""
        if self._control is not None:
            self._control.close()
        if self._server is not None:
            await self._server.wait()

    async def _hand_over(self, connection: socket.socket) -> None:
        async with self._starting:
            if self._server is None or self._server.returncode is not None:
                await self._start()
        assert self._control is not None  # noqa: S101 (it has been started)
        socket.send_fds(self._control, [b"."], [connection.fileno()])

    async def _start(self) -> None:
        # Modules are found where they are found here, and not in the working directory. What such a process counts is
        # counted here.
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
        environment.pop(FOLDER_VARIABLE, None)
        if self._control is not None:
            self._control.close()
        self._control, theirs = socket.socketpair()
        with theirs:
            command = sys.executable, "-P", "-m", PROGRAM, self._module
            self._server = await asyncio.create_subprocess_exec(*command, stdin=theirs.fileno(), env=environment)


class IsolatingRunner:
    """Has a process for the last attempt of a task, and leaves all others to `runner`."""

    def __init__(self, uow: UnitOfWorkFactory, runner: TaskRunner, isolation: Isolation) -> None:
        self._uow = uow
        self._runner = runner
        self._isolation = isolation

    async def run(self, task_id: UUID, attempt: int) -> None:
        """See `warehouse.tasks.running.Runner`."""
        try:
            task = await self._queued_for_its_last(task_id, attempt)
            if task is not None:
                return await self._isolated(task)
        except (Unavailable, ResilienceError, OSError) as error:
            # It is queued as before.
            log.warning("task.not_begun id=%s error=%s", task_id, type(error).__name__)
            return None
        return await self._runner.run(task_id, attempt)

    async def _queued_for_its_last(self, task_id: UUID, attempt: int) -> Task | None:
        if attempt + 1 < ATTEMPTS:
            return None
        async with self._uow(read_only=True) as uow:
            task = await uow.tasks.get(task_id)
        if task is None or (task.status, task.attempt) != (TaskStatus.QUEUED, attempt):
            return None
        return task if attempt + 1 >= task.most_attempts else None

    async def _isolated(self, task: Task) -> None:
        log.info("task.isolated id=%s kind=%s attempt=%d", task.id, task.kind, task.attempt + 1)
        begun = time.monotonic()
        told = await self._isolation.run(task.id, task.attempt)
        if not told:
            log.error("task.process_lost id=%s kind=%s attempt=%d", task.id, task.kind, task.attempt + 1)
            count_attempt(EndedAttempt(self._runner.label(task), "lost", time.monotonic() - begun))
        elif (ended := orjson.loads(told)) is not None:
            count_attempt(EndedAttempt(**ended))
