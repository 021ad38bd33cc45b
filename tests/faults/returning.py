"""Servers that are killed and come back, or stand still for a while."""

import asyncio
import os
import signal

from tests.process import Process, ServerError
from tests.servers import MariaDb, Valkey


class Returning(Process):
    """Comes back on its port."""

    def kill(self) -> None:
        """All of its processes, by SIGKILL."""
        assert self._process
        self._signal(signal.SIGKILL)
        self._process.wait()
        self._process = None

    async def come_back(self) -> None:
        """Until it answers."""
        self._process = self._spawn(self.command())
        if not await asyncio.to_thread(self._answers, self._process):
            raise ServerError(f"{self.name} did not come back\n{self._log_tail()}")

    def suspend(self) -> None:
        self._signal(signal.SIGSTOP)

    def resume(self) -> None:
        self._signal(signal.SIGCONT)

    def _signal(self, number: signal.Signals) -> None:
        assert self.pid
        os.killpg(self.pid, number)


class ReturningValkey(Returning, Valkey):
    """With nothing of what it knew. `options` are more of the program's."""

    def __init__(self, *options: str) -> None:
        self._options = options

    def command(self) -> list[str]:
        return [*super().command(), *self._options]


class ReturningMariaDb(Returning, MariaDb):
    """With all that it has acknowledged. `options` are more of the program's."""

    def __init__(self, *options: str) -> None:
        super().__init__(durable=True)
        self._options = options

    def command(self) -> list[str]:
        return [*super().command(), *self._options]
