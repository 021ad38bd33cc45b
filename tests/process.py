"""A server program as a child of the tests: started in a temporary folder, awaited, and never left behind."""

import ctypes
import os
import pwd
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import tempfile
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import ClassVar, Self

START_SECONDS = 180
STOP_SECONDS = 30
LAST_SECONDS = 5
LAUNCHES = 3
MEMORY = Path("/dev/shm")  # noqa: S108 (folders of their own are made in it)
ROOM = 4 * 1024**3
"""That has to be free there: what all processes of a run keep there is far less."""
LOG_TAIL = 30
PR_SET_PDEATHSIG = 1
TLS = ssl.create_default_context()
"""For the clients of httpx, each of which would make one: it takes longer than a request, and no request here needs it.
Who asks until a server is there would take from it the time to start."""


class ServerError(Exception):
    """A server did not start; the text ends with the last lines of its log."""


class Process(ABC):
    """One server on 127.0.0.1, its data and log in a folder that `stop` removes.

    Start it from a thread that lives as long as the tests do: Linux ends it together with that thread.
    """

    name: ClassVar[str]
    stop_signal: ClassVar[signal.Signals] = signal.SIGTERM
    orphan_signal: ClassVar[signal.Signals] = signal.SIGKILL
    last_signal: ClassVar[signal.Signals] = signal.SIGKILL
    """Where it does not end by itself."""
    parent: Path | None = None
    """Of its folder, where that is not the system's for what is temporary."""
    account: pwd.struct_passwd | None = None
    """The user to run as, where it is not the current one."""

    port: int
    folder: Path
    last_words: str
    """The end of its log, once it is stopped."""
    _process: subprocess.Popen[bytes] | None = None

    @abstractmethod
    def initialise(self) -> None:
        """Make what the server needs in `folder` before its first start."""

    @abstractmethod
    def command(self) -> Sequence[str]:
        """The server in the foreground, listening on `port`."""

    @abstractmethod
    def ping(self) -> None:
        """Raises one of `not_ready` until the server answers."""

    @property
    @abstractmethod
    def not_ready(self) -> tuple[type[Exception], ...]: ...

    def start(self) -> Self:
        self.folder = Path(tempfile.mkdtemp(prefix=f"warehouse-{self.name}-", dir=self.parent))
        if self.account:
            os.chown(self.folder, self.account.pw_uid, self.account.pw_gid)
        try:
            self.initialise()
            self._launch()
        except BaseException:
            self.stop()
            raise
        return self

    def stop(self) -> None:
        if self._process:
            self._end(self._process)
            self.last_words = self._log_tail()
            self._process = None
        shutil.rmtree(self.folder)

    def _end(self, process: subprocess.Popen[bytes]) -> None:
        # One that stands still heeds nothing but the last.
        for number, seconds in (
            (self.stop_signal, STOP_SECONDS),
            (self.last_signal, LAST_SECONDS),
            (signal.SIGKILL, None),
        ):
            process.send_signal(number)
            with suppress(subprocess.TimeoutExpired):
                process.wait(seconds)
                return

    @property
    def pid(self) -> int | None:
        return self._process.pid if self._process else None

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def run(self, *command: str | Path) -> None:
        """Run a program of the server to its end, as the server's user."""
        process = self._spawn([str(part) for part in command])
        if process.wait() != 0:
            raise ServerError(f"{command[0]} ended with {process.returncode}\n{self._log_tail()}")

    def _launch(self) -> None:
        # Another program may take the free port before the server does.
        for _ in range(LAUNCHES):
            self.port = free_port()
            self._process = self._spawn(self.command())
            if self._answers(self._process):
                return
        raise ServerError(f"{self.name} ended while it started\n{self._log_tail()}")

    def _answers(self, process: subprocess.Popen[bytes]) -> bool:
        """True when the server is ready, False when it has ended."""
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline:
            try:
                self.ping()
            except self.not_ready:
                try:
                    process.wait(0.05)
                except subprocess.TimeoutExpired:
                    continue
                return False
            return True
        raise ServerError(f"{self.name} was not ready after {START_SECONDS} s\n{self._log_tail()}")

    def _spawn(self, command: Sequence[str]) -> subprocess.Popen[bytes]:
        with self._log.open("ab") as log:
            return subprocess.Popen(
                command,
                cwd=self.folder,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,  # Ctrl-C is for the tests, which then stop their servers
                user=self.account.pw_uid if self.account else None,
                group=self.account.pw_gid if self.account else None,
                extra_groups=[] if self.account else None,
                preexec_fn=_ends_with_parent(self.orphan_signal),
            )

    @property
    def _log(self) -> Path:
        return self.folder / "server.log"

    def _log_tail(self) -> str:
        return "\n".join(self._log.read_text(errors="replace").splitlines()[-LOG_TAIL:])


def _ends_with_parent(orphan_signal: signal.Signals) -> Callable[[], None] | None:
    if sys.platform != "linux":
        return None
    libc = ctypes.CDLL(None)

    def prepare_child() -> None:
        libc.prctl(PR_SET_PDEATHSIG, orphan_signal)

    return prepare_child


def memory() -> Path | None:
    """A folder where nothing waits for a disk, if there is one with room."""
    return MEMORY if MEMORY.is_dir() and shutil.disk_usage(MEMORY).free >= ROOM else None


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def processes_of(group: int) -> list[int]:
    """Those of a group that run; one that only waits to be reaped does not."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):  # ended meanwhile
            state, _, its_group = stat.read_text().rpartition(")")[2].split()[:3]
            if int(its_group) == group and state != "Z":
                found.append(int(stat.parent.name))
    return found
