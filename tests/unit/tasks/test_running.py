"""What becomes of an attempt, however it goes."""

import asyncio
import logging
from uuid import UUID

import pytest

from tests.resilience.world import in_virtual_time
from tests.unit.tasks.world import World, counted
from warehouse.errors import (
    Code,
    Conflict,
    ConnectionLost,
    FieldError,
    Invalid,
    NotFound,
    OutcomeUnknown,
    Overloaded,
    TransactionConflict,
    Unavailable,
    WarehouseError,
)
from warehouse.ids import new_id
from warehouse.resilience import CircuitOpenError
from warehouse.tasks.model import ATTEMPTS, Superseded, TaskError, TaskFault, TaskResult, TaskStatus
from warehouse.tasks.running import BEAT_SECONDS, Handler, Running

RESULT = TaskResult("reports/1", "text/csv", "report.csv", 12)


def raising(*errors: BaseException) -> Handler:
    """One after the other, attempt by attempt; then it succeeds."""
    left = list(errors)

    async def work(running: Running) -> TaskResult | None:
        running.report(3, 7)
        if left:
            raise left.pop(0)
        return RESULT

    return work


async def for_ever(running: Running) -> TaskResult | None:
    await asyncio.Event().wait()
    return None


async def some_time(running: Running) -> TaskResult | None:
    await asyncio.sleep(10 * BEAT_SECONDS)
    return None


class TestAnAttemptThatGoesWell:
    @in_virtual_time
    async def test_ends_the_task_with_its_result(self) -> None:
        world = World(raising())
        task = await world.run(world.add())
        assert (task.status, task.result, task.error) == (TaskStatus.SUCCEEDED, RESULT, None)
        assert (task.attempt, task.done, task.total) == (1, 3, 7)
        assert task.finished_at is not None

    @in_virtual_time
    async def test_may_have_no_result(self) -> None:
        world = World(some_time)
        task = await world.run(world.add())
        assert (task.status, task.result) == (TaskStatus.SUCCEEDED, None)

    @in_virtual_time
    async def test_is_begun_once_of_many_times(self) -> None:
        world = World(some_time)
        task_id = world.add()
        before = counted("warehouse_task_attempts_total", kind="work", outcome="succeeded")
        await asyncio.gather(*[world.runner.run(task_id, 0) for _ in range(5)])
        assert world.task(task_id).attempt == 1
        assert counted("warehouse_task_attempts_total", kind="work", outcome="succeeded") == before + 1

    @in_virtual_time
    async def test_is_passed_over_where_somebody_has_had_it(self) -> None:
        world = World(raising(AssertionError("it is not to be begun")))
        task_id = world.add(status=TaskStatus.RUNNING, attempt=1)
        before = world.task(task_id)
        await world.runner.run(task_id, 0)
        assert world.task(task_id) == before

    @in_virtual_time
    async def test_of_no_task_is_refused(self) -> None:
        with pytest.raises(NotFound):
            await World(some_time).runner.run(new_id(), 0)

    @in_virtual_time
    async def test_that_cannot_be_begun_for_the_database_is_away_is_left_to_a_sweep(
        self,
    ) -> None:
        world = World(some_time)
        task_id = world.add()
        world.database.is_away = True
        await world.runner.run(task_id, 0)
        assert world.task(task_id).status is TaskStatus.QUEUED

    @in_virtual_time
    async def test_whose_beginning_was_given_up_for_anothers_sake_begins_all_the_same(self) -> None:
        world = World(raising())
        world.database.fails = [TransactionConflict("Others are first."), ConnectionLost("It broke.")]
        assert (await world.run(world.add())).status is TaskStatus.SUCCEEDED


class TestARefusal:
    @pytest.mark.parametrize(
        "error",
        [
            Invalid("Line 1 has no SKU.", errors=[FieldError("/file", "invalid", "It has no SKU.")]),
            Conflict("It is archived.", code=Code.ARCHIVED),
            NotFound("There is no such warehouse."),
        ],
    )
    def test_ends_the_task_at_once_in_its_own_words(self, error: WarehouseError) -> None:
        @in_virtual_time
        async def refuse() -> None:
            world = World(raising(error))
            task = await world.run(world.add())
            errors = tuple({"pointer": each.pointer, "code": each.code, "detail": each.detail} for each in error.errors)
            assert task.error == TaskError(error.code, error.detail, errors)
            assert (task.status, task.attempt, task.done, task.total) == (TaskStatus.FAILED, 1, 3, 7)

        refuse()

    @in_virtual_time
    async def test_of_a_kind_that_this_release_does_not_know_says_so(self) -> None:
        world = World(some_time)
        before = counted("warehouse_task_attempts_total", kind="unknown", outcome="failed")
        task = await world.run(world.add(kind="alchemy"))
        assert task.error is not None
        assert (task.status, task.error.code) == (TaskStatus.FAILED, TaskFault.UNKNOWN_KIND)
        assert "alchemy" in task.error.detail
        assert counted("warehouse_task_attempts_total", kind="unknown", outcome="failed") == before + 1

    @in_virtual_time
    async def test_by_the_time_that_it_may_take_ends_the_task(self) -> None:
        world = World(for_ever, seconds=5)
        began = asyncio.get_running_loop().time()
        task = await world.run(world.add())
        assert asyncio.get_running_loop().time() - began == pytest.approx(5, abs=0.1)
        assert task.error == TaskError(Code.TIMEOUT, "It took longer than 5 seconds.")
        assert (task.status, task.attempt) == (TaskStatus.FAILED, 1)


class TestAFailure:
    @pytest.mark.parametrize(
        "error",
        [
            Unavailable("The database does not answer."),
            Overloaded("Too much."),
            TransactionConflict("Others are first."),
            OutcomeUnknown("Nobody knows."),
            CircuitOpenError("database", 1.0),
            TimeoutError(),
            RuntimeError("a bug"),
            ExceptionGroup("several", [ValueError()]),
        ],
    )
    def test_is_followed_by_another_attempt(self, error: Exception) -> None:
        @in_virtual_time
        async def fail() -> None:
            world = World(raising(error))
            task_id = world.add()
            task = await world.run(task_id)
            assert (task.status, task.attempt, task.most_attempts) == (TaskStatus.QUEUED, 1, ATTEMPTS)
            task = await world.run(task_id)
            assert (task.status, task.attempt, task.error) == (TaskStatus.SUCCEEDED, 2, None)

        fail()

    @pytest.mark.parametrize(
        ("error", "code"),
        [(Unavailable("The database does not answer."), Code.UNAVAILABLE), (RuntimeError("s3cret"), "internal_error")],
    )
    def test_of_the_last_attempt_ends_the_task_and_tells_no_secret(self, error: Exception, code: str) -> None:
        @in_virtual_time
        async def fail() -> None:
            world = World(raising(*[error] * ATTEMPTS))
            task_id = world.add()
            for _ in range(ATTEMPTS - 1):
                assert (await world.run(task_id)).status is TaskStatus.QUEUED
            task = await world.run(task_id)
            assert task.error is not None
            assert (task.status, task.attempt, task.error.code) == (TaskStatus.FAILED, ATTEMPTS, code)
            assert "attempt 3, the last" in task.error.detail
            assert "s3cret" not in task.error.detail

        fail()

    @in_virtual_time
    async def test_of_the_database_at_the_end_leaves_the_task_to_a_sweep(self) -> None:
        world = World()

        async def lose_it(running: Running) -> TaskResult | None:
            world.database.is_away = True
            return RESULT

        world = World(lose_it)
        before = counted("warehouse_task_attempts_total", kind="work", outcome="lost")
        task = await world.run(world.add())
        assert (task.status, task.attempt, task.result) == (TaskStatus.RUNNING, 1, None)
        assert counted("warehouse_task_attempts_total", kind="work", outcome="lost") == before + 1


class TestOneThatEndsItselfWithItsEffect:
    @in_virtual_time
    async def test_has_ended_when_its_transaction_has(self) -> None:
        world = World()

        async def work(running: Running) -> TaskResult | None:
            running.report(9)
            async with world.uow() as uow:
                await running.finish(uow, RESULT)
                await uow.commit()
            return None

        world = World(work)
        task = await world.run(world.add())
        assert (task.status, task.result, task.done) == (TaskStatus.SUCCEEDED, RESULT, 9)

    @pytest.mark.parametrize(
        ("error", "is_done", "expected"),
        [
            (Unavailable("It broke."), False, TaskStatus.QUEUED),
            (OutcomeUnknown("Nobody knows."), False, TaskStatus.QUEUED),
            (OutcomeUnknown("Nobody knows."), True, TaskStatus.SUCCEEDED),
            (Conflict("It is taken.", code=Code.DUPLICATE_CODE), False, TaskStatus.FAILED),
        ],
    )
    def test_has_not_where_that_was_not_committed(self, error: Exception, is_done: bool, expected: TaskStatus) -> None:
        @in_virtual_time
        async def end() -> None:
            world = World()

            async def work(running: Running) -> TaskResult | None:
                async with world.uow() as uow:
                    await running.finish(uow, RESULT)
                    world.database.breaks = [(error, is_done)]
                    await uow.commit()
                return None

            world = World(work)
            assert (await world.run(world.add())).status is expected

        end()


class TestThePulse:
    @in_virtual_time
    async def test_tells_every_two_seconds_how_far_the_work_is(self) -> None:
        world = World()
        seen: list[tuple[int, int, int | None]] = []

        async def work(running: Running) -> TaskResult | None:
            for number in range(5):
                running.report(number, 5)
                await asyncio.sleep(BEAT_SECONDS)
                row = world.task(running.task.id)
                seen.append((row.beat, row.done, row.total))
            return None

        world = World(work)
        await world.run(world.add())
        beats = [beat for beat, _, _ in seen]
        assert beats[-1] - beats[0] >= 3
        assert [done for _, done, _ in seen][-1] >= 3
        assert seen[-1][2] == 5

    @in_virtual_time
    async def test_hears_that_the_task_is_to_end(self) -> None:
        world = World(for_ever)
        task_id = world.add()
        running = asyncio.create_task(world.run(task_id))
        await asyncio.sleep(2.5 * BEAT_SECONDS)
        world.change(task_id, cancelling=True)
        asked = asyncio.get_running_loop().time()
        task = await running
        assert asyncio.get_running_loop().time() - asked <= 1.1 * BEAT_SECONDS
        assert (task.status, task.error) == (TaskStatus.CANCELLED, None)
        assert task.finished_at is not None

    @in_virtual_time
    async def test_hears_that_the_task_is_anothers_and_writes_nothing_more(self) -> None:
        world = World(for_ever)
        task_id = world.add()
        running = asyncio.create_task(world.run(task_id))
        await asyncio.sleep(1.5 * BEAT_SECONDS)
        world.change(task_id, attempt=2)
        before = world.task(task_id)
        assert await running == before

    @in_virtual_time
    async def test_goes_on_when_the_database_is_away_for_a_while(self) -> None:
        world = World(some_time)
        task_id = world.add()
        running = asyncio.create_task(world.run(task_id))
        await asyncio.sleep(1.5 * BEAT_SECONDS)
        world.database.is_away = True
        await asyncio.sleep(5 * BEAT_SECONDS)
        world.database.is_away = False
        assert (await running).status is TaskStatus.SUCCEEDED

    @in_virtual_time
    async def test_ends_with_the_work(self) -> None:
        world = World(raising())
        task = await world.run(world.add())
        await asyncio.sleep(5 * BEAT_SECONDS)
        assert world.task(task.id) == task
        assert len(asyncio.all_tasks()) == 1


class TestTheFence:
    @in_virtual_time
    async def test_lets_a_superseded_worker_write_nothing(self) -> None:
        world = World()

        async def work(running: Running) -> TaskResult | None:
            world.change(running.task.id, attempt=2)
            async with world.uow() as uow:
                with pytest.raises(Superseded):
                    await running.finish(uow, RESULT)
                await running.hold(uow)
            return None

        world = World(work)
        task_id = world.add()
        task = await world.run(task_id)
        assert (task.status, task.attempt, task.result, task.error) == (TaskStatus.RUNNING, 2, None, None)

    @in_virtual_time
    async def test_lets_the_end_of_a_superseded_one_pass(self, caplog: pytest.LogCaptureFixture) -> None:
        world = World()

        async def work(running: Running) -> TaskResult | None:
            world.change(running.task.id, status=TaskStatus.QUEUED)
            return RESULT

        world = World(work)
        before = counted("warehouse_task_attempts_total", kind="work", outcome="superseded")
        task = await world.run(world.add())
        assert (task.status, task.result) == (TaskStatus.QUEUED, None)
        assert counted("warehouse_task_attempts_total", kind="work", outcome="superseded") == before + 1


class TestAnInterruption:
    async def interrupted(self, world: World, task_id: UUID) -> None:
        running = asyncio.create_task(world.runner.run(task_id, world.task(task_id).attempt))
        await asyncio.sleep(1)
        running.cancel()
        await asyncio.wait([running])

    @in_virtual_time
    async def test_gives_the_task_back_and_does_not_count(self) -> None:
        world = World(for_ever)
        task_id = world.add()
        for number in range(1, 2 * ATTEMPTS):
            await self.interrupted(world, task_id)
            task = world.task(task_id)
            assert (task.status, task.attempt, task.most_attempts) == (TaskStatus.QUEUED, number, ATTEMPTS + number)

    @in_virtual_time
    async def test_of_a_task_that_is_to_end_anyway_ends_it(self) -> None:
        world = World(for_ever)
        task_id = world.add()
        running = asyncio.create_task(world.runner.run(task_id, 0))
        await asyncio.sleep(1)
        world.change(task_id, cancelling=True)
        running.cancel()
        await asyncio.wait([running])
        assert world.task(task_id).status is TaskStatus.CANCELLED

    @in_virtual_time
    async def test_of_a_failure_of_a_task_that_is_to_end_anyway_ends_it(self) -> None:
        world = World()

        async def work(running: Running) -> TaskResult | None:
            world.change(running.task.id, cancelling=True)
            raise Unavailable("It is away.")

        world = World(work)
        assert (await world.run(world.add())).status is TaskStatus.CANCELLED

    @in_virtual_time
    async def test_waits_for_what_the_work_does_at_its_end(self) -> None:
        ended = False

        async def work(running: Running) -> TaskResult | None:
            nonlocal ended
            try:
                await asyncio.Event().wait()
            finally:
                await asyncio.sleep(1)
                ended = True
            return None

        world = World(work)
        task_id = world.add()
        await self.interrupted(world, task_id)
        assert ended
        assert world.task(task_id).status is TaskStatus.QUEUED

    @in_virtual_time
    async def test_while_the_database_is_away_leaves_the_task_to_a_sweep(self) -> None:
        world = World(for_ever)
        task_id = world.add()
        running = asyncio.create_task(world.runner.run(task_id, 0))
        await asyncio.sleep(1)
        world.database.is_away = True
        running.cancel()
        await asyncio.wait([running])
        assert world.task(task_id).status is TaskStatus.RUNNING

    @in_virtual_time
    async def test_does_not_undo_an_end_that_is_written(self) -> None:
        world = World()

        async def work(running: Running) -> TaskResult | None:
            async with world.uow() as uow:
                await running.finish(uow, RESULT)
                await uow.commit()
            await asyncio.Event().wait()
            return None

        world = World(work)
        task_id = world.add()
        await self.interrupted(world, task_id)
        assert world.task(task_id).status is TaskStatus.SUCCEEDED


@in_virtual_time
async def test_a_handler_that_was_cancelled_by_no_one_is_tried_again() -> None:
    world = World(raising(asyncio.CancelledError()))
    task_id = world.add()
    assert (await world.run(task_id)).status is TaskStatus.QUEUED
    assert (await world.run(task_id)).status is TaskStatus.SUCCEEDED


@pytest.fixture(autouse=True)
def quiet(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.CRITICAL)
