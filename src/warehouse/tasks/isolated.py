"""`python -m warehouse.tasks.isolated MODULE`: the server that `warehouse.tasks.isolating.Isolation` starts.

It forks a process for each connection that comes by its standard input.
"""

import asyncio
import importlib
import os
import pickle
import signal
import socket
import sys
from contextlib import suppress
from pathlib import Path
from uuid import UUID

import orjson
import uvloop

from warehouse.interpreter import settle_in
from warehouse.tasks.isolating import IsolatedWork
from warehouse.tasks.running import EndedAttempt

ENDING_SECONDS = 5
"""A process that is told to end has so long to give its task back."""


def main() -> None:
    # Ctrl-C and whoever stops a service tell all of its processes: that the task may go on for a while, or may not any
    # longer, is the worker's to say.
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    importlib.import_module(sys.argv[1])
    settle_in()
    connection = _serve()
    if connection is not None:
        with connection:
            _attempt(connection)


def _serve() -> socket.socket | None:
    """In a process that it has forked, its connection; in the server nothing, when the worker has ended."""
    # Nobody waits for them.
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    with _taken_from_standard_input() as control:
        while True:
            _, descriptors, _, _ = socket.recv_fds(control, 1, 1)
            if not descriptors:
                return None
            with socket.socket(fileno=descriptors[0]) as connection:
                if os.fork() == 0:
                    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
                    return connection.dup()


def _taken_from_standard_input() -> socket.socket:
    """Something else is put there: uvloop does not bear anything of its own as number 0."""
    control = socket.socket(fileno=os.dup(sys.stdin.fileno()))
    with Path(os.devnull).open() as nothing:
        os.dup2(nothing.fileno(), sys.stdin.fileno())
    return control


def _attempt(connection: socket.socket) -> None:
    try:
        with connection.makefile("rb") as orders:
            work, task_id, attempt = pickle.load(orders)  # noqa: S301 (the worker has written it)
    except EOFError:
        # The worker has ended.
        return
    told = uvloop.run(_run(connection, work, task_id, attempt))
    # A worker that is gone is not told.
    with suppress(ConnectionError):
        connection.sendall(orjson.dumps(told))


async def _run(connection: socket.socket, work: IsolatedWork, task_id: UUID, attempt: int) -> EndedAttempt | None:
    """How the attempt has ended, where this process has begun it."""
    told: list[EndedAttempt] = []
    running = asyncio.ensure_future(work(task_id, attempt, told.append))
    loop = asyncio.get_running_loop()

    def end() -> None:
        signal.alarm(ENDING_SECONDS)
        loop.remove_reader(connection)
        running.cancel()

    loop.add_reader(connection, end)
    with suppress(asyncio.CancelledError):
        await running
    return told[0] if told else None


if __name__ == "__main__":
    main()
