"""The ARQ worker, as a process of its own or inside the server's."""

import asyncio
import logging

import orjson
from arq import cron
from arq.connections import RedisSettings
from arq.worker import Worker
from redis.asyncio.connection import SSLConnection, parse_url
from redis.asyncio.retry import Retry
from redis.backoff import ExponentialBackoff
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError

from warehouse.stock.jobs import expire_reservations
from warehouse.stock.reserving import ReservationService

SWEEP_SECONDS = set(range(0, 60, 5))
JOB_SECONDS = 30
DRAIN_SECONDS = 30
RESTART_SECONDS = 1.0

log = logging.getLogger(__name__)


def make_worker(redis_url: str, reservations: ReservationService, *, handle_signals: bool) -> Worker:
    """On SIGTERM, with `handle_signals`, it lets running jobs end."""
    return Worker(
        functions=[expire_reservations],
        cron_jobs=[cron(expire_reservations, second=SWEEP_SECONDS, timeout=JOB_SECONDS, keep_result=0, max_tries=1)],
        redis_settings=_redis_settings(redis_url),
        ctx={"reservations": reservations},
        handle_signals=handle_signals,
        job_completion_wait=DRAIN_SECONDS if handle_signals else 0,
        job_timeout=JOB_SECONDS,
        job_serializer=orjson.dumps,
        job_deserializer=orjson.loads,
        log_results=False,
    )


async def run_worker(redis_url: str, reservations: ReservationService) -> None:
    """Run a worker until SIGTERM or SIGINT."""
    worker = make_worker(redis_url, reservations, handle_signals=True)
    try:
        await worker.async_run()
    except asyncio.CancelledError:
        log.info("worker.stopped")
    finally:
        await _stop(worker)


async def run_in_process(redis_url: str, reservations: ReservationService) -> None:
    """Run a worker until cancelled; one that Redis left in the lurch is replaced."""
    logging.getLogger("arq").setLevel(logging.WARNING)
    while True:
        worker = make_worker(redis_url, reservations, handle_signals=False)
        try:
            await worker.main()
        except Exception as error:  # noqa: BLE001 (ARQ raises whatever Redis or a job did to it)
            log.warning("worker.restarting error=%s", type(error).__name__)
        finally:
            await _stop(worker)
        await asyncio.sleep(RESTART_SECONDS)


async def _stop(worker: Worker) -> None:
    """Goes on to its end where its caller is cancelled meanwhile, lest a connection stay open."""
    stopping = asyncio.create_task(_close(worker))
    try:
        await asyncio.shield(stopping)
    finally:
        await stopping


async def _close(worker: Worker) -> None:
    """In place of ARQ's own `close`, which asks Redis for something and waits long where that is away."""
    for task in worker.tasks.values():
        task.cancel()
    await asyncio.gather(*worker.tasks.values(), return_exceptions=True)
    if worker._pool is not None:
        await worker._pool.aclose(close_connection_pool=True)


def _redis_settings(url: str) -> RedisSettings:
    """The URL as redis-py reads it: ARQ takes %-encoded passwords as they stand. ARQ's own settings do not survive a
    second without Redis; these do 20, at the start as well."""
    address = parse_url(url)
    return RedisSettings(
        host=address.get("host", "localhost"),
        port=address.get("port", 6379),
        unix_socket_path=address.get("path"),
        database=address.get("db", 0),
        username=address.get("username"),
        password=address.get("password"),
        ssl=address.get("connection_class") is SSLConnection,
        conn_retries=0,
        retry=Retry(ExponentialBackoff(cap=1, base=0.1), 20),
        retry_on_error=[RedisConnectionError, RedisTimeoutError, OSError],
    )
