"""Commands as their operator runs them: processes that are sent signals, and all that they start."""

import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import warehouse
from warehouse.settings import PREFIX

READY_SECONDS = 120
ENDING_SECONDS = 30
VALKEYS = ("valkey-server", "redis-server")


@dataclass(frozen=True)
class Running:
    process: "subprocess.Popen[bytes]"
    folder: Path

    @property
    def out(self) -> str:
        return (self.folder / "out").read_text()

    @property
    def err(self) -> str:
        return (self.folder / "err").read_text()

    @property
    def temporary(self) -> list[Path]:
        """What it has lying in the folder for temporary files."""
        return list((self.folder / "tmp").iterdir())

    def wait_until(self, condition: Callable[[], bool]) -> None:
        """Raises where it ends before, or time runs out."""
        deadline = time.monotonic() + READY_SECONDS
        while not condition():
            assert time.monotonic() < deadline, self.err
            with suppress(subprocess.TimeoutExpired):
                status = self.process.wait(0.05)
                raise AssertionError(f"ended with {status}: {self.err}")

    def started(self) -> list[int]:
        """The ids of the processes that it has started, and those these have."""
        return descendants(self.process.pid)

    def valkeys(self) -> list[int]:
        return [pid for pid in self.started() if program(pid) in VALKEYS]

    def end(self, number: signal.Signals) -> int:
        """The exit status after the signal. Ctrl-C goes to the whole process group, as a terminal sends it."""
        if number is signal.SIGINT:
            os.killpg(self.process.pid, number)
        else:
            self.process.send_signal(number)
        return self.process.wait(ENDING_SECONDS)

    def ends_clean(self, number: signal.Signals) -> int:
        """As `end`; raises where anything is left of it."""
        started = self.started()
        assert started
        status = self.end(number)
        wait_for_ending(started)
        assert not self.temporary
        assert "Traceback" not in self.err, self.err
        return status


@contextmanager
def running(folder: Path, *arguments: str, **settings: str) -> Iterator[Running]:
    """A command with its data, its temporary files and what it prints in the folder, in a process group of its own.
    `settings` are named as in the environment, without the prefix."""
    (folder / "tmp").mkdir(exist_ok=True)
    with (folder / "out").open("wb") as out, (folder / "err").open("wb") as err:
        process = subprocess.Popen(
            [sys.executable, "-m", "warehouse", *arguments],
            cwd=folder,
            env=environment(folder, settings),
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=err,
            start_new_session=True,
            preexec_fn=_heed_signals,
        )
    try:
        yield Running(process, folder)
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _heed_signals() -> None:
    """Whoever runs the tests in the background has these ignored, and hands that on."""
    for number in (signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)


def environment(folder: Path, settings: dict[str, str]) -> dict[str, str]:
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(PREFIX)}
    given = {f"{PREFIX}{name}": value for name, value in settings.items()}
    package = str(Path(warehouse.__file__).parents[1])
    return {**inherited, "PYTHONPATH": package, "TMPDIR": str(folder / "tmp"), **given}


def descendants(pid: int) -> list[int]:
    parents = {child: parent for child, parent, state in processes() if state != "Z"}
    found: list[int] = []
    waiting: Sequence[int] = [pid]
    while waiting:
        waiting = [child for child, parent in parents.items() if parent in waiting]
        found += waiting
    return found


def processes() -> Iterator[tuple[int, int, str]]:
    """Of each process its id, its parent's and its state, as Linux tells them."""
    for path in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            state, parent = path.read_text().rpartition(")")[2].split()[:2]
            yield int(path.parent.name), int(parent), state


def program(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/exe").resolve(strict=True).name
    except OSError:
        return ""


def wait_for_ending(pids: Sequence[int]) -> None:
    """Raises where one of the processes is left."""
    deadline = time.monotonic() + ENDING_SECONDS
    for pid in pids:
        with suppress(ProcessLookupError):
            handle = os.pidfd_open(pid)
            ended, _, _ = select.select([handle], [], [], max(0, deadline - time.monotonic()))
            os.close(handle)
            assert ended, f"{program(pid)} is still there"
