"""Jobs in ARQ's own form. docs/decisions/0017-tasks.md says what of ARQ is used, and what is not."""

from collections import defaultdict
from collections.abc import Callable, Collection, Coroutine, Sequence
from datetime import timedelta
from typing import Any, ParamSpec, TypeVar

import orjson
import redis.asyncio as redis
from arq.constants import job_key_prefix
from arq.jobs import serialize_job
from redis.exceptions import RedisError

from warehouse.errors import Unavailable
from warehouse.resilience import Policy, ResilienceError
from warehouse.tasks.model import TaskQueue
from warehouse.tasks.queue import Job

P = ParamSpec("P")
R = TypeVar("R")

RUN_TASK = "run_task"
"""The one function that workers have for jobs."""

SCORE = 1
"""That of every job. ARQ means by it when the job is due, by the clock of whoever enqueues; with one for all, jobs come
in the order of their ids, which are those of their tasks, and no clock decides when."""

KEPT = timedelta(days=30)
"""A job that expires is enqueued again by the next sweep."""


def queue_name(queue: TaskQueue) -> str:
    return f"warehouse:tasks:{queue}"


class ArqJobQueue:
    """See `warehouse.tasks.queue.JobQueue`."""

    def __init__(self, client: "redis.Redis", policy: Policy) -> None:
        self._client = client
        self._policy = policy

    async def enqueue(self, jobs: Collection[Job]) -> None:
        """By one round trip. Not by ARQ's `enqueue_job`: that does nothing where a key of an earlier job is left,
        though the job is in no queue."""
        if jobs:
            await self._call(self._enqueue, jobs)

    async def missing(self, jobs: Sequence[Job]) -> Sequence[Job]:
        # ARQ leaves a job in the queue until it is done.
        by_queue: dict[TaskQueue, list[Job]] = defaultdict(list)
        for job in jobs:
            by_queue[job.queue].append(job)
        missing: list[Job] = []
        for queue, some in by_queue.items():
            scores = await self._call(self._scores, queue, some)
            missing += [job for job, score in zip(some, scores, strict=True) if score is None]
        return missing

    async def _call(self, method: Callable[P, Coroutine[Any, Any, R]], *args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return await self._policy.call(method, *args, **kwargs)
        except (ResilienceError, RedisError, OSError) as error:
            raise Unavailable("The queue does not answer.") from error

    async def _enqueue(self, jobs: Collection[Job]) -> None:
        async with self._client.pipeline(transaction=True) as pipe:
            for job in jobs:
                arguments = (str(job.task_id), job.attempt)
                content = serialize_job(RUN_TASK, arguments, {}, None, 0, serializer=orjson.dumps)
                pipe.psetex(job_key_prefix + job.id, KEPT, content)
                pipe.zadd(queue_name(job.queue), {job.id: SCORE}, nx=True)
            await pipe.execute()

    async def _scores(self, queue: TaskQueue, jobs: Sequence[Job]) -> Sequence[Any]:
        scores: Sequence[Any] = await self._client.zmscore(queue_name(queue), [job.id for job in jobs])
        return scores
