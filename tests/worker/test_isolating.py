"""Which attempts get a process of their own, and what is counted of them."""

import logging
import os
import signal
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path

import pytest

from tests.unit.tasks.world import counted
from tests.worker.conftest import PinnedValkey
from tests.worker.desk import Desk, desk_of
from tests.worker.isolated import run_isolated
from tests.worker.kinds import kinds
from warehouse.errors import NotFound
from warehouse.ids import new_id
from warehouse.settings import DatabaseSettings, Settings
from warehouse.tasks.isolating import IsolatingRunner, Isolation
from warehouse.tasks.model import ATTEMPTS, Task, TaskFault, TaskQueue, TaskStatus
from warehouse.tasks.running import TaskRunner

LAST = ATTEMPTS - 1


@pytest.fixture
async def desk(own_url: str, pinned_valkey: PinnedValkey) -> AsyncIterator[Desk]:
    with pinned_valkey.up():
        async with desk_of(own_url, pinned_valkey.url) as desk:
            yield desk


@pytest.fixture
async def isolation(own_url: str, tmp_path: Path) -> AsyncIterator[Isolation]:
    settings = Settings(database=DatabaseSettings(url=own_url), data_dir=tmp_path / "var")
    isolation = Isolation(partial(run_isolated, settings), run_isolated.__module__)
    yield isolation
    await isolation.close()


@pytest.fixture
def runner(desk: Desk, isolation: Isolation, caplog: pytest.LogCaptureFixture) -> IsolatingRunner:
    caplog.set_level(logging.INFO)
    return IsolatingRunner(desk.uow, TaskRunner(desk.uow, kinds(desk.uow)), isolation)


async def run(runner: IsolatingRunner, desk: Desk, kind: str, attempt: int, **parameters: float) -> Task:
    task_id = await desk.add(kind, TaskQueue.SHORT, attempt=attempt, **parameters)
    await runner.run(task_id, attempt)
    return await desk.get(task_id)


def children() -> list[int]:
    found = Path(f"/proc/{os.getpid()}/task").glob("*/children")
    return [int(child) for each in found for child in each.read_text().split()]


def is_server(process: int) -> bool:
    return "warehouse.tasks.isolated" in Path(f"/proc/{process}/cmdline").read_text()


async def test_the_last_has_one_and_others_have_none(
    runner: IsolatingRunner, desk: Desk, caplog: pytest.LogCaptureFixture
) -> None:
    succeeded = partial(counted, "warehouse_task_attempts_total", kind="wait", outcome="succeeded")
    seconds = partial(counted, "warehouse_task_attempt_duration_seconds_count", kind="wait")
    before, timed = succeeded(), seconds()
    for attempt in range(ATTEMPTS):
        assert not [message for message in caplog.messages if "task.isolated" in message]
        task = await run(runner, desk, "wait", attempt, seconds=0)
        assert (task.status, task.attempt) == (TaskStatus.SUCCEEDED, attempt + 1)
    assert f"task.isolated id={task.id} kind=wait attempt={ATTEMPTS}" in caplog.messages
    # In this process, as the others.
    assert (succeeded(), seconds()) == (before + ATTEMPTS, timed + ATTEMPTS)


async def test_one_that_is_lost_is_told_and_leaves_the_task_to_a_sweep(
    runner: IsolatingRunner, desk: Desk, caplog: pytest.LogCaptureFixture
) -> None:
    before = counted("warehouse_task_attempts_total", kind="kill", outcome="lost")
    task = await run(runner, desk, "kill", LAST)
    assert (task.status, task.attempt) == (TaskStatus.RUNNING, ATTEMPTS)
    assert f"task.process_lost id={task.id} kind=kill attempt={ATTEMPTS}" in caplog.messages
    assert counted("warehouse_task_attempts_total", kind="kill", outcome="lost") == before + 1
    # And keeps no other from its own.
    assert (await run(runner, desk, "wait", LAST, seconds=0)).status is TaskStatus.SUCCEEDED
    await desk.end(task)


async def test_the_end_that_it_finds_is_told(runner: IsolatingRunner, desk: Desk) -> None:
    before = counted("warehouse_task_attempts_total", kind="unknown", outcome="failed")
    task = await run(runner, desk, "play", LAST)
    assert task.error is not None
    assert (task.status, task.error.code) == (TaskStatus.FAILED, TaskFault.UNKNOWN_KIND)
    assert counted("warehouse_task_attempts_total", kind="unknown", outcome="failed") == before + 1


async def test_what_somebody_else_has_begun_or_ended_needs_none(
    runner: IsolatingRunner, desk: Desk, caplog: pytest.LogCaptureFixture
) -> None:
    task = await run(runner, desk, "wait", LAST, seconds=0)
    caplog.clear()
    await runner.run(task.id, LAST)
    await runner.run(task.id, LAST + 1)
    assert [message.partition(" ")[0] for message in caplog.messages] == ["task.passed_over"] * 2
    assert await desk.get(task.id) == task


async def test_a_task_that_is_not_there_is_told(runner: IsolatingRunner) -> None:
    with pytest.raises(NotFound):
        await runner.run(new_id(), LAST)


async def test_modules_are_not_taken_from_the_working_directory(
    runner: IsolatingRunner, desk: Desk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "orjson.py").write_text("raise ImportError")
    monkeypatch.chdir(tmp_path)
    assert (await run(runner, desk, "wait", LAST, seconds=0)).status is TaskStatus.SUCCEEDED


async def test_the_server_that_forks_them_is_replaced_when_it_is_gone(runner: IsolatingRunner, desk: Desk) -> None:
    assert (await run(runner, desk, "wait", LAST, seconds=0)).status is TaskStatus.SUCCEEDED
    [server] = filter(is_server, children())
    os.kill(server, signal.SIGKILL)
    task_id = await desk.add("wait", attempt=LAST, seconds=0)
    while (await desk.get(task_id)).status is TaskStatus.QUEUED:
        # As a sweep would have it again.
        await runner.run(task_id, LAST)
    assert (await desk.get(task_id)).status is TaskStatus.SUCCEEDED
