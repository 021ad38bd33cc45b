"""What callers do with tasks, over SQLite and the real commands."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from tests.conftest import FreshDatabase
from tests.contract.ledger import CALLER, command
from tests.unit.tasks.world import MemoryQueue
from warehouse.auth.model import Caller, Role
from warehouse.clock import utc_now
from warehouse.commands.service import CommandRunner
from warehouse.errors import Code, Conflict, Invalid, NotFound, Overloaded
from warehouse.ids import new_id
from warehouse.settings import DatabaseSettings
from warehouse.storage.database import SqlDatabase
from warehouse.storage.migrations import migrate
from warehouse.storage.sql import SqlUnitOfWorkFactory
from warehouse.tasks.model import ATTEMPTS, Task, TaskDraft, TaskEnding, TaskError, TaskQueue, TaskStatus
from warehouse.tasks.queue import Job
from warehouse.tasks.running import Running, TaskKind, TaskRunner
from warehouse.tasks.service import TaskService
from warehouse.tasks.sweeping import SETTLED_SECONDS, Sweep
from warehouse.unit_of_work import UnitOfWorkFactory

MOST = 5
OWNER = Caller(CALLER, "owner", Role.OPERATOR)
OTHER = Caller(new_id(), "other", Role.MANAGER)
ADMIN = Caller(new_id(), "admin", Role.ADMIN)


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


class Office:
    def __init__(self, uow: UnitOfWorkFactory) -> None:
        self.uow = uow
        self.queue = MemoryQueue()
        self.clock = Clock()
        self.service = TaskService(uow, CommandRunner(uow), self.queue, MOST)
        self.sweep = Sweep(uow, self.queue, self.clock)

    async def submit(self, key: str | None = None, kind: str = "work", queue: TaskQueue = TaskQueue.SHORT) -> Task:
        task = (await self.service.submit(command(key), TaskDraft(kind, queue, {"a": 1}))).result
        assert task is not None
        return task

    async def end(self, task: Task, status: TaskStatus) -> None:
        error = TaskError("invalid", "No.") if status is TaskStatus.FAILED else None
        async with self.uow() as uow:
            assert await uow.tasks.start(task.id, task.attempt, utc_now())
            assert await uow.tasks.finish(task.id, task.attempt + 1, TaskEnding(status, error=error), utc_now())
            await uow.commit()

    async def all(self) -> list[Task]:
        return list(await self.service.page(ADMIN, None, None, None, 1000))


@pytest.fixture
async def office(fresh_database: FreshDatabase) -> AsyncIterator[Office]:
    url = fresh_database("sqlite")
    await asyncio.to_thread(migrate, url)
    database = SqlDatabase(url, DatabaseSettings())
    yield Office(SqlUnitOfWorkFactory(database))
    await database.close()


class TestHandingIn:
    async def test_writes_the_task_and_enqueues_its_first_attempt(self, office: Office) -> None:
        task = await office.submit()
        assert (task.status, task.caller_id, task.actor, task.parameters) == (
            TaskStatus.QUEUED,
            CALLER,
            "tester",
            {"a": 1},
        )
        assert office.queue.enqueued == [Job(TaskQueue.SHORT, task.id, 0)]
        assert await office.service.get(OWNER, task.id) == task

    async def test_twice_under_one_key_makes_one_task(self, office: Office) -> None:
        first = await office.service.submit(command("key"), TaskDraft("work", TaskQueue.SHORT, {}))
        again = await office.service.submit(command("key"), TaskDraft("work", TaskQueue.SHORT, {}))
        assert (again.answer, again.replayed, again.result) == (first.answer, True, None)
        assert len(await office.all()) == 1
        assert len(office.queue.enqueued) == 1

    async def test_many_times_at_once_under_one_key_makes_one_task(self, office: Office) -> None:
        drafts = [TaskDraft("work", TaskQueue.SHORT, {}) for _ in range(10)]
        outcomes = await asyncio.gather(*[office.service.submit(command("key"), draft) for draft in drafts])
        assert len({outcome.answer.body for outcome in outcomes}) == 1
        assert [outcome.replayed for outcome in outcomes].count(False) == 1
        assert len(await office.all()) == 1

    async def test_another_request_under_the_key_is_refused(self, office: Office) -> None:
        await office.submit("key")
        with pytest.raises(Invalid) as refusal:
            await office.service.submit(command("key", "other"), TaskDraft("work", TaskQueue.SHORT, {}))
        assert refusal.value.code is Code.IDEMPOTENCY_KEY_REUSED
        assert len(await office.all()) == 1

    async def test_is_refused_where_too_many_wait_and_keeps_nothing(self, office: Office) -> None:
        for _ in range(MOST):
            await office.submit()
        with pytest.raises(Overloaded) as refusal:
            await office.submit("key")
        assert refusal.value.retry_after > 0
        assert len(await office.all()) == MOST
        await office.submit(queue=TaskQueue.LONG)
        await office.end((await office.all())[-1], TaskStatus.SUCCEEDED)
        # Nothing was kept under the key either.
        await office.submit("key")

    async def test_is_accepted_while_the_queue_is_away_and_found_by_a_sweep(self, office: Office) -> None:
        office.queue.is_away = True
        task = await office.submit()
        assert await office.service.get(OWNER, task.id) == task
        office.queue.is_away = False
        await office.sweep.once()
        office.clock.now += SETTLED_SECONDS
        await office.sweep.once()
        assert office.queue.enqueued == [Job(TaskQueue.SHORT, task.id, 0)]

    async def test_is_accepted_where_there_is_no_queue(self, office: Office) -> None:
        service = TaskService(office.uow, CommandRunner(office.uow), None, MOST)
        task = (await service.submit(command(), TaskDraft("work", TaskQueue.SHORT, {}))).result
        assert task is not None
        assert await service.get(OWNER, task.id) == task


class TestAnothersTask:
    async def test_is_not_there(self, office: Office) -> None:
        task = await office.submit()
        for work in (
            office.service.get(OTHER, task.id),
            office.service.batches(OTHER, task.id),
            office.service.cancel(command(), OTHER, task.id),
            office.service.retry(command(), OTHER, task.id),
        ):
            with pytest.raises(NotFound) as refusal:
                await work
            assert refusal.value.detail == "There is no such task."
        assert await office.service.page(OTHER, None, None, None, 10) == []
        assert await office.service.get(OWNER, task.id) == task

    async def test_is_there_for_an_admin(self, office: Office) -> None:
        task = await office.submit()
        assert await office.service.get(ADMIN, task.id) == task
        assert await office.service.page(ADMIN, None, None, None, 10) == [task]
        assert (await office.service.cancel(command(), ADMIN, task.id)).result is not None

    async def test_that_nobody_has_says_the_same(self, office: Office) -> None:
        with pytest.raises(NotFound):
            await office.service.get(ADMIN, new_id())


class TestCancelling:
    async def test_ends_what_waits(self, office: Office) -> None:
        task = await office.submit()
        ended = (await office.service.cancel(command(), OWNER, task.id)).result
        assert ended is not None
        assert ended.status is TaskStatus.CANCELLED

    async def test_again_says_the_same(self, office: Office) -> None:
        task = await office.submit()
        first, second = [(await office.service.cancel(command(), OWNER, task.id)).result for _ in range(2)]
        assert first == second

    async def test_asks_what_runs_and_asking_again_does_no_harm(self, office: Office) -> None:
        task = await office.submit()
        async with office.uow() as uow:
            await uow.tasks.start(task.id, 0, utc_now())
            await uow.commit()
        for _ in range(2):
            asked = (await office.service.cancel(command(), OWNER, task.id)).result
            assert asked is not None
            assert (asked.status, asked.cancelling) == (TaskStatus.RUNNING, True)

    @pytest.mark.parametrize("status", [TaskStatus.SUCCEEDED, TaskStatus.FAILED])
    async def test_is_refused_where_the_task_has_ended(self, status: TaskStatus, office: Office) -> None:
        task = await office.submit()
        await office.end(task, status)
        with pytest.raises(Conflict) as refusal:
            await office.service.cancel(command(), OWNER, task.id)
        assert (refusal.value.code, refusal.value.extra) == (Code.TASK_ENDED, {"task_status": status})


class TestDoingItAgain:
    async def test_queues_and_enqueues_the_next_attempt(self, office: Office) -> None:
        task = await office.submit()
        await office.end(task, TaskStatus.FAILED)
        again = (await office.service.retry(command("again"), OWNER, task.id)).result
        assert again is not None
        assert (again.status, again.attempt, again.most_attempts) == (TaskStatus.QUEUED, 1, 1 + ATTEMPTS)
        assert (again.error, again.finished_at) == (None, None)
        assert office.queue.enqueued[-1] == Job(TaskQueue.SHORT, task.id, 1)
        replayed = await office.service.retry(command("again"), OWNER, task.id)
        assert replayed.replayed

    @pytest.mark.parametrize("status", [None, TaskStatus.SUCCEEDED])
    async def test_is_refused_for_what_has_not_failed(self, status: TaskStatus | None, office: Office) -> None:
        task = await office.submit()
        if status is not None:
            await office.end(task, status)
        with pytest.raises(Conflict) as refusal:
            await office.service.retry(command(), OWNER, task.id)
        assert refusal.value.code is Code.TASK_NOT_FAILED

    async def test_goes_on_behind_the_batches_that_are_done(self, office: Office) -> None:
        done: list[int] = []

        async def work(running: Running) -> None:
            for number in range(4):
                async with office.uow() as uow:
                    await running.hold(uow)
                    if number not in await uow.tasks.batches(running.task.id):
                        await uow.tasks.add_batch(running.task.id, number, {"number": number})
                        await uow.commit()
                        done.append(number)
                if number == 1 and running.task.attempt == 1:
                    raise Invalid("Line 3 is wrong.")

        runner = TaskRunner(office.uow, {"work": TaskKind(work, 60)})
        task = await office.submit()
        await runner.run(task.id, 0)
        assert (await office.service.get(OWNER, task.id)).status is TaskStatus.FAILED
        await office.service.retry(command(), OWNER, task.id)
        await runner.run(task.id, 1)
        assert (await office.service.get(OWNER, task.id)).status is TaskStatus.SUCCEEDED
        assert done == [0, 1, 2, 3]
        assert await office.service.batches(OWNER, task.id) == [{"number": number} for number in range(4)]


async def test_lists_show_a_caller_its_own_and_what_it_asks_for(office: Office) -> None:
    tasks = [await office.submit(kind=kind) for kind in ("a", "b", "a")]
    await office.end(tasks[0], TaskStatus.FAILED)
    found = await office.service.page(OWNER, None, "a", None, 10)
    assert [task.id for task in found] == [tasks[2].id, tasks[0].id]
    [failed] = await office.service.page(OWNER, TaskStatus.FAILED, None, None, 10)
    assert failed.id == tasks[0].id
    first = await office.service.page(OWNER, None, None, None, 2)
    rest = await office.service.page(OWNER, None, None, [first[-1].id], 2)
    assert [task.id for task in (*first, *rest)] == [task.id for task in tasks[::-1]]
