"""The composition root: the one place that chooses backends."""

import redis.asyncio as redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from warehouse.auth.service import ApiKeyService
from warehouse.catalogue.service import CatalogueService
from warehouse.commands.service import CommandRunner
from warehouse.exchange.importing import Importer
from warehouse.http.health import Check
from warehouse.locations.service import LocationService
from warehouse.settings import Settings
from warehouse.stock.counting import CountingService
from warehouse.stock.moving import MovingService
from warehouse.stock.queries import StockQueries
from warehouse.stock.reserving import ReservationService
from warehouse.storage.database import SqlDatabase
from warehouse.storage.migrations import is_current
from warehouse.storage.sql import SqlUnitOfWorkFactory

REDIS_SECONDS = 1.0


class Container:
    """Everything that one process needs, made once; `close()` it at the end."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.database = SqlDatabase(settings.database_url, settings.database)
        self.uow = SqlUnitOfWorkFactory(self.database)
        self.commands = CommandRunner(self.uow)
        self.catalogue = CatalogueService(self.uow, self.commands)
        self.locations = LocationService(self.uow, self.commands)
        self.moving = MovingService(self.commands)
        self.counting = CountingService(self.commands)
        self.reservations = ReservationService(self.uow, self.commands)
        self.stock_queries = StockQueries(self.uow)
        self.api_keys = ApiKeyService(self.uow, self.commands)
        self.importer = Importer(self.uow)
        self.redis = _redis(settings.redis.url) if settings.redis.url else None

    async def close(self) -> None:
        await self.api_keys.close()
        if self.redis is not None:
            await self.redis.aclose()
        await self.database.close()

    async def is_migrated(self) -> bool:
        async with self.database.connect(read_only=True) as connection:
            return await is_current(connection)

    def checks(self) -> dict[str, Check]:
        """What /readyz asks."""
        checks: dict[str, Check] = {"database": self._check_database}
        if self.redis is not None:
            checks["redis"] = self.redis.ping
        return checks

    async def _check_database(self) -> None:
        if not await self.is_migrated():
            raise RuntimeError("the tables are not those of this release")


def _redis(url: str) -> "redis.Redis":
    client: redis.Redis = redis.Redis.from_url(
        url,
        socket_timeout=REDIS_SECONDS,
        socket_connect_timeout=REDIS_SECONDS,
        socket_keepalive=True,
        retry=Retry(NoBackoff(), 0),
    )
    return client
