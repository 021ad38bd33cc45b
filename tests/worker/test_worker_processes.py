"""Workers as their operator runs them, told to end under load, killed by their own tasks, and with clocks that are
wrong."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import ExitStack

import pytest

from tests.conftest import FreshDatabase
from tests.process import processes_of
from tests.servers import backends
from tests.worker.conftest import PinnedValkey, eventually
from tests.worker.desk import Desk, desk_of
from tests.worker.processes import WorkerProcess
from warehouse.clock import utc_now
from warehouse.storage.migrations import migrate
from warehouse.tasks.model import ATTEMPTS, TaskFault, TaskQueue, TaskStatus

HOUR = 3600.0

Start = Callable[..., WorkerProcess]


@pytest.fixture(scope="module")
def url(fresh_database: FreshDatabase) -> str:
    asked = backends()
    url = fresh_database("mariadb" if "mariadb" in asked else asked[0])
    migrate(url)
    return url


@pytest.fixture
def redis_url(pinned_valkey: PinnedValkey) -> Iterator[str]:
    with pinned_valkey.up():
        yield pinned_valkey.url


@pytest.fixture
async def desk(url: str, redis_url: str) -> AsyncIterator[Desk]:
    async with desk_of(url, redis_url) as desk:
        yield desk


@pytest.fixture
def start(url: str, redis_url: str) -> Iterator[Start]:
    with ExitStack() as stack:

        def start(*, clock: float = 0.0, drain: int = 30) -> WorkerProcess:
            return stack.enter_context(WorkerProcess(url, redis_url, clock=clock, drain=drain))

        yield start


class TestToldToEnd:
    async def test_it_lets_what_it_has_begun_end_and_begins_no_more(self, desk: Desk, start: Start) -> None:
        worker = start()
        tasks = {queue: [await desk.add("wait", queue, seconds=2) for _ in range(20)] for queue in TaskQueue}
        begun = [each for some in tasks.values() for each in some[:4]]
        await desk.until(begun, TaskStatus.RUNNING)
        worker.send(signal.SIGTERM)
        assert await asyncio.to_thread(worker.wait) == 0
        found = await desk.find([each for some in tasks.values() for each in some])
        assert all(task.status in (TaskStatus.SUCCEEDED, TaskStatus.QUEUED) for task in found)
        assert {task.id for task in found if task.status is TaskStatus.SUCCEEDED} >= set(begun)
        # What has been begun has ended; no attempt was wasted.
        assert all(task.attempt == (task.status is TaskStatus.SUCCEEDED) for task in found)
        assert "Traceback" not in worker.log
        start()
        assert {task.status for task in await desk.until_ended([task.id for task in found])} == {TaskStatus.SUCCEEDED}

    async def test_it_gives_back_what_takes_longer_and_that_does_not_count(self, desk: Desk, start: Start) -> None:
        worker = start(drain=1)
        long = [await desk.add("wait", queue, seconds=600) for queue in TaskQueue]
        await desk.until(long, TaskStatus.RUNNING)
        worker.send(signal.SIGTERM)
        assert await asyncio.to_thread(worker.wait) == 0
        for task in await desk.find(long):
            assert (task.status, task.attempt, task.most_attempts) == (TaskStatus.QUEUED, 1, ATTEMPTS + 1)
        assert "Traceback" not in worker.log
        start()
        await desk.until(long, TaskStatus.RUNNING)
        assert [task.attempt for task in await desk.find(long)] == [2, 2]


async def test_a_task_that_kills_its_worker_fails_in_the_end_and_keeps_nobody_from_ending(
    desk: Desk, start: Start
) -> None:
    workers = [start() for _ in range(2)]
    deaths = 0

    async def supervise() -> None:
        nonlocal deaths
        while True:
            for worker in workers:
                if worker.has_ended:
                    deaths += 1
                    await worker.come_back()
            await asyncio.sleep(0.1)

    supervising = asyncio.create_task(supervise())
    killer = await desk.add("kill")
    others = [await desk.add("wait", queue, seconds=0.2) for queue in TaskQueue for _ in range(20)]
    ended = await desk.until_ended(others, 60)
    assert {task.status for task in ended} == {TaskStatus.SUCCEEDED}
    # Whoever was with it lost an attempt each time at most; and the last time it was alone.
    assert sum(task.attempt - 1 for task in ended) <= 7 * (ATTEMPTS - 1)
    [task] = await desk.until_ended([killer], 90)
    supervising.cancel()
    await asyncio.wait([supervising])
    assert task.error is not None
    assert (task.status, task.attempt, task.error.code) == (TaskStatus.FAILED, ATTEMPTS, TaskFault.WORKER_LOST)
    assert deaths == ATTEMPTS - 1
    # It has delayed nobody for longer than it took itself.
    assert task.finished_at is not None
    assert all(each.finished_at is not None and each.finished_at < task.finished_at for each in ended)


class TestTheLastAttempt:
    """In a process of its own."""

    async def test_that_kills_its_process_kills_nothing_else(self, desk: Desk, start: Start) -> None:
        worker = start()
        killer = await desk.add("kill", attempt=ATTEMPTS - 1)
        others = [await desk.add("wait", queue, seconds=5) for queue in TaskQueue for _ in range(3)]
        [task] = await desk.until_ended([killer])
        assert task.error is not None
        assert (task.status, task.attempt, task.error.code) == (TaskStatus.FAILED, ATTEMPTS, TaskFault.WORKER_LOST)
        assert not worker.has_ended
        assert {(task.status, task.attempt) for task in await desk.until_ended(others)} == {(TaskStatus.SUCCEEDED, 1)}
        assert f"task.process_lost id={killer} kind=kill attempt={ATTEMPTS}" in worker.log

    async def test_does_not_count_when_its_worker_is_killed(self, desk: Desk, start: Start) -> None:
        worker = start()
        tasks = [await desk.add("wait", queue, attempt=ATTEMPTS - 1, seconds=600) for queue in TaskQueue]
        await desk.until(tasks, TaskStatus.RUNNING)
        group = worker.pid or 0
        # And the one that has forked them.
        assert len(processes_of(group)) == len([worker, *tasks]) + 1
        await asyncio.to_thread(worker.kill_alone)
        await desk.until(tasks, TaskStatus.QUEUED, seconds=20)
        for task in await desk.find(tasks):
            assert (task.attempt, task.most_attempts) == (ATTEMPTS, ATTEMPTS + 1)
        await none_left(group)
        await worker.come_back()
        await desk.until(tasks, TaskStatus.RUNNING)
        assert [task.attempt for task in await desk.find(tasks)] == [ATTEMPTS + 1] * len(tasks)

    async def test_that_does_not_end_when_its_worker_is_gone_is_ended(self, desk: Desk, start: Start) -> None:
        worker = start()
        deaf = await desk.add("deaf", attempt=ATTEMPTS - 1)
        await desk.until([deaf], TaskStatus.RUNNING)
        group = worker.pid or 0
        await asyncio.to_thread(worker.kill_alone)
        await none_left(group)
        await worker.come_back()
        [task] = await desk.until_ended([deaf])
        assert task.error is not None
        assert (task.status, task.error.code) == (TaskStatus.FAILED, TaskFault.WORKER_LOST)

    async def test_may_end_when_all_processes_of_the_worker_are_told_to(self, desk: Desk, start: Start) -> None:
        worker = start()
        tasks = [await desk.add("wait", queue, attempt=ATTEMPTS - 1, seconds=3) for queue in TaskQueue]
        await desk.until(tasks, TaskStatus.RUNNING)
        for number in (signal.SIGINT, signal.SIGTERM):
            os.killpg(worker.pid or 0, number)
        assert await asyncio.to_thread(worker.wait) == 0
        for task in await desk.find(tasks):
            assert (task.status, task.attempt) == (TaskStatus.SUCCEEDED, ATTEMPTS)
        assert "Traceback" not in worker.log

    async def test_is_given_back_when_it_takes_longer_than_the_worker_may(self, desk: Desk, start: Start) -> None:
        worker = start(drain=1)
        tasks = [await desk.add("wait", queue, attempt=ATTEMPTS - 1, seconds=600) for queue in TaskQueue]
        await desk.until(tasks, TaskStatus.RUNNING)
        group = worker.pid or 0
        worker.send(signal.SIGTERM)
        assert await asyncio.to_thread(worker.wait) == 0
        await none_left(group)
        for task in await desk.find(tasks):
            assert (task.status, task.attempt, task.most_attempts) == (TaskStatus.QUEUED, ATTEMPTS, ATTEMPTS + 1)
        assert "Traceback" not in worker.log

    async def test_can_be_cancelled(self, desk: Desk, start: Start) -> None:
        start()
        task_id = await desk.add("wait", attempt=ATTEMPTS - 1, seconds=600)
        await desk.until([task_id], TaskStatus.RUNNING)
        async with desk.uow() as uow:
            assert await uow.tasks.cancel(task_id, utc_now())
            await uow.commit()
        [task] = await desk.until_ended([task_id])
        assert (task.status, task.attempt) == (TaskStatus.CANCELLED, ATTEMPTS)


async def none_left(group: int) -> None:
    """Of a worker's processes. They end by themselves."""

    async def is_empty() -> bool:
        return not processes_of(group)

    await eventually(is_empty)


@pytest.mark.parametrize("clock", [-HOUR, HOUR])
async def test_a_worker_whose_clock_is_an_hour_off_works_as_soon_as_any(clock: float, desk: Desk, start: Start) -> None:
    loop = asyncio.get_running_loop()
    worker = start(clock=clock)
    began = loop.time()
    done = [await desk.add("wait", queue, seconds=0) for queue in TaskQueue for _ in range(5)]
    assert {task.status for task in await desk.until_ended(done)} == {TaskStatus.SUCCEEDED}
    assert loop.time() - began < 10
    # It is no reason to take what another one has.
    held = await desk.add("wait", seconds=12)
    other = start()
    assert (await desk.until_ended([held]))[0].attempt == 1
    # And it finds what another one has lost.
    await asyncio.to_thread(worker.kill)
    lost = await desk.add("wait", seconds=600)
    await desk.until([lost], TaskStatus.RUNNING)
    await worker.come_back()
    began = loop.time()
    await asyncio.to_thread(other.kill)
    async with asyncio.timeout(30):
        while (await desk.get(lost)).attempt < 2:  # noqa: ASYNC110 (it comes true in another process)
            await asyncio.sleep(0.1)
    assert loop.time() - began < 30
