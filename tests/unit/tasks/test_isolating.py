"""Where an attempt is begun that may be the last; what becomes of it is tested with processes, in tests/worker."""

import logging

import pytest

from tests.unit.tasks.world import World
from warehouse.tasks.isolating import IsolatingRunner, Isolation
from warehouse.tasks.model import ATTEMPTS, TaskStatus
from warehouse.tasks.running import Running


async def _never(*_: object) -> None:
    raise AssertionError("nothing is to be run")


async def test_the_attempt_is_not_begun(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)
    world = World(_never)
    task_id = world.add(attempt=ATTEMPTS - 1)
    world.database.is_away = True
    await IsolatingRunner(world.uow, world.runner, Isolation(_never, __name__)).run(task_id, ATTEMPTS - 1)
    assert (world.task(task_id).status, world.task(task_id).attempt) == (TaskStatus.QUEUED, ATTEMPTS - 1)
    assert caplog.messages == [f"task.not_begun id={task_id} error=Unavailable"]


async def test_more_attempts_than_usual_have_a_later_last_one(caplog: pytest.LogCaptureFixture) -> None:
    """Those that did not count."""
    caplog.set_level(logging.INFO)
    begun: list[int] = []

    async def work(running: Running) -> None:
        begun.append(running.task.attempt)

    world = World(work)
    task_id = world.add(attempt=ATTEMPTS - 1, most_attempts=ATTEMPTS + 1)
    await IsolatingRunner(world.uow, world.runner, Isolation(_never, __name__)).run(task_id, ATTEMPTS - 1)
    assert begun == [ATTEMPTS]
    assert world.task(task_id).status is TaskStatus.SUCCEEDED
