"""`python -m tests.worker.program`: a worker with the kinds of tests, set like the real one by `WAREHOUSE_…`; and by
`WAREHOUSE_TEST_DRAIN` how many seconds it lets its tasks run when it is told to end. It writes its process' number to
the file `ready`."""

import asyncio
import dataclasses
import os
from functools import partial
from pathlib import Path

from tests.worker.isolated import run_isolated
from tests.worker.kinds import kinds
from warehouse.container import Container
from warehouse.http.logging import configure_logging
from warehouse.settings import Settings, load_settings
from warehouse.tasks import worker
from warehouse.tasks.isolating import IsolatingRunner, Isolation
from warehouse.tasks.running import TaskRunner


async def work(settings: Settings) -> None:
    # When the signals are seen to.
    asyncio.get_running_loop().call_later(0.01, Path("ready").write_text, str(os.getpid()))
    container = Container(settings)
    inside = TaskRunner(container.uow, kinds(container.uow))
    isolation = Isolation(partial(run_isolated, settings), run_isolated.__module__)
    runner = IsolatingRunner(container.uow, inside, isolation)
    try:
        await worker.run_worker(settings.redis.url, dataclasses.replace(container.duties(), runner=runner))
    finally:
        await isolation.close()
        await container.close()


if __name__ == "__main__":
    if seconds := os.environ.get("WAREHOUSE_TEST_DRAIN"):
        worker.DRAIN_SECONDS = int(seconds)
    settings = load_settings()
    configure_logging(settings.log_level)
    asyncio.run(work(settings))
