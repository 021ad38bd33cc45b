"""The composition root: the one place that chooses backends."""

import logging
from collections.abc import Sequence
from datetime import timedelta
from functools import partial
from pathlib import Path
from uuid import UUID

import redis.asyncio as redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import AuthenticationError, RedisError, ResponseError

from warehouse import metrics
from warehouse.auth.service import ApiKeyService
from warehouse.blobs.choosing import make_blob_store
from warehouse.cache import tags
from warehouse.cache.decorator import Kind
from warehouse.cache.fence import Fence
from warehouse.cache.invalidation import Invalidator
from warehouse.cache.reading import Cache
from warehouse.cache.redis import RedisCacheStore
from warehouse.cache.segments import SegmentCache
from warehouse.catalogue.service import CatalogueService
from warehouse.commands.service import CommandRunner
from warehouse.exchange.exporting import Exporter
from warehouse.exchange.importing import Importer
from warehouse.exchange.jobs import Exchange
from warehouse.exchange.reporting import Reporter
from warehouse.exchange.scanning import LowStockScan
from warehouse.exchange.sql_exports import SqlSnapshotFactory
from warehouse.exchange.sql_reports import SqlReportSnapshots
from warehouse.http.health import Check
from warehouse.http.logging import configure_logging
from warehouse.limiting import Limiter
from warehouse.locations.service import LocationService
from warehouse.observing import Observer
from warehouse.orders import Orders
from warehouse.policies import REDIS_SECONDS, Policies
from warehouse.resilience import CircuitBreakerState
from warehouse.settings import Settings
from warehouse.stock.counting import CountingService
from warehouse.stock.moving import MovingService
from warehouse.stock.queries import StockQueries
from warehouse.stock.reserving import ReservationService
from warehouse.storage.cache_control import SqlCacheControl
from warehouse.storage.database import SqlDatabase
from warehouse.storage.migrations import is_current
from warehouse.storage.sql import SqlUnitOfWorkFactory
from warehouse.tasks.arq_queue import ArqJobQueue
from warehouse.tasks.following import TaskFeed
from warehouse.tasks.isolating import IsolatingRunner, Isolation
from warehouse.tasks.model import TaskQueue
from warehouse.tasks.purging import Purge
from warehouse.tasks.running import TaskRunner, Tell, count_attempt
from warehouse.tasks.service import TaskService
from warehouse.tasks.sweeping import Sweep
from warehouse.tasks.uploading import TaskUploads
from warehouse.tasks.worker import Duties, Duty

log = logging.getLogger(__name__)

REDIS_CONNECTIONS = 20
PURGE_SECONDS = 1800
"""What a purge has not removed by then, the next one does."""


class Container:
    """Everything that one process needs, made once; `close()` it at the end."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.policies = Policies(
            settings.database.timeout,
            settings.cache.timeout,
            overrides=settings.policy_overrides,
            listeners=[Observer()],
        )
        self.orders = Orders(self.policies.registry, Path(metrics.FOLDER) if metrics.FOLDER else None)
        self.database = SqlDatabase(settings.database_url, settings.database, self.policies)
        self.fence = Fence(SqlCacheControl(self.database))
        self.store = self._store()
        self.invalidator = Invalidator(self.fence, self.store)
        self.cache = self._cache()
        self.segments = self._segments()
        self.uow = SqlUnitOfWorkFactory(self.database, self.invalidator.release)
        self.commands = CommandRunner(self.uow)
        self.catalogue = CatalogueService(self.uow, self.commands)
        self.locations = LocationService(self.uow, self.commands)
        self.moving = MovingService(self.commands)
        self.counting = CountingService(self.commands)
        self.reservations = ReservationService(self.uow, self.commands)
        self.stock_queries = StockQueries(self.uow)
        self.api_keys = ApiKeyService(self.uow, self.commands, remembered_seconds=settings.cache.stale_seconds)
        self.importer = Importer(self.uow)
        self.redis = _redis(settings.redis.url, REDIS_SECONDS) if settings.redis.url else None
        self.job_queue = ArqJobQueue(self.redis, self.policies.queue) if self.redis else None
        self.blobs = make_blob_store(settings, self.policies)
        self.tasks = TaskService(self.uow, self.commands, self.job_queue, settings.jobs.queued)
        self.uploads = TaskUploads(self.tasks, self.blobs)
        self.feed = TaskFeed(self.uow)
        self.isolation = Isolation(partial(run_isolated, settings), __name__)
        self.purge = Purge(self.uow, self.blobs, timedelta(days=settings.jobs.kept_days))
        self.exporter = Exporter(SqlSnapshotFactory(self.database))
        self.reporter = Reporter(SqlReportSnapshots(self.database))
        self.low_stock = LowStockScan(SqlReportSnapshots(self.database))
        self.limiter = Limiter(self.redis, self.policies.rate_limit) if settings.rate_limit.enabled else None

    async def close(self) -> None:
        if self.limiter is not None:
            await self.limiter.close()
        await self.feed.close()
        await self.isolation.close()
        await self.blobs.close()
        await self.api_keys.close()
        await self.invalidator.close()
        if self.store is not None:
            await self.store.close()
        if self.redis is not None:
            await self.redis.aclose()
        await self.database.close()

    async def is_migrated(self) -> bool:
        async with self.database.connect(read_only=True) as connection:
            return await is_current(connection)

    def is_database_down(self) -> bool:
        """As far as is known: then reads need not find it out once more."""
        policies = (self.policies.database_reads, self.policies.database_watch)
        return any(policy.circuit.state is not CircuitBreakerState.CLOSED for policy in policies)

    def duties(self, queues: Sequence[TaskQueue] = tuple(TaskQueue), at_once: int | None = None) -> Duties:
        """Those of a worker. Raises `RuntimeError` where there is no Redis."""
        if self.job_queue is None:
            raise RuntimeError("a worker needs Redis")
        return Duties(
            runner=IsolatingRunner(self.uow, self.runner(), self.isolation),
            sweep=Sweep(self.uow, self.job_queue),
            regular=self._regular_duties(),
            queues=queues,
            at_once=at_once or self.settings.jobs.concurrency,
        )

    def runner(self, tell: Tell = count_attempt) -> TaskRunner:
        return TaskRunner(self.uow, self.exchange().kinds(), tell)

    async def greet_redis(self) -> None:
        """Raises `RedisError` where Redis refuses us, for it will again. One that does not answer may come yet."""
        assert self.redis is not None  # noqa: S101 (who has none does not ask)
        try:
            await self.redis.ping()
        except (AuthenticationError, ResponseError):
            raise
        except (RedisError, OSError) as error:
            log.warning("redis.awaited error=%s", type(error).__name__)

    def exchange(self) -> Exchange:
        return Exchange(self.uow, self.blobs, self.importer, self.exporter, self.reporter)

    def _regular_duties(self) -> Sequence[Duty]:
        return [
            Duty("expire_reservations", self.reservations.expire_due, second=frozenset(range(0, 60, 5))),
            Duty("scan_low_stock", self.low_stock.run, minute=frozenset({37})),
            Duty("purge_answers", self.purge.answers, minute=frozenset({7}), seconds=PURGE_SECONDS),
            Duty("purge_tasks", self.purge.tasks, minute=frozenset({17}), seconds=PURGE_SECONDS),
            Duty("purge_orphans", self.purge.orphans, minute=frozenset({27}), seconds=PURGE_SECONDS),
        ]

    def checks(self) -> dict[str, Check]:
        """What /readyz asks."""
        checks: dict[str, Check] = {"database": self._check_database, "blobs": self.blobs.check}
        if self.redis is not None:
            checks["redis"] = partial(self.policies.queue.call, self._ping)
        return checks

    async def _ping(self) -> None:
        assert self.redis is not None  # noqa: S101 (else there is no such check)
        await self.redis.ping()

    def _store(self) -> RedisCacheStore | None:
        url = self.settings.cache.redis_url or self.settings.redis.url
        if not url:
            return None
        client = _redis(url, self.settings.cache.timeout)
        return RedisCacheStore(client, self.policies.cache, self.policies.cache_releases)

    def _cache(self) -> Cache | None:
        if self.store is None or not self.settings.cache.enabled:
            return None
        return Cache(self.store, self.fence, stale_seconds=self.settings.cache.stale_seconds)

    def _segments(self) -> SegmentCache | None:
        if self.store is None or self.cache is None:
            return None
        names = [tags.segment(number) for number in range(tags.SEGMENTS)]
        cache = self.settings.cache
        return SegmentCache(
            self.store, self.fence, Kind.SNAPSHOT, tags.PRODUCTS, names, cache.snapshot_seconds, cache.stale_seconds
        )

    async def _check_database(self) -> None:
        if not await self.is_migrated():
            raise RuntimeError("the tables are not those of this release")


async def run_isolated(settings: Settings, task_id: UUID, attempt: int, tell: Tell) -> None:
    """An attempt in a process of its own, of which `tell` is told."""
    configure_logging(settings.log_level)
    container = Container(settings)
    try:
        await container.runner(tell).run(task_id, attempt)
    finally:
        await container.close()


def _redis(url: str, seconds: float) -> "redis.Redis":
    pool = redis.BlockingConnectionPool.from_url(
        url,
        max_connections=REDIS_CONNECTIONS,
        timeout=seconds,
        socket_timeout=seconds,
        socket_connect_timeout=seconds,
        # There is nothing between the two ends of a Unix socket that could forget them, and no such option.
        **({} if url.startswith("unix:") else {"socket_keepalive": True}),
        retry=Retry(NoBackoff(), 0),
    )
    return redis.Redis(connection_pool=pool)
