"""The servers under measurement, each a process tree on a free loopback port."""

import os
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path

from bench.wire import HOST, Request, asked
from tests.process import Process, ServerError
from tests.servers import MariaDb
from tests.serving import WarehouseServer
from warehouse.settings import PREFIX, TEST_PREFIX

ROOT = Path(__file__).parents[1]
PEERS_PYTHON = ROOT / "var" / "bench-venv" / "bin" / "python"
PATIENCE_SECONDS = 300
TICK = os.sysconf("SC_CLK_TCK")


class RoomyMariaDb(MariaDb):
    """With production's durability, and memory for a million balances."""

    def command(self) -> Sequence[str]:
        return [*super().command(), "--innodb-buffer-pool-size=1G", "--innodb-log-file-size=512M"]


PLENTY = "100000000/minute"


class Ours(WarehouseServer):
    """`warehouse serve`, with a Valkey that is not its own, and quotas that nobody uses up. Without `limits` it has
    none."""

    def __init__(
        self, database_url: str, redis_url: str, *, cache: bool = True, workers: int = 1, limits: bool = True
    ) -> None:
        super().__init__(database_url, workers=workers)
        self.extra = {
            "REDIS_URL": redis_url,
            "CACHE_ENABLED": str(cache).lower(),
            "RATE_LIMIT_ENABLED": str(limits).lower(),
            **{f"RATE_LIMIT_{name}": PLENTY for name in ("DEFAULT", "WRITES", "HEAVY", "STRANGERS")},
        }

    def initialise(self) -> None:
        """Its database is migrated already."""

    def _warehouse(self, *arguments: str) -> list[str]:
        command = super()._warehouse(*arguments)
        program = command.index(sys.executable)
        settings = [f"{PREFIX}{name}={value}" for name, value in self.extra.items()]
        return [*command[:program], *settings, *command[program:]]


def warehouse(database_url: str, redis_url: str, *arguments: str, folder: Path) -> str:
    """What a command of ours prints, run to its end in a folder without a `.env`. Raises where it fails."""
    given = {name: value for name, value in os.environ.items() if not _is_setting(name)}
    settings = {"DATABASE_URL": database_url, "REDIS_URL": redis_url, "DATA_DIR": str(folder / "var")}
    command = [sys.executable, "-m", "warehouse", *arguments]
    environment = given | {f"{PREFIX}{name}": value for name, value in settings.items()}
    ended = subprocess.run(
        command, env=environment, cwd=folder, capture_output=True, text=True, timeout=PATIENCE_SECONDS, check=False
    )
    if ended.returncode != 0:
        raise ServerError(f"warehouse {arguments[0]} ended with {ended.returncode}\n{ended.stdout}{ended.stderr}")
    return ended.stdout.strip()


class PythonServer(Process):
    """A module of bench/peers under a server program."""

    name = "peer"
    not_ready = (OSError,)

    python = str(PEERS_PYTHON)

    def __init__(self, module: str, environment: Mapping[str, str]) -> None:
        self.module = f"bench.peers.{module}"
        self.environment = environment

    def initialise(self) -> None:
        """It needs nothing."""

    def ping(self) -> None:
        if asked(self.port, Request("/livez")).status != 200:
            raise ConnectionError("not ready")

    def _module(self, *arguments: str) -> list[str]:
        settings = {"PYTHONPATH": str(ROOT), **self.environment}
        return ["env", *(f"{name}={value}" for name, value in settings.items()), self.python, "-m", *arguments]


class Uvicorn(PythonServer):
    """One process, with uvloop and httptools, as ours is."""

    def command(self) -> Sequence[str]:
        options = ["--loop=uvloop", "--http=httptools", "--no-access-log", "--no-server-header", "--log-level=warning"]
        return self._module("uvicorn", f"--host={HOST}", f"--port={self.port}", *options, f"{self.module}:app")


class Bare(Uvicorn):
    """The limit, in our own environment: it needs nothing of the peers'."""

    python = sys.executable

    def __init__(self, answers: Mapping[str, str]) -> None:
        super().__init__("bare", answers)


class Gunicorn(PythonServer):
    """Two synchronous workers, as the stack that this service replaces runs."""

    def command(self) -> Sequence[str]:
        options = ["--workers=2", f"--bind={HOST}:{self.port}", "--log-level=warning"]
        return self._module("gunicorn", *options, f"{self.module}:app")


@dataclass(frozen=True, slots=True)
class Absent:
    """A server that did not start, and why."""

    reason: str


def started(stack: ExitStack, server: Process) -> Process | Absent:
    """The server, stopped with the stack; where it does not start, the reason: the others are measured all the same."""
    if isinstance(server, PythonServer) and not Path(server.python).exists():
        return Absent("the peers' environment is missing; `make bench` makes it")
    try:
        return stack.enter_context(server)
    except (ServerError, subprocess.SubprocessError, OSError) as error:
        return Absent(f"does not start: {str(error).strip().splitlines()[-1]}")


def cpu_seconds(pid: int | None) -> float:
    """What the process and all its descendants have used."""
    if pid is None:
        return 0.0
    total = 0
    for process in (str(pid), *_descendants(str(pid))):
        with suppress(OSError):
            fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
            total += int(fields[11]) + int(fields[12])
    return total / TICK


def _descendants(process: str) -> Iterator[str]:
    with suppress(OSError):
        for task in Path(f"/proc/{process}/task").iterdir():
            for child in (task / "children").read_text().split():
                yield child
                yield from _descendants(child)


def _is_setting(name: str) -> bool:
    return name.startswith(PREFIX) and not name.startswith(TEST_PREFIX)
