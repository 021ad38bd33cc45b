"""ARQ's workers, in a process of their own or inside the server's."""

import asyncio
import logging
import signal
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from arq import cron, func
from arq.connections import ArqRedis
from arq.cron import CronJob
from arq.worker import Worker
from redis.asyncio.retry import Retry
from redis.backoff import ExponentialBackoff
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError

from warehouse.ending import ended
from warehouse.tasks.arq_queue import KEPT, RUN_TASK, queue_name
from warehouse.tasks.arq_worker import QueueWorker, read_job, write_job
from warehouse.tasks.model import TaskQueue
from warehouse.tasks.running import Runner
from warehouse.tasks.sweeping import Sweep

POLL_SECONDS = 0.1
READ_AT_ONCE = 1000
"""Of a queue's jobs so many are looked at; those that other workers have come before the ones that nobody has."""
ANY_TRIES = 1_000_000
"""ARQ's count is of no matter: attempts are counted in the tasks' rows."""
TASK_SECONDS = 24 * 3600
"""Longer than any task may take by itself."""
DUTY_SECONDS = 30
DRAIN_SECONDS = 30
"""What runs when the worker is told to end may take so long; then it is given back."""
CLOSING_SECONDS = 5.0
RESTART_SECONDS = 1.0
CONNECTING_SECONDS = 1.0
RETRIES = 20
KEPT_MILLISECONDS = round(KEPT.total_seconds() * 1000)
DUTIES = "warehouse:duties"
"""The queue of what is regular: it waits behind no task."""

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Duty:
    """What is done at certain seconds or minutes, by one worker of all; doing it twice, or not at all for once, does no
    harm."""

    name: str
    work: Callable[[], Awaitable[object]]
    second: frozenset[int] = frozenset({0})
    minute: frozenset[int] | None = None
    seconds: int = DUTY_SECONDS
    """That it may take."""


@dataclass(frozen=True, slots=True)
class Duties:
    """All that a worker does. `at_once` is how many tasks of each queue."""

    runner: Runner
    sweep: Sweep
    regular: Sequence[Duty]
    queues: Sequence[TaskQueue] = tuple(TaskQueue)
    at_once: int = 4


def make_workers(redis_url: str, duties: Duties) -> Sequence[Worker]:
    """One for each queue, and one for the regular duties."""
    workers = [_make_task_worker(redis_url, queue, duties) for queue in duties.queues]
    if duties.regular:
        jobs = [_cron(duty) for duty in duties.regular]
        workers.append(_make_worker(redis_url, DUTIES, max_jobs=len(jobs), cron_jobs=jobs))
    return workers


def _make_task_worker(redis_url: str, queue: TaskQueue, duties: Duties) -> QueueWorker:
    async def run_task(ctx: dict[Any, Any], *arguments: Any, **more: Any) -> None:
        await worker.run_task(duties.runner, ctx["job_id"], (*arguments, *more))

    function = func(run_task, name=RUN_TASK, timeout=TASK_SECONDS, max_tries=ANY_TRIES)
    worker = _make_worker(redis_url, queue_name(queue), max_jobs=duties.at_once, functions=[function])
    return worker


def _make_worker(redis_url: str, queue: str, **options: Any) -> QueueWorker:
    return QueueWorker(
        **options,
        queue_name=queue,
        redis_pool=_client(redis_url),
        handle_signals=False,
        job_timeout=DUTY_SECONDS,
        keep_result=0,
        poll_delay=POLL_SECONDS,
        queue_read_limit=READ_AT_ONCE,
        expires_extra_ms=KEPT_MILLISECONDS,
        job_serializer=write_job,
        job_deserializer=read_job,
        log_results=False,
    )


def _cron(duty: Duty) -> CronJob:
    async def run(ctx: dict[Any, Any]) -> None:
        await duty.work()

    minute = None if duty.minute is None else set(duty.minute)
    return cron(
        run,
        name=f"cron:{duty.name}",
        minute=minute,
        second=set(duty.second),
        timeout=duty.seconds,
        keep_result=0,
        max_tries=1,
    )


async def run_worker(redis_url: str, duties: Duties, on_drain: Callable[[], None] = lambda: None) -> None:
    """Work until SIGTERM or SIGINT; then call `on_drain`, and let what runs end."""
    told = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, told.set)
    working = asyncio.create_task(_work_again_and_again(redis_url, duties, told))
    # A worker that fails is not to stand there as if it worked.
    working.add_done_callback(lambda _: told.set())
    await told.wait()
    on_drain()
    log.info("worker.draining")
    await working
    log.info("worker.stopped")


async def run_in_process(redis_url: str, duties: Duties) -> None:
    """Work until cancelled; what runs then is given back."""
    await _work_again_and_again(redis_url, duties, asyncio.Event())


async def _work_again_and_again(redis_url: str, duties: Duties, told: asyncio.Event) -> None:
    """Workers that Redis left in the lurch are replaced; meanwhile the sweep goes on."""
    logging.getLogger("arq").setLevel(logging.WARNING)
    sweeping = asyncio.create_task(duties.sweep.run())
    try:
        while not told.is_set():
            await _work(make_workers(redis_url, duties), told)
            with suppress(TimeoutError):
                async with asyncio.timeout(RESTART_SECONDS):
                    await told.wait()
    finally:
        await ended(sweeping)


async def _work(workers: Sequence[Worker], told: asyncio.Event) -> None:
    """Until told to end, or Redis does not answer one of them any more."""
    running = [asyncio.create_task(worker.main()) for worker in workers]
    waiting = asyncio.create_task(told.wait())
    try:
        await asyncio.wait([*running, waiting], return_when=asyncio.FIRST_COMPLETED)
        for ended in running:
            if ended.done() and (error := ended.exception()) is not None:
                log.warning("worker.restarting error=%s", type(error).__name__)
        if told.is_set():
            await _drain(workers, running)
    finally:
        for each in (*running, waiting):
            each.cancel()
        await asyncio.gather(*running, waiting, return_exceptions=True)
        await _stop(workers)


async def _drain(workers: Sequence[Worker], polling: Sequence["asyncio.Task[None]"]) -> None:
    for worker in workers:
        worker.allow_pick_jobs = False
    # None is begun any more once they have ended.
    for each in polling:
        each.cancel()
    await asyncio.gather(*polling, return_exceptions=True)
    if running := [task for worker in workers for task in worker.tasks.values() if not task.done()]:
        log.info("worker.waiting tasks=%d", len(running))
        await asyncio.wait(running, timeout=DRAIN_SECONDS)


async def _stop(workers: Sequence[Worker]) -> None:
    """Goes on to its end where its caller is cancelled meanwhile, lest a connection stay open."""
    stopping = asyncio.gather(*map(_close, workers))
    try:
        await asyncio.shield(stopping)
    finally:
        await stopping


async def _close(worker: Worker) -> None:
    """In place of ARQ's own `close`, which waits long where Redis is away. What a job has to tell Redis at its end it
    may tell: cut off there, it would go on by itself, on a new connection."""
    worker.allow_pick_jobs = False
    for job in worker.job_tasks.values():
        job.cancel()
    ending = list(worker.tasks.values())
    if ending:
        await asyncio.wait(ending, timeout=CLOSING_SECONDS)
    for task in ending:
        task.cancel()
    await asyncio.gather(*ending, return_exceptions=True)
    await worker.pool.aclose(close_connection_pool=True)


def _client(url: str) -> ArqRedis:
    """ARQ's own client reads URLs in a way of its own and does not survive a second without Redis; this one does 20, at
    the start as well. A time-out of answers would have redis-py use `asyncio.wait_for`, in which Python 3.11 loses
    cancellations: then a worker that is told to end goes on."""
    client: ArqRedis = ArqRedis.from_url(
        url,
        socket_connect_timeout=CONNECTING_SECONDS,
        retry=Retry(ExponentialBackoff(cap=1, base=0.1), RETRIES),
        retry_on_error=[RedisConnectionError, RedisTimeoutError, OSError],
    )
    client.job_serializer, client.job_deserializer = write_job, read_job
    client.expires_extra_ms = KEPT_MILLISECONDS
    return client
