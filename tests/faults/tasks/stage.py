"""Workers with a supervisor, a server under load, one MariaDB and one Valkey."""

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Any

import redis
from sqlalchemy import func, select

from tests.contract.ledger import Ledger, line
from tests.faults.cache.stage import RECORD, StagedServer
from tests.faults.cache.wire import Caller, Connection
from tests.faults.returning import ReturningValkey
from tests.faults.tasks.figures import Figures, Recoveries
from tests.serving import check
from tests.worker.desk import Desk, desk_of
from tests.worker.processes import WorkerProcess
from warehouse.auth.model import Role
from warehouse.settings import DatabaseSettings
from warehouse.storage.database import SqlDatabase
from warehouse.storage.migrations import migrate
from warehouse.storage.tables import movements

WORKERS = 3
CLIENTS = 2
LOOK_SECONDS = 0.25
PAUSE_SECONDS = 0.02
ANSWER_SECONDS = 20.0
PRODUCTS = 20
KNOWING_SECONDS = 13.0
OUT_OF_THE_WAY_SECONDS = 15.0
"""Longer than a lease."""


@dataclass(frozen=True)
class Goods:
    """What tasks receive, and where. One unit of each is there before."""

    skus: list[str]
    ids: list[Any]
    location: str


class Stage:
    def __init__(
        self, url: str, desk: Desk, workers: list[WorkerProcess], valkey: ReturningValkey, server: StagedServer
    ) -> None:
        self.url = url
        self.desk = desk
        self.workers = workers
        self.valkey = valkey
        self.server = server
        self.recoveries = Recoveries()
        self.suspended: set[WorkerProcess] = set()
        self.returning: set[WorkerProcess] = set()
        self._since = dict.fromkeys(workers, 0.0)

    async def goods(self) -> Goods:
        ledger = Ledger.over(self.desk.uow)
        location = await ledger.location()
        products = [await ledger.product() for _ in range(PRODUCTS)]
        for product in products:
            await ledger.receive(line(product, 1, location))
        return Goods([product.sku for product in products], [product.id for product in products], location.code)

    async def kill(self, worker: WorkerProcess, *, alone: bool) -> None:
        """With the processes that it has for last attempts, unless `alone`."""
        self.returning.add(worker)
        await asyncio.to_thread(worker.kill_alone if alone else worker.kill)
        await worker.come_back()
        self._since[worker] = asyncio.get_running_loop().time()
        self.returning.discard(worker)

    def knows_the_others(self, worker: WorkerProcess) -> bool:
        """It has been there for so long that it can tell whether they live."""
        is_there = worker not in self.suspended and worker not in self.returning
        return is_there and asyncio.get_running_loop().time() - self._since[worker] > KNOWING_SECONDS

    async def suspend(self, worker: WorkerProcess) -> None:
        self.suspended.add(worker)
        worker.suspend()
        await asyncio.sleep(OUT_OF_THE_WAY_SECONDS)
        worker.resume()
        self._since[worker] = asyncio.get_running_loop().time()
        self.suspended.discard(worker)

    async def kill_redis(self, seconds: float) -> None:
        await asyncio.to_thread(self.valkey.kill)
        await asyncio.sleep(seconds)
        await self.valkey.come_back()

    def flush(self) -> None:
        with redis.Redis.from_url(self.valkey.url()) as client:
            client.flushall()

    async def watch(self) -> None:
        """The tasks' rows, until cancelled."""
        loop = asyncio.get_running_loop()
        while True:
            async with self.desk.uow(read_only=True) as uow:
                tasks = await uow.tasks.open(0)
            self.recoveries.look(list(tasks), loop.time())
            await asyncio.sleep(LOOK_SECONDS)

    async def load(self, caller: Caller, figures: Figures, chance: random.Random) -> None:
        """A client that reads, until cancelled."""
        connection = Connection(self.server.port)
        paths = "/v1/products?limit=20", "/v1/stock?limit=20", "/v1/products?limit=20&sort=-created_at"
        try:
            while True:
                with suppress(OSError, TimeoutError):
                    figures.requests += 1
                    figures.refused_requests += 1
                    answer = await connection.ask(caller.request(chance.choice(paths)), ANSWER_SECONDS)
                    figures.refused_requests -= answer.status == 200
                await asyncio.sleep(PAUSE_SECONDS)
        finally:
            await connection.close()

    async def posted(self) -> dict[str, int]:
        """How many movements each task has made."""
        database = SqlDatabase(self.url, DatabaseSettings())
        try:
            async with database.connect(read_only=True) as connection:
                statement = select(movements.c.reference, func.count()).group_by(movements.c.reference)
                rows = await connection.execute(statement)
                return {str(reference): count for reference, count in rows}
        finally:
            await database.close()

    def logs(self) -> str:
        return "\n".join(worker.log for worker in self.workers)

    def slowest_recovery(self) -> str:
        """What the workers have logged of the task."""
        _, task_id = max(self.recoveries.found, default=(0.0, ""))
        return "\n".join(sorted(each for each in self.logs().splitlines() if task_id and str(task_id) in each))

    def tracebacks(self) -> str:
        """What the workers have logged of errors that they did not expect."""
        return "\n".join(record for record in RECORD.split(self.logs()) if "Traceback" in record)


@asynccontextmanager
async def staged(url: str) -> AsyncIterator[Stage]:
    """On an empty database, checked for drift in the end."""
    await asyncio.to_thread(migrate, url)
    async with AsyncExitStack() as stack:
        valkey = stack.enter_context(ReturningValkey())
        settings = {"RATE_LIMIT_ENABLED": "false", "REDIS_URL": valkey.url()}
        server = StagedServer(url, workers=1, settings=settings)
        workers = [WorkerProcess(url, valkey.url()) for _ in range(WORKERS)]
        for process in (server, *workers):
            stack.push_async_callback(asyncio.to_thread, process.stop)
        await asyncio.gather(*(asyncio.to_thread(process.start) for process in (server, *workers)))
        desk = await stack.enter_async_context(desk_of(url, valkey.url()))
        yield Stage(url, desk, workers, valkey, server)
    await asyncio.to_thread(check, url)


@asynccontextmanager
async def loaded(stage: Stage, figures: Figures, chance: random.Random) -> AsyncIterator[None]:
    """Clients read and the rows are watched meanwhile."""
    caller = Caller(await asyncio.to_thread(stage.server.key, Role.ADMIN))
    work = [stage.watch(), *(stage.load(caller, figures, chance) for _ in range(CLIENTS))]
    running = [asyncio.create_task(each) for each in work]
    try:
        yield
    finally:
        for each in running:
            assert not each.done(), each.exception()
            each.cancel()
        await asyncio.wait(running)
