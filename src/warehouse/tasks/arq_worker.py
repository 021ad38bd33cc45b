"""ARQ's worker, made to outlive whatever stands in the queue and to end without losing anything."""

import asyncio
import logging
from typing import Any
from uuid import UUID

import orjson
from arq.worker import RetryJob, Worker
from redis.exceptions import ResponseError

from warehouse import metrics
from warehouse.errors import NotFound
from warehouse.tasks.running import Runner

CLAIM_SECONDS = 4.0
"""For so long a job is its worker's alone. ARQ means the longest time that a job may take; here nobody begins a task
twice anyway, and a worker may be killed between its claim and the task's beginning, above all while the process of a
last attempt starts: then another one is to have it."""
GARBAGE = "warehouse:tasks:garbage"
MOST_GARBAGE = 1000
MOST_ATTEMPTS = 1_000_000
LATEST = 1 << 45
"""In milliseconds, 1,100 years hence."""

log = logging.getLogger(__name__)


class QueueWorker(Worker):
    """ARQ's is ended by a member of the queue that is no text, and by keys of another type, again and again; and it
    forgets what it cannot run."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.in_progress_timeout_s = CLAIM_SECONDS

    async def start_jobs(self, job_ids: list[bytes]) -> None:
        """One after the other, so that none is begun any more once it is to begin no more."""
        for each in job_ids:
            if not self.allow_pick_jobs:
                return
            if not _is_text(each):
                await self._put_aside(each)
                await self.pool.zrem(self.queue_name, each)
            # One that it has at work itself may look as if nobody had it: the claim has run out.
            elif each.decode() not in self.tasks:
                await super().start_jobs([each])

    async def run_job(self, job_id: str, score: int) -> None:
        try:
            await super().run_job(job_id, score)
        except ResponseError:
            # Under one of the job's keys there is something of another type.
            await asyncio.shield(self.finish_failed_job(job_id, None))

    async def finish_failed_job(self, job_id: str, result_data: bytes | None) -> None:
        await self._put_aside(job_id.encode())
        await super().finish_failed_job(job_id, result_data)

    async def run_task(self, runner: Runner, job_id: str, arguments: tuple[Any, ...]) -> None:
        """A job's work. What is none, or one of a task that is not there, is put aside; a worker that is to end leaves
        it in the queue."""
        if not self.allow_pick_jobs:
            raise RetryJob
        try:
            task_id, attempt = _parse(arguments)
        except ValueError:
            await self._put_aside(job_id.encode())
            return
        try:
            await runner.run(task_id, attempt)
        except NotFound:
            await self._put_aside(job_id.encode())

    async def _put_aside(self, garbage: bytes) -> None:
        log.warning("queue.garbage queue=%s", self.queue_name)
        metrics.queue_garbage.inc()
        async with self.pool.pipeline(transaction=True) as pipe:
            pipe.lpush(GARBAGE, garbage[:1000])
            pipe.ltrim(GARBAGE, 0, MOST_GARBAGE - 1)
            await pipe.execute()


def write_job(job: Any) -> bytes:
    """Errors too, which ARQ writes before it throws them away."""
    return orjson.dumps(job, default=str)


def read_job(content: bytes) -> Any:
    """Raises `ValueError` where it has not ARQ's form, which the worker takes for granted."""
    match job := orjson.loads(content):
        case {"f": str(), "a": list(), "k": dict(), "t": None | int(), "et": int(time)} if 0 <= time < LATEST:
            return job
    raise ValueError("this is no job")


def _parse(arguments: tuple[Any, ...]) -> tuple[UUID, int]:
    match arguments:
        case (str(task_id), int(attempt)) if 0 <= attempt < MOST_ATTEMPTS:
            return UUID(task_id), attempt
    raise ValueError("these are not the arguments of a job")


def _is_text(member: bytes) -> bool:
    try:
        member.decode()
    except UnicodeDecodeError:
        return False
    return True
