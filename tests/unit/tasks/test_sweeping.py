"""Sweeps, by a clock that is set."""

import asyncio
from typing import Any
from uuid import UUID

import pytest

from tests.resilience.world import Clock, in_virtual_time
from tests.unit.tasks.world import World, counted
from warehouse.errors import TransactionConflict, Unavailable
from warehouse.tasks.model import ATTEMPTS, TaskError, TaskFault, TaskQueue, TaskStatus
from warehouse.tasks.queue import Job
from warehouse.tasks.sweeping import GAP_SECONDS, LEASE_SECONDS, SETTLED_SECONDS, SWEEP_SECONDS


class Sweeping:
    """One sweep after the other."""

    def __init__(self) -> None:
        self.world = World()
        self.clock = Clock()
        self.sweep = self.world.sweep(self.clock)

    def running(self, attempt: int = 1, **fields: Any) -> UUID:
        return self.world.add(status=TaskStatus.RUNNING, attempt=attempt, **fields)

    def status(self, task_id: UUID) -> TaskStatus:
        return self.world.task(task_id).status

    async def sweep_for(self, seconds: float) -> None:
        """As often as sweeps come, and at last when so much time has passed."""
        await self.sweep.once()
        until = self.clock.now + seconds
        while self.clock.now < until:
            self.clock.advance(min(SWEEP_SECONDS, until - self.clock.now))
            await self.sweep.once()


@pytest.fixture
def sweeping() -> Sweeping:
    return Sweeping()


class TestATaskWhoseWorkerIsGone:
    async def test_is_left_alone_for_the_time_of_its_lease(self, sweeping: Sweeping) -> None:
        task_id = sweeping.running()
        await sweeping.sweep_for(LEASE_SECONDS - 0.1)
        assert sweeping.status(task_id) is TaskStatus.RUNNING
        assert not sweeping.world.queue.enqueued

    async def test_is_then_queued_for_its_next_attempt_and_enqueued(self, sweeping: Sweeping) -> None:
        task_id = sweeping.running()
        before = counted("warehouse_task_abandoned_total", kind="work")
        await sweeping.sweep_for(LEASE_SECONDS)
        task = sweeping.world.task(task_id)
        assert (task.status, task.attempt) == (TaskStatus.QUEUED, 1)
        assert sweeping.world.queue.enqueued == [Job(TaskQueue.SHORT, task_id, 1)]
        assert counted("warehouse_task_abandoned_total", kind="work") == before + 1

    async def test_fails_after_its_last_attempt(self, sweeping: Sweeping) -> None:
        task_id = sweeping.running(ATTEMPTS)
        await sweeping.sweep_for(LEASE_SECONDS)
        task = sweeping.world.task(task_id)
        assert (task.status, task.attempt) == (TaskStatus.FAILED, ATTEMPTS)
        assert task.error == TaskError(TaskFault.WORKER_LOST, "Its worker was lost in attempt 3, the last.")
        assert not sweeping.world.queue.enqueued

    @pytest.mark.parametrize("attempt", [1, ATTEMPTS])
    async def test_is_cancelled_where_that_was_asked_for(self, attempt: int, sweeping: Sweeping) -> None:
        task_id = sweeping.running(attempt, cancelling=True)
        await sweeping.sweep_for(LEASE_SECONDS)
        assert sweeping.status(task_id) is TaskStatus.CANCELLED
        assert not sweeping.world.queue.enqueued

    async def test_is_one_whose_counter_stands_still(self, sweeping: Sweeping) -> None:
        dead, alive = sweeping.running(), sweeping.running()
        for _ in range(10):
            sweeping.world.change(alive, done=1)
            await sweeping.sweep_for(SWEEP_SECONDS)
        assert sweeping.status(alive) is TaskStatus.RUNNING
        assert sweeping.status(dead) is TaskStatus.QUEUED

    async def test_is_one_by_the_sweeping_process_own_clock_alone(self) -> None:
        early, late = Sweeping(), Sweeping()
        late.clock.advance(1e9)
        for sweeping in (early, late):
            task_id = sweeping.running()
            await sweeping.sweep_for(LEASE_SECONDS - 0.1)
            assert sweeping.status(task_id) is TaskStatus.RUNNING

    async def test_does_not_wait_for_others_whose_row_is_locked(self, sweeping: Sweeping) -> None:
        tasks = [sweeping.running() for _ in range(3)]
        await sweeping.sweep_for(LEASE_SECONDS - 0.1)
        sweeping.clock.advance(0.1)
        conflict = TransactionConflict("Others are first.")
        sweeping.world.database.breaks = [(conflict, False)]
        await sweeping.sweep.once()
        assert [sweeping.status(each) for each in tasks].count(TaskStatus.QUEUED) == 2
        await sweeping.sweep.once()
        assert {sweeping.status(each) for each in tasks} == {TaskStatus.QUEUED}

    async def test_is_queued_though_the_queue_is_away_and_enqueued_when_it_is_back(self, sweeping: Sweeping) -> None:
        tasks = [sweeping.running() for _ in range(2)]
        await sweeping.sweep_for(LEASE_SECONDS - 0.1)
        sweeping.clock.advance(0.1)
        sweeping.world.queue.is_away = True
        with pytest.raises(Unavailable):
            await sweeping.sweep.once()
        assert [sweeping.status(each) for each in tasks] == [TaskStatus.QUEUED] * 2
        sweeping.world.queue.is_away = False
        await sweeping.sweep_for(SETTLED_SECONDS)
        assert {job.task_id for job in sweeping.world.queue.enqueued} == set(tasks)


class TestASweepThatWasAway:
    """It does not know whether the others could tell that they live."""

    async def test_takes_nothing_away_from_workers_that_could_not_write_either(self, sweeping: Sweeping) -> None:
        task_id = sweeping.running()
        await sweeping.sweep_for(SWEEP_SECONDS)
        sweeping.world.database.is_away = True
        for _ in range(10):
            sweeping.clock.advance(SWEEP_SECONDS)
            with pytest.raises(Unavailable):
                await sweeping.sweep.once()
        sweeping.world.database.is_away = False
        await sweeping.sweep_for(LEASE_SECONDS - 0.1)
        assert sweeping.status(task_id) is TaskStatus.RUNNING
        await sweeping.sweep_for(0.1)
        assert sweeping.status(task_id) is TaskStatus.QUEUED

    async def test_begins_anew_where_its_process_stood_still(self, sweeping: Sweeping) -> None:
        task_id = sweeping.running()
        await sweeping.sweep_for(SWEEP_SECONDS)
        sweeping.clock.advance(GAP_SECONDS + LEASE_SECONDS)
        await sweeping.sweep.once()
        assert sweeping.status(task_id) is TaskStatus.RUNNING

    async def test_goes_on_where_that_was_short(self, sweeping: Sweeping) -> None:
        task_id = sweeping.running()
        await sweeping.sweep.once()
        for _ in range(3):
            sweeping.clock.advance(GAP_SECONDS - 0.1)
            await sweeping.sweep.once()
        assert sweeping.status(task_id) is TaskStatus.QUEUED


class TestAQueuedTask:
    async def test_is_given_time_to_be_enqueued_by_whoever_wrote_it(self, sweeping: Sweeping) -> None:
        sweeping.world.add()
        await sweeping.sweep_for(SETTLED_SECONDS - 0.1)
        assert not sweeping.world.queue.enqueued

    async def test_is_enqueued_once_where_it_is_missing(self, sweeping: Sweeping) -> None:
        task_id = sweeping.world.add(attempt=2)
        before = counted("warehouse_task_enqueued_by_sweep_total", queue="short")
        await sweeping.sweep_for(5 * SETTLED_SECONDS)
        assert sweeping.world.queue.enqueued == [Job(TaskQueue.SHORT, task_id, 2)]
        assert counted("warehouse_task_enqueued_by_sweep_total", queue="short") == before + 1

    async def test_is_enqueued_again_when_the_queue_has_forgotten_it(self, sweeping: Sweeping) -> None:
        tasks = {sweeping.world.add() for _ in range(20)}
        for _ in range(3):
            await sweeping.sweep_for(SETTLED_SECONDS)
            assert {job.task_id for job in sweeping.world.queue.jobs} == tasks
            sweeping.world.queue.jobs.clear()

    async def test_that_has_ended_is_not(self, sweeping: Sweeping) -> None:
        for status in (TaskStatus.SUCCEEDED, TaskStatus.FAILED, TaskStatus.CANCELLED):
            sweeping.world.add(status=status)
        await sweeping.sweep_for(2 * LEASE_SECONDS)
        assert not sweeping.world.queue.enqueued


class TestSweepingOn:
    @in_virtual_time
    async def test_outlives_the_database_and_the_queue_and_what_nobody_thought_of(self) -> None:
        world = World()
        task_id = world.add(status=TaskStatus.RUNNING, attempt=1)
        sweeping = asyncio.create_task(world.sweep().run())
        world.database.is_away = True
        await asyncio.sleep(30)
        world.database.is_away = False
        world.database.fails = [TransactionConflict("Others are first.")] * 3
        await asyncio.sleep(30)
        assert world.task(task_id).status is TaskStatus.QUEUED
        world.queue.jobs.clear()
        world.queue.is_away = True
        await asyncio.sleep(30)
        world.queue.is_away = False
        world.database.rows[task_id] = None  # type: ignore[assignment]  # it makes open() raise what it should not
        await asyncio.sleep(30)
        del world.database.rows[task_id]
        other = world.add()
        await asyncio.sleep(30)
        assert Job(TaskQueue.SHORT, other, 0) in world.queue.jobs
        assert not sweeping.done()
        sweeping.cancel()
        await asyncio.wait([sweeping])

    @in_virtual_time
    async def test_finds_a_lost_worker_within_thirteen_seconds(self) -> None:
        world = World()
        task_id = world.add(status=TaskStatus.RUNNING, attempt=1)
        sweeping = asyncio.create_task(world.sweep().run())
        await asyncio.sleep(LEASE_SECONDS + 1.2 * SWEEP_SECONDS)
        assert Job(TaskQueue.SHORT, task_id, 1) in world.queue.jobs
        sweeping.cancel()
        await asyncio.wait([sweeping])

    async def test_measures_what_waits_and_what_runs(self, sweeping: Sweeping) -> None:
        for _ in range(3):
            sweeping.world.add()
        sweeping.running()
        await sweeping.sweep.once()
        assert counted("warehouse_tasks_queued", queue="short") == 3
        assert counted("warehouse_tasks_running", queue="short") == 1
        assert counted("warehouse_tasks_oldest_queued_seconds", queue="short") >= 0
        assert counted("warehouse_tasks_queued", queue="long") == 0


def test_a_sweep_comes_often_enough_to_know_of_the_others() -> None:
    assert 1.2 * SWEEP_SECONDS < GAP_SECONDS < LEASE_SECONDS
