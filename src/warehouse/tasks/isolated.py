"""`python -m warehouse.tasks.isolated`: the process of one attempt, which `warehouse.tasks.isolating` starts."""

import asyncio
import pickle
import signal
import sys
from contextlib import suppress
from uuid import UUID

import orjson
import uvloop

from warehouse.tasks.isolating import IsolatedWork
from warehouse.tasks.running import EndedAttempt


def main() -> None:
    # Ctrl-C and whoever stops a service tell all of its processes: that the task may go on for a while, or may not any
    # longer, is the worker's to say.
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    work, task_id, attempt = pickle.load(sys.stdin.buffer)  # noqa: S301 (the worker has written it)
    uvloop.run(_run(work, task_id, attempt))


async def _run(work: IsolatedWork, task_id: UUID, attempt: int) -> None:
    loop = asyncio.get_running_loop()
    running = asyncio.ensure_future(work(task_id, attempt, _tell))

    def end() -> None:
        loop.remove_reader(sys.stdin)
        running.cancel()

    loop.add_reader(sys.stdin, end)
    with suppress(asyncio.CancelledError):
        await running


def _tell(ended: EndedAttempt) -> None:
    # A worker that is gone is not told.
    with suppress(BrokenPipeError):
        sys.stdout.buffer.write(orjson.dumps((ended.kind, ended.outcome, ended.seconds)))
        sys.stdout.buffer.flush()


if __name__ == "__main__":
    main()
