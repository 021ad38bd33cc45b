import asyncio
import subprocess
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import redis

from tests.conftest import FreshDatabase
from tests.contract.ledger import Ledger
from tests.process import free_port
from tests.programs import valkey_program
from tests.servers import HOST, Backend
from tests.serving import check
from warehouse.settings import DatabaseSettings
from warehouse.storage.database import SqlDatabase
from warehouse.storage.migrations import migrate
from warehouse.storage.sql import SqlUnitOfWorkFactory

WAITING_SECONDS = 60


class PinnedValkey:
    """Comes back on the port that it had before, and with nothing of what it knew."""

    def __init__(self, folder: Path) -> None:
        self.port = free_port()
        self._folder = folder

    @property
    def url(self) -> str:
        return f"redis://{HOST}:{self.port}/0"

    @contextmanager
    def up(self) -> Iterator["redis.Redis"]:
        options = {"port": self.port, "bind": HOST, "dir": self._folder, "save": "", "appendonly": "no"}
        arguments = [part for name, value in options.items() for part in (f"--{name}", str(value))]
        process = subprocess.Popen([valkey_program(), *arguments], stdout=subprocess.DEVNULL)
        try:
            with redis.Redis.from_url(self.url, decode_responses=True) as client:
                self._wait_for(client, process)
                yield client
        finally:
            process.terminate()
            process.wait()

    def _wait_for(self, client: "redis.Redis", process: "subprocess.Popen[bytes]") -> None:
        deadline = time.monotonic() + WAITING_SECONDS
        while time.monotonic() < deadline:
            try:
                client.ping()
            except redis.ConnectionError:
                with pytest.raises(subprocess.TimeoutExpired):
                    process.wait(0.02)
            else:
                return
        raise TimeoutError("Valkey does not start")


@pytest.fixture
def pinned_valkey(tmp_path: Path) -> PinnedValkey:
    return PinnedValkey(tmp_path)


@pytest.fixture(scope="session")
def own_url(backend: Backend, fresh_database: FreshDatabase) -> Iterator[str]:
    """A migrated database that only the tests of workers use: a worker ends reservations of anybody's."""
    url = fresh_database(backend)
    migrate(url)
    yield url
    check(url)


@pytest.fixture(scope="session")
async def ledger(own_url: str) -> AsyncIterator[Ledger]:
    database = SqlDatabase(own_url, DatabaseSettings())
    yield Ledger.over(SqlUnitOfWorkFactory(database))
    await database.close()


async def eventually(condition: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(WAITING_SECONDS):
        while not await condition():  # noqa: ASYNC110 (it comes true in another process)
            await asyncio.sleep(0.05)
