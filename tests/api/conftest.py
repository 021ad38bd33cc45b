import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from fastapi import FastAPI
from httpx import ASGITransport, AsyncClient
from sqlalchemy import func, select

from tests.api.calls import Json, read_task
from tests.api.contract import Contract
from tests.conftest import ClientAs, FreshDatabase
from tests.servers import Backend, Valkey, backends
from tests.serving import WarehouseServer, check
from warehouse.auth.model import Role
from warehouse.blobs.choosing import FOLDER
from warehouse.container import Container
from warehouse.settings import (
    CacheSettings,
    DatabaseSettings,
    LimitSettings,
    RateLimitSettings,
    RedisSettings,
    Settings,
)
from warehouse.storage.database import SqlDatabase
from warehouse.storage.tables import metadata
from warehouse.tasks.model import TaskQueue
from warehouse.tasks.worker import run_in_process

MAX_UPLOAD = 12 * 1024 * 1024
QUOTA = "1000000/minute"
"""More than the fastest machine asks: all tests share few keys."""
FIRST_QUEUES = 8
"""The number of Valkey's database that has the first backend's queues; the others follow."""


@pytest.fixture(scope="session")
async def container(
    migrated_url: str, backend: Backend, valkey: Valkey, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Container]:
    """As elsewhere, but with a queue, a folder of its own for blobs, and limits that are right for tests."""
    settings = Settings(
        database=DatabaseSettings(url=migrated_url),
        redis=RedisSettings(url=valkey.url(FIRST_QUEUES + backends().index(backend))),
        cache=CacheSettings(enabled=False),
        rate_limit=RateLimitSettings(default=QUOTA, writes=QUOTA, heavy=QUOTA, strangers=QUOTA),
        limits=LimitSettings(upload_bytes=MAX_UPLOAD),
        data_dir=tmp_path_factory.mktemp("data"),
    )
    container = Container(settings)
    yield container
    await container.close()


@pytest.fixture(scope="session")
async def worker(container: Container) -> AsyncIterator[None]:
    """Does the tasks of the long queue. Those of the short one wait, unless a test runs them."""
    duties = replace(container.duties([TaskQueue.LONG]), regular=())
    working = asyncio.create_task(run_in_process(container.settings.redis.url, duties))
    yield
    working.cancel()
    with suppress(asyncio.CancelledError):
        await working


@pytest.fixture(scope="session")
def contract(app: FastAPI) -> Contract:
    return Contract(app)


@pytest.fixture(scope="session")
async def client_as(client_as: ClientAs, contract: Contract, worker: None) -> ClientAs:
    """As elsewhere, and every answer is held against the OpenAPI document."""

    async def checked(role: Role) -> AsyncClient:
        client = await client_as(role)
        client.event_hooks = {"response": [contract.check]}
        return client

    return checked


@pytest.fixture(scope="session")
async def client(client_as: ClientAs) -> AsyncClient:
    """A client with an admin's key."""
    return await client_as(Role.ADMIN)


@pytest.fixture(scope="session")
async def anonymous(app: FastAPI, contract: Contract) -> AsyncIterator[AsyncClient]:
    """A client without a key."""
    transport, hooks = ASGITransport(app), {"response": [contract.check]}
    async with AsyncClient(transport=transport, base_url="http://warehouse.test", event_hooks=hooks) as anonymous:
        yield anonymous


def blobs(container: Container) -> set[Path]:
    """The files of whatever is kept, or on its way to be."""
    return {path for path in (container.settings.data_dir / FOLDER).rglob("*") if path.is_file()}


RunTask = Callable[[Json], Awaitable[Json]]


@pytest.fixture(scope="session")
def run_task(container: Container, client: AsyncClient) -> RunTask:
    """Does a task that waits, and gives what became of it."""
    runner = container.duties().runner

    async def run_task(task: Json) -> Json:
        await runner.run(UUID(task["id"]), task["attempt"])
        return await read_task(client, task)

    return run_task


Unchanged = Callable[[], AbstractAsyncContextManager[None]]


@pytest.fixture(scope="session")
def unchanged(database: SqlDatabase) -> Unchanged:
    """`async with unchanged():` what is done there must leave every record as it is."""

    @asynccontextmanager
    async def unchanged() -> AsyncIterator[None]:
        before = await _state(database)
        yield
        assert await _state(database) == before

    return unchanged


async def _state(database: SqlDatabase) -> Mapping[str, Sequence[Any]]:
    """For each table how many rows it has, the sums of its numbers, and its latest times."""
    state: dict[str, Sequence[Any]] = {}
    async with database.connect(read_only=True) as connection:
        for table in metadata.sorted_tables:
            if table.name not in WRITTEN_BESIDE:
                sums = [func.sum(table.c[name]) for name in NUMBERS if name in table.c]
                latest = [func.max(table.c[name]) for name in TIMES if name in table.c]
                statement = select(func.count(), *sums, *latest).select_from(table)
                state[table.name] = tuple((await connection.execute(statement)).one())
    return state


WRITTEN_BESIDE = ("commands", "task_batches")
"""The first keeps refusals by the state of the records as answers, the other is written while a task is done."""
NUMBERS = ("version", "on_hand", "reserved", "delta", "quantity")
TIMES = ("updated_at", "revoked_at")


@pytest.fixture(scope="session")
def server(backend: Backend, fresh_database: FreshDatabase) -> Iterator[WarehouseServer]:
    """Two processes of the server on a database of their own. In the end its balances agree with its ledger."""
    quotas = {f"RATE_LIMIT_{name}": QUOTA for name in ("DEFAULT", "WRITES", "HEAVY", "STRANGERS")}
    with WarehouseServer(fresh_database(backend), workers=2, settings=quotas) as server:
        yield server
        check(server.database_url)
