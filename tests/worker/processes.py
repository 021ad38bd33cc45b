"""Workers as processes that can be killed, suspended and told to end."""

import signal
from collections.abc import Sequence
from pathlib import Path

from tests.faults.cache import shifted
from tests.faults.returning import Returning
from tests.serving import command_line

ROOT = Path(__file__).parents[2]
MODULE = "tests.worker.program"
SHIFTED = "import pathlib, runpy, sys; from tests.faults.cache.shifted import shift; shift(pathlib.Path('clock')); "
ENDING_SECONDS = 60


class WorkerProcess(Returning):
    """With the kinds of tests. `settings` by their names in the environment, without the prefix; `clock` is by how many
    seconds its wall clock is off; it lets its tasks run for `drain` seconds when it is told to end."""

    name = "worker"
    stop_signal = signal.SIGKILL  # nobody waits for what it does when the test is over
    not_ready = (OSError,)

    def __init__(self, database_url: str, redis_url: str, *, clock: float = 0.0, drain: int = 30) -> None:
        self._clock = clock
        self.settings = {
            "DATABASE_URL": database_url,
            "REDIS_URL": redis_url,
            "TEST_DRAIN": str(drain),
            "LOG_LEVEL": "info",
        }

    def initialise(self) -> None:
        (self.folder / "clock").write_bytes(shifted.OFFSET.pack(self._clock))

    def command(self) -> Sequence[str]:
        *environment, program, _, _ = command_line({**self.settings, "DATA_DIR": str(self.folder / "var")})
        paths = next(each for each in environment if each.startswith("PYTHONPATH="))
        environment[environment.index(paths)] = f"{paths}:{ROOT}"
        if not self._clock:
            return [*environment, program, "-m", MODULE]
        return [*environment, program, "-c", f"{SHIFTED}runpy.run_module('{MODULE}', run_name='__main__')"]

    def ping(self) -> None:
        if (self.folder / "ready").read_text() != str(self.pid):
            raise ConnectionError("it is not ready")

    @property
    def log(self) -> str:
        return self._log.read_text()

    def send(self, number: int) -> None:
        """A signal to it."""
        assert self._process
        self._process.send_signal(number)

    def kill_alone(self) -> None:
        """By SIGKILL, and not the processes that it has started."""
        self.send(signal.SIGKILL)
        self.wait()

    def wait(self) -> int:
        """For its end; its exit status."""
        assert self._process
        status = self._process.wait(ENDING_SECONDS)
        self._process = None
        return status

    @property
    def has_ended(self) -> bool:
        return self._process is None or self._process.poll() is not None
