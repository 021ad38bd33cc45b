"""`warehouse serve` as its operator runs it: real processes on a real port, and never left behind."""

import asyncio
import os
import signal
import sys
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import TypeVar

import warehouse
from tests.process import Process, ServerError, processes_of
from tests.servers import HOST
from warehouse.auth.model import Role
from warehouse.auth.service import ApiKeyService
from warehouse.commands.service import CommandRunner
from warehouse.settings import PREFIX, TEST_PREFIX, DatabaseSettings
from warehouse.stock.queries import StockQueries
from warehouse.storage.database import SqlDatabase
from warehouse.storage.migrations import migrate
from warehouse.storage.sql import SqlUnitOfWorkFactory
from warehouse.unit_of_work import UnitOfWorkFactory

CHECK_SECONDS = 120.0
ENDING_SECONDS = 10
PROBES = 5
"""For each process: the system gives a connection to whichever comes first."""
ESTABLISHED = "01"
"""In /proc/net/tcp."""

T = TypeVar("T")


class WarehouseServer(Process):
    """On a database of its own, which is migrated first. Its Valkey and its data folder are its own as well, unless
    `settings` say otherwise: by their names in the environment, without the prefix."""

    name = "serve"
    orphan_signal = signal.SIGTERM  # killed outright it would leave its workers behind
    last_signal = signal.SIGABRT  # upon which Python tells where it stood
    not_ready = (OSError, HTTPException)

    def __init__(self, database_url: str, *, workers: int = 2, settings: Mapping[str, str] | None = None) -> None:
        self.database_url = database_url
        self.workers = workers
        self.settings = settings or {}

    @property
    def url(self) -> str:
        return f"http://{HOST}:{self.port}"

    def initialise(self) -> None:
        _aside(lambda: migrate(self.database_url))

    def command(self) -> Sequence[str]:
        return self._warehouse("serve", f"--host={HOST}", f"--port={self.port}", f"--workers={self.workers}")

    def ping(self) -> None:
        """Until every one of its processes has answered: the first is up before the others."""
        with ExitStack() as stack:
            for _ in range(PROBES * self.workers):
                connection = HTTPConnection(HOST, self.port, timeout=5)
                stack.callback(connection.close)
                connection.request("GET", "/readyz")
                response = connection.getresponse()
                if response.status != 200:
                    raise ConnectionError(response.read())
            served = self.connections()
            if self.workers > 1 and (len(served) < self.workers or not all(served)):
                raise ConnectionError("not every process is up")

    def stop(self) -> None:
        """Raises `ServerError` where it does not end by itself, or one of its processes stays."""
        process = self._process
        super().stop()
        if process is None:
            return
        if process.returncode not in (0, -signal.SIGTERM):
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            raise ServerError(f"warehouse serve ended with {process.returncode}\n{self.last_words}")
        deadline = time.monotonic() + ENDING_SECONDS
        while processes_of(process.pid):
            if time.monotonic() > deadline:
                os.killpg(process.pid, signal.SIGKILL)
                raise ServerError("warehouse serve has left a process behind")

    def kill(self) -> None:
        """End all of its processes at once, by SIGKILL."""
        if self._process is not None:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
            self._process = None

    def restart(self) -> None:
        """After `kill`; the port is another."""
        self._launch()

    def connections(self) -> list[int]:
        """How many clients are connected to each of the server's processes, as Linux tells it."""
        clients = _established(self.port)
        return [len(_sockets(process) & clients) for process in self.processes()]

    def processes(self) -> list[int]:
        """The ids of those that answer requests."""
        children = Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text().split()
        return [int(child) for child in children if "spawn_main" in Path(f"/proc/{child}/cmdline").read_text()]

    def key(self, role: Role) -> str:
        """A new API key."""

        async def issue(uow: UnitOfWorkFactory) -> str:
            keys = ApiKeyService(uow, CommandRunner(uow))
            try:
                return (await keys.issue("test", role)).secret.text
            finally:
                await keys.close()

        return _on(self.database_url, issue)

    def _warehouse(self, *arguments: str) -> list[str]:
        return command_line({**_settings(self.database_url, self.folder), **self.settings}, *arguments)


def check(database_url: str) -> None:
    """Raises `AssertionError` where a balance differs from the ledger."""
    report = _on(database_url, lambda uow: StockQueries(uow).integrity())
    assert report.ok, report.drifts


def _on(database_url: str, work: Callable[[UnitOfWorkFactory], Awaitable[T]]) -> T:
    """Here, as a command of `warehouse` takes seconds until it begins; tests/cli has them all."""

    async def run() -> T:
        database = SqlDatabase(database_url, DatabaseSettings(timeout=CHECK_SECONDS))
        try:
            return await work(SqlUnitOfWorkFactory(database))
        finally:
            await database.close()

    return _aside(lambda: asyncio.run(run()))


def _aside(work: Callable[[], T]) -> T:
    """In a thread of its own, for the caller may be inside an event loop."""
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(work).result()


def _settings(database_url: str, folder: Path) -> Mapping[str, str]:
    return {
        "DATABASE_URL": database_url,
        "DATA_DIR": str(folder / "var"),
        "LOG_LEVEL": "warning",
        "DRAIN_SECONDS": "0",
    }


def command_line(settings: Mapping[str, str], *arguments: str) -> list[str]:
    """In an environment where nothing is set but what is set here."""
    given = [name for name in os.environ if name.startswith(PREFIX) and not name.startswith(TEST_PREFIX)]
    return [
        "env",
        *(f"--unset={name}" for name in given),
        f"PYTHONPATH={Path(warehouse.__file__).parents[1]}",
        "PYTHONFAULTHANDLER=1",
        *(f"{PREFIX}{name}={value}" for name, value in settings.items()),
        sys.executable,
        "-m",
        "warehouse",
        *arguments,
    ]


def _established(port: int) -> set[str]:
    """The inodes of the sockets that are connected at this local port."""
    lines = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()]
    return {line[9] for line in lines if line[1].endswith(f":{port:04X}") and line[3] == ESTABLISHED}


def _sockets(process: int) -> set[str]:
    found = set()
    for file in Path(f"/proc/{process}/fd").iterdir():
        with suppress(FileNotFoundError):  # closed meanwhile
            found.add(os.readlink(file).removeprefix("socket:[").rstrip("]"))
    return found
