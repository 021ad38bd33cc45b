"""The rows of tasks on every database: each change is made once, by whoever may make it, or not at all."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, TypeVar
from uuid import UUID

import pytest
from sqlalchemy import func, select
from sqlalchemy.exc import IntegrityError

from tests.contract.ledger import CALLER
from tests.servers import Backend
from warehouse.clock import utc_now
from warehouse.ids import new_id
from warehouse.storage.database import SqlDatabase
from warehouse.storage.tables import tasks
from warehouse.tasks.model import (
    ATTEMPTS,
    OpenTask,
    Task,
    TaskDraft,
    TaskEnding,
    TaskError,
    TaskFilter,
    TaskQueue,
    TaskResult,
    TaskStatus,
    new_task,
)
from warehouse.tasks.repository import TaskRepository
from warehouse.unit_of_work import UnitOfWorkFactory, replayed_on_conflict

T = TypeVar("T")
Work = Callable[[TaskRepository], Awaitable[T]]

JSON: Mapping[str, Any] = {
    "text": "Brötchen \U0001f956 \\ \" ' %s {} \u2028",
    "numbers": [0, -1, 2**53, 0.1, 1e300, -0.0],
    "nothing": None,
    "nested": {"a": [{"b": [True, False, None]}], "": ""},
}
RESULT = TaskResult("exports/ü/1", "text/csv; charset=utf-8", 'a "b".csv', 2**40)
ERROR = TaskError("invalid", "Ünlesbar.", ({"pointer": "/file", "code": "invalid", "detail": "\x00 is no letter"},))
DONE = TaskEnding(TaskStatus.SUCCEEDED, 7, 9, result=RESULT)


class Rows:
    """The repository, each verb in a transaction of its own."""

    def __init__(self, uow: UnitOfWorkFactory) -> None:
        self._uow = uow

    @replayed_on_conflict
    async def do(self, work: Work[T]) -> T:
        async with self._uow() as uow:
            found = await work(uow.tasks)
            await uow.commit()
        return found

    async def add(
        self, queue: TaskQueue = TaskQueue.SHORT, kind: str = "wait", caller: UUID = CALLER, **parameters: Any
    ) -> Task:
        task = new_task(TaskDraft(kind, queue, parameters), caller, "tester", utc_now())
        await self.do(lambda rows: rows.add(task))
        return task

    async def get(self, task: Task) -> Task:
        found = await self.do(lambda rows: rows.get(task.id))
        assert found is not None
        return found

    async def status(self, task: Task) -> TaskStatus:
        return (await self.get(task)).status

    async def start(self, task: Task, attempt: int = 0) -> bool:
        return await self.do(lambda rows: rows.start(task.id, attempt, utc_now()))

    async def started(self, **fields: Any) -> Task:
        task = await self.add(**fields)
        assert await self.start(task)
        return task

    async def advance(self, task: Task, attempt: int = 1, done: int = 0, total: int | None = None) -> bool:
        return await self.do(lambda rows: rows.advance(task.id, attempt, done, total))

    async def finish(self, task: Task, attempt: int = 1, ending: TaskEnding = DONE, at: datetime | None = None) -> bool:
        return await self.do(lambda rows: rows.finish(task.id, attempt, ending, at or utc_now()))

    async def add_batch(self, task: Task, number: int, outcome: Mapping[str, Any]) -> None:
        await self.do(lambda rows: rows.add_batch(task.id, number, outcome))

    async def batches(self, task: Task) -> Mapping[int, Mapping[str, Any]]:
        return await self.do(lambda rows: rows.batches(task.id))

    async def give_back(self, task: Task, attempt: int = 1, *, free: bool = False) -> bool:
        return await self.do(lambda rows: rows.give_back(task.id, attempt, free=free))

    async def cancel(self, task: Task) -> bool:
        return await self.do(lambda rows: rows.cancel(task.id, utc_now()))

    async def reopen(self, task: Task) -> bool:
        return await self.do(lambda rows: rows.reopen(task.id))

    async def take_away(self, seen: OpenTask) -> bool:
        return await self.do(lambda rows: rows.take_away(seen))

    async def end_abandoned(self, seen: OpenTask, status: TaskStatus, error: TaskError | None) -> bool:
        return await self.do(lambda rows: rows.end_abandoned(seen, status, utc_now(), error))

    async def look(self, task: Task) -> OpenTask:
        """As a sweep sees it."""
        found = await self.get(task)
        return OpenTask(**{name: getattr(found, name) for name in OpenTask.__dataclass_fields__})

    async def ended(self, status: TaskStatus, **fields: Any) -> Task:
        task = await self.started(**fields)
        assert await self.finish(task, ending=TaskEnding(status))
        return task


@pytest.fixture
def rows(uow_factory: UnitOfWorkFactory) -> Rows:
    return Rows(uow_factory)


class TestANewOne:
    async def test_is_read_as_it_was_written(self, rows: Rows) -> None:
        task = await rows.add(TaskQueue.LONG, **JSON)
        assert await rows.get(task) == task
        assert (task.status, task.attempt, task.most_attempts) == (TaskStatus.QUEUED, 0, ATTEMPTS)

    @pytest.mark.parametrize("parameters", [{}, {"only": None}, JSON])
    async def test_has_its_parameters(self, parameters: Mapping[str, Any], rows: Rows) -> None:
        assert (await rows.get(await rows.add(**parameters))).parameters == parameters

    @pytest.mark.parametrize("is_opened_again", [False, True])
    async def test_has_no_error_and_no_result_as_the_database_understands_it(
        self, is_opened_again: bool, rows: Rows, database: SqlDatabase
    ) -> None:
        task = await rows.started()
        if is_opened_again:
            assert await rows.finish(task, ending=TaskEnding(TaskStatus.FAILED, error=ERROR))
            assert await rows.reopen(task)
        absent = select(func.count()).where(tasks.c.id == task.id, tasks.c.error.is_(None), tasks.c.result.is_(None))
        async with database.connect(read_only=True) as connection:
            assert await connection.scalar(absent) == 1

    async def test_one_that_is_not_there_is_none(self, rows: Rows) -> None:
        assert await rows.do(lambda repository: repository.get(new_id())) is None

    async def test_several_are_found_by_their_ids(self, rows: Rows) -> None:
        first, second, _ = [await rows.add() for _ in range(3)]
        found = await rows.do(lambda repository: repository.find([second.id, new_id(), first.id]))
        assert sorted(found, key=lambda task: task.id) == [first, second]
        assert await rows.do(lambda repository: repository.find([])) == []


class TestAStart:
    async def test_is_one_of_twenty_at_once(self, rows: Rows) -> None:
        task = await rows.add()
        begun = await asyncio.gather(*[rows.start(task) for _ in range(20)])
        assert begun.count(True) == 1
        found = await rows.get(task)
        assert (found.status, found.attempt) == (TaskStatus.RUNNING, 1)
        assert found.started_at is not None

    @pytest.mark.parametrize("attempt", [-1, 1, 2])
    async def test_of_another_attempt_than_the_next_is_none(self, attempt: int, rows: Rows) -> None:
        task = await rows.add()
        assert not await rows.start(task, attempt)
        assert await rows.get(task) == task

    async def test_of_none_is_none(self, rows: Rows) -> None:
        assert not await rows.do(lambda repository: repository.start(new_id(), 0, utc_now()))

    @pytest.mark.parametrize("status", [TaskStatus.SUCCEEDED, TaskStatus.FAILED, TaskStatus.CANCELLED])
    async def test_of_what_has_ended_is_none(self, status: TaskStatus, rows: Rows) -> None:
        task = await rows.ended(status)
        assert not await rows.start(task, 1)
        assert await rows.status(task) is status

    async def test_whose_transaction_is_rolled_back_does_not_count(
        self, rows: Rows, uow_factory: UnitOfWorkFactory
    ) -> None:
        task = await rows.add()
        async with uow_factory() as uow:
            assert await uow.tasks.start(task.id, 0, utc_now())
        assert await rows.get(task) == task


class TestAnAttempt:
    """Writes under its number while it runs, and never else."""

    async def test_notes_how_far_it_is_and_every_note_moves_the_counter(self, rows: Rows) -> None:
        task = await rows.started()
        before = await rows.get(task)
        for _ in range(2):
            assert await rows.advance(task, done=3, total=2**40)
        found = await rows.get(task)
        assert (found.done, found.total, found.beat) == (3, 2**40, before.beat + 2)

    @pytest.mark.parametrize("attempt", [0, 2])
    async def test_under_another_number_writes_nothing(self, attempt: int, rows: Rows) -> None:
        task = await rows.started()
        before = await rows.get(task)
        assert not await rows.advance(task, attempt, 1)
        assert not await rows.finish(task, attempt)
        assert not await rows.give_back(task, attempt)
        assert await rows.get(task) == before

    async def test_that_was_taken_away_writes_nothing_before_the_next_begins_and_after(self, rows: Rows) -> None:
        task = await rows.started()
        assert await rows.take_away(await rows.look(task))
        for status in (TaskStatus.QUEUED, TaskStatus.RUNNING):
            assert await rows.status(task) is status
            assert not await rows.advance(task)
            assert not await rows.finish(task)
            assert not await rows.give_back(task)
            assert status is TaskStatus.RUNNING or await rows.start(task, 1)

    async def test_ends_with_a_result(self, rows: Rows) -> None:
        task = await rows.started()
        assert await rows.finish(task)
        found = await rows.get(task)
        assert (found.status, found.done, found.total) == (TaskStatus.SUCCEEDED, 7, 9)
        assert (found.result, found.error) == (RESULT, None)
        assert found.finished_at is not None

    async def test_ends_with_an_error(self, rows: Rows) -> None:
        task = await rows.started()
        assert await rows.finish(task, ending=TaskEnding(TaskStatus.FAILED, 2, None, error=ERROR))
        found = await rows.get(task)
        assert (found.status, found.error, found.result) == (TaskStatus.FAILED, ERROR, None)

    async def test_ends_once_of_twenty_times_at_once(self, rows: Rows) -> None:
        task = await rows.started()
        ended = await asyncio.gather(*[rows.finish(task) for _ in range(20)])
        assert ended.count(True) == 1

    async def test_given_back_counts(self, rows: Rows) -> None:
        task = await rows.started()
        assert await rows.give_back(task)
        found = await rows.get(task)
        assert (found.status, found.attempt, found.most_attempts) == (TaskStatus.QUEUED, 1, ATTEMPTS)

    async def test_given_back_for_no_fault_of_its_own_does_not_count(self, rows: Rows) -> None:
        task = await rows.started()
        assert await rows.give_back(task, free=True)
        found = await rows.get(task)
        assert (found.status, found.attempt, found.most_attempts) == (TaskStatus.QUEUED, 1, ATTEMPTS + 1)

    async def test_is_held_until_the_transaction_ends_and_no_sweep_waits_for_that(
        self, rows: Rows, uow_factory: UnitOfWorkFactory, backend: Backend
    ) -> None:
        task = await rows.started()
        seen = await rows.look(task)
        async with uow_factory() as uow:
            assert await uow.tasks.advance(task.id, 1, 1, None)
            sweeps = [rows.take_away(seen), rows.end_abandoned(seen, TaskStatus.FAILED, ERROR)]
            taking = asyncio.gather(*sweeps)
            if backend != "sqlite":  # which has one writer at a time, whatever it writes
                async with asyncio.timeout(30):
                    await asyncio.wait([taking])
            await uow.tasks.add_batch(task.id, 1, {"rows": 1})
            await uow.commit()
        assert await taking == [False, False]
        assert await rows.status(task) is TaskStatus.RUNNING


class TestASweep:
    @pytest.mark.parametrize("change", ["advance", "finish", "give_back", "cancel"])
    async def test_leaves_what_has_changed_since_it_looked(self, change: str, rows: Rows) -> None:
        task = await rows.started()
        seen = await rows.look(task)
        assert await getattr(rows, change)(task)
        before = await rows.get(task)
        assert not await rows.take_away(seen)
        assert not await rows.end_abandoned(seen, TaskStatus.FAILED, ERROR)
        assert await rows.get(task) == before

    async def test_is_one_of_ten_at_once(self, rows: Rows) -> None:
        task = await rows.started()
        seen = await rows.look(task)
        taken = await asyncio.gather(*[rows.take_away(seen) for _ in range(10)])
        assert taken.count(True) == 1

    async def test_ends_what_is_not_to_be_tried_again(self, rows: Rows) -> None:
        task = await rows.started()
        assert await rows.end_abandoned(await rows.look(task), TaskStatus.FAILED, ERROR)
        found = await rows.get(task)
        assert (found.status, found.error) == (TaskStatus.FAILED, ERROR)
        assert found.finished_at is not None

    async def test_does_not_take_what_is_queued(self, rows: Rows) -> None:
        task = await rows.add()
        assert not await rows.take_away(await rows.look(task))
        assert not await rows.end_abandoned(await rows.look(task), TaskStatus.FAILED, ERROR)


class TestCancelling:
    async def test_ends_what_is_queued(self, rows: Rows) -> None:
        task = await rows.add()
        assert await rows.cancel(task)
        found = await rows.get(task)
        assert (found.status, found.cancelling, found.attempt) == (TaskStatus.CANCELLED, False, 0)
        assert found.finished_at is not None
        assert not await rows.start(task)

    async def test_asks_whoever_runs_it(self, rows: Rows) -> None:
        task = await rows.started()
        assert await rows.cancel(task)
        found = await rows.get(task)
        assert (found.status, found.cancelling, found.finished_at) == (TaskStatus.RUNNING, True, None)

    async def test_again_and_again_does_not_look_like_a_worker_that_lives(self, rows: Rows) -> None:
        task = await rows.started()
        assert await rows.cancel(task)
        seen = await rows.look(task)
        assert await rows.cancel(task)
        assert await rows.end_abandoned(seen, TaskStatus.CANCELLED, None)

    @pytest.mark.parametrize("status", [TaskStatus.SUCCEEDED, TaskStatus.FAILED, TaskStatus.CANCELLED])
    async def test_leaves_what_has_ended(self, status: TaskStatus, rows: Rows) -> None:
        task = await rows.ended(status)
        before = await rows.get(task)
        assert not await rows.cancel(task)
        assert await rows.get(task) == before

    async def test_or_the_start_is_first_and_the_other_one_sees_it(self, rows: Rows) -> None:
        for _ in range(10):
            task = await rows.add()
            begun, _ = await asyncio.gather(rows.start(task), rows.cancel(task))
            found = await rows.get(task)
            expected = (TaskStatus.RUNNING, True) if begun else (TaskStatus.CANCELLED, False)
            assert (found.status, found.cancelling) == expected


class TestReopening:
    @pytest.mark.parametrize("status", [TaskStatus.FAILED, TaskStatus.CANCELLED])
    async def test_gives_as_many_attempts_again(self, status: TaskStatus, rows: Rows) -> None:
        task = await rows.started()
        assert await rows.cancel(task)
        assert await rows.finish(task, ending=TaskEnding(status, error=ERROR))
        assert await rows.reopen(task)
        found = await rows.get(task)
        assert (found.status, found.attempt, found.most_attempts) == (TaskStatus.QUEUED, 1, 1 + ATTEMPTS)
        assert (found.cancelling, found.error, found.finished_at) == (False, None, None)
        assert await rows.start(task, 1)

    async def test_is_only_for_what_has_failed_or_was_cancelled(self, rows: Rows) -> None:
        waiting, running, done = await rows.add(), await rows.started(), await rows.ended(TaskStatus.SUCCEEDED)
        for task in (waiting, running, done):
            before = await rows.get(task)
            assert not await rows.reopen(task)
            assert await rows.get(task) == before

    async def test_lets_no_worker_of_before_write(self, rows: Rows) -> None:
        task = await rows.started()
        assert await rows.end_abandoned(await rows.look(task), TaskStatus.FAILED, ERROR)
        assert await rows.reopen(task)
        assert not await rows.advance(task, 1)
        assert await rows.start(task, 1)
        assert not await rows.finish(task, 1)


class TestLists:
    """Each of callers of their own, for the database is everybody's."""

    async def test_come_newest_first_and_page_by_page(self, rows: Rows) -> None:
        caller = new_id()
        added = [await rows.add(caller=caller) for _ in range(7)]
        found: list[Task] = []
        while page := await self.page(rows, TaskFilter(caller), [found[-1].id] if found else None, 3):
            assert len(page) <= 3
            found += page
        assert found == added[::-1]

    async def test_are_of_what_is_asked_for(self, rows: Rows) -> None:
        caller = new_id()
        waiting = await rows.add(caller=caller, kind="a")
        done = await rows.ended(TaskStatus.SUCCEEDED, caller=caller, kind="a")
        other = await rows.ended(TaskStatus.FAILED, caller=caller, kind="b")
        expected: list[tuple[TaskFilter, list[Task]]] = [
            (TaskFilter(caller), [other, done, waiting]),
            (TaskFilter(caller, kind="a"), [done, waiting]),
            (TaskFilter(caller, kind="A"), []),
            (TaskFilter(caller, TaskStatus.QUEUED), [waiting]),
            (TaskFilter(caller, TaskStatus.FAILED, "b"), [other]),
            (TaskFilter(caller, TaskStatus.FAILED, "a"), []),
            (TaskFilter(new_id()), []),
        ]
        for criteria, listed in expected:
            assert [each.id for each in await self.page(rows, criteria)] == [each.id for each in listed]
        newest, *_ = await self.page(rows, TaskFilter(), None, 1)
        assert newest.id == other.id

    async def page(
        self, rows: Rows, criteria: TaskFilter, after: Sequence[Any] | None = None, limit: int = 100
    ) -> Sequence[Task]:
        return await rows.do(lambda repository: repository.page(criteria, after, limit))


class TestOpenOnes:
    async def test_are_all_that_run_and_the_oldest_that_wait_of_each_queue(self, rows: Rows) -> None:
        running = [await rows.started(queue=TaskQueue.SHORT) for _ in range(3)]
        waiting = {queue: [await rows.add(queue) for _ in range(4)] for queue in TaskQueue}
        ended = await rows.ended(TaskStatus.SUCCEEDED)
        everything = await rows.do(lambda repository: repository.open(10_000))
        assert {task.id for task in running} <= {each.id for each in everything}
        assert ended.id not in {each.id for each in everything}
        bounded = await rows.do(lambda repository: repository.open(2))
        assert {task.id for task in running} <= {each.id for each in bounded}
        for queue, added in waiting.items():
            queued = [each for each in everything if each.status is TaskStatus.QUEUED and each.queue is queue]
            assert [each.id for each in queued if each.id in {task.id for task in added}] == [each.id for each in added]
            assert queued == sorted(queued, key=lambda each: each.id)
            assert [each for each in bounded if each in queued] == queued[:2]

    async def test_tell_what_a_sweep_needs(self, rows: Rows) -> None:
        task = await rows.started()
        found = await rows.do(lambda repository: repository.open(10_000))
        assert await rows.look(task) in found

    async def test_are_counted_where_they_wait(self, rows: Rows) -> None:
        async def count(queue: TaskQueue) -> int:
            return await rows.do(lambda repository: repository.queued(queue))

        before = {queue: await count(queue) for queue in TaskQueue}
        for _ in range(3):
            await rows.add(TaskQueue.LONG)
        await rows.started(queue=TaskQueue.LONG)
        await rows.ended(TaskStatus.FAILED, queue=TaskQueue.LONG)
        assert await count(TaskQueue.LONG) == before[TaskQueue.LONG] + 3
        assert await count(TaskQueue.SHORT) == before[TaskQueue.SHORT]


class TestBatches:
    async def test_come_by_their_numbers_with_what_they_told(self, rows: Rows) -> None:
        task = await rows.started()
        outcomes: dict[int, Mapping[str, Any]] = {10: JSON, 2: {}, 0: {"rows": None}}
        for number, outcome in outcomes.items():
            await rows.add_batch(task, number, outcome)
        found = await rows.batches(task)
        assert list(found.items()) == sorted(outcomes.items())
        other = await rows.add()
        assert await rows.batches(other) == {}

    async def test_of_one_number_are_one_of_ten_at_once(self, rows: Rows) -> None:
        task = await rows.started()

        async def add(number: int) -> bool:
            try:
                await rows.add_batch(task, 1, {"by": number})
            except IntegrityError:
                return False
            return True

        added = await asyncio.gather(*[add(number) for number in range(10)])
        assert added.count(True) == 1
        found = await rows.batches(task)
        assert found == {1: {"by": added.index(True)}}

    async def test_are_of_a_task_that_is_there(self, rows: Rows) -> None:
        with pytest.raises(IntegrityError):
            await rows.do(lambda repository: repository.add_batch(new_id(), 1, {}))


class TestWhatHasEnded:
    async def test_is_found_by_when_and_removed_with_its_batches(self, rows: Rows) -> None:
        early = utc_now() - timedelta(days=10_000)
        old, older, open_ = [await rows.started() for _ in range(3)]
        for task, at in ((older, early), (old, early + timedelta(days=1))):
            await rows.add_batch(task, 1, {})
            assert await rows.finish(task, at=at)
        before = early + timedelta(days=1)
        assert await rows.do(lambda repository: repository.finished_before(before, 10)) == [older.id]
        after = before + timedelta(seconds=1)
        assert await rows.do(lambda repository: repository.finished_before(after, 10)) == [older.id, old.id]
        assert await rows.do(lambda repository: repository.finished_before(after, 1)) == [older.id]
        await rows.do(lambda repository: repository.remove([older.id, old.id]))
        assert await rows.do(lambda repository: repository.find([older.id, old.id, open_.id])) == [
            await rows.get(open_)
        ]
        assert await rows.batches(old) == {}

    async def test_is_not_removed_where_it_was_opened_again_meanwhile(self, rows: Rows) -> None:
        task = await rows.ended(TaskStatus.FAILED)
        await rows.add_batch(task, 1, {})
        assert await rows.reopen(task)
        await rows.do(lambda repository: repository.remove([task.id]))
        assert await rows.status(task) is TaskStatus.QUEUED
        assert await rows.batches(task) == {1: {}}
