"""Workers and what stands in their queues: tasks of both kinds, garbage of every kind, and jobs of workers that are
gone."""

import asyncio
import gc
import logging
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from typing import Any
from uuid import UUID

import orjson
import pytest
import redis
from arq.constants import in_progress_key_prefix, job_key_prefix, retry_key_prefix

from tests.unit.tasks.world import counted
from tests.worker.conftest import PinnedValkey, eventually
from tests.worker.desk import Desk, desk_of
from tests.worker.kinds import kinds
from warehouse.ids import new_id
from warehouse.tasks.arq_queue import RUN_TASK, queue_name
from warehouse.tasks.arq_worker import CLAIM_SECONDS, GARBAGE
from warehouse.tasks.model import TaskQueue, TaskStatus
from warehouse.tasks.running import Running, TaskKind, TaskRunner
from warehouse.tasks.sweeping import Sweep
from warehouse.tasks.worker import Duties, Duty, run_in_process

SHORT, LONG = (queue_name(queue) for queue in TaskQueue)

Working = Callable[..., AbstractAsyncContextManager[None]]


@pytest.fixture
def server(pinned_valkey: PinnedValkey) -> Any:
    with pinned_valkey.up() as client:
        yield client


@pytest.fixture
async def desk(own_url: str, pinned_valkey: PinnedValkey, server: "redis.Redis") -> AsyncIterator[Desk]:
    async with desk_of(own_url, pinned_valkey.url) as desk:
        yield desk


@pytest.fixture
def working(desk: Desk, pinned_valkey: PinnedValkey) -> Working:
    """A worker in this process."""

    @asynccontextmanager
    async def working(*, at_once: int = 4, more: Mapping[str, TaskKind] | None = None) -> AsyncIterator[None]:
        runner = TaskRunner(desk.uow, {**kinds(desk.uow), **(more or {})})
        regular: list[Duty] = []
        duties = Duties(runner, Sweep(desk.uow, desk.queue), regular, at_once=at_once)
        task = asyncio.create_task(run_in_process(pinned_valkey.url, duties))
        try:
            yield
            assert not task.done()
        finally:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task
            gc.collect()

    return working


def content(**changes: Any) -> bytes:
    job: dict[str, Any] = {"t": None, "f": RUN_TASK, "a": [str(new_id()), 0], "k": {}, "et": 0}
    return orjson.dumps({**job, **changes})


GARBAGE_OF_JOBS: dict[str, bytes | None] = {
    "without a key": None,
    "empty": b"",
    "no JSON": b"\x80\x04\x95pickle",
    "not UTF-8": b'{"f": "\xff"}',
    "no object": b"[1, 2]",
    "nothing": b"null",
    "without a function": b"{}",
    "an unknown function": content(f="drop_tables"),
    "a function that is no name": content(f=["run_task"]),
    "an object for a function": content(f={}),
    "no function": content(f=None),
    "no arguments": content(a=[]),
    "arguments that are no list": content(a=7),
    "nothing for arguments": content(a=None),
    "text for arguments": content(a="ab"),
    "too many arguments": content(a=[str(new_id()), 0, 0]),
    "named arguments": content(k={"attempt": 1}),
    "named arguments that are none": content(k=[1]),
    "a task that is no UUID": content(a=["../../etc/passwd", 0]),
    "a number for a task": content(a=[7, 0]),
    "no task": content(a=[None, 0]),
    "a task that is not there": content(),
    "an attempt that is no number": content(a=[str(new_id()), "0"]),
    "an attempt below zero": content(a=[str(new_id()), -1]),
    "an attempt beyond what databases count": content(a=[str(new_id()), 2**40]),
    "a try that is no number": content(t="x"),
    "a time that is no number": content(et="x"),
    "a time beyond all calendars": content(et=10**18),
}


class TestGarbage:
    @pytest.mark.parametrize("kind", GARBAGE_OF_JOBS)
    async def test_in_a_job_is_put_aside(
        self, kind: str, desk: Desk, server: "redis.Redis", working: Working, caplog: pytest.LogCaptureFixture
    ) -> None:
        caplog.set_level(logging.WARNING)
        before = counted("warehouse_queue_garbage_total")
        garbage = GARBAGE_OF_JOBS[kind]
        if garbage is not None:
            server.set(f"{job_key_prefix}0", garbage)
        server.zadd(SHORT, {"0": 1})
        async with working():
            await self.check(desk, server, ["0"])
        assert counted("warehouse_queue_garbage_total") == before + 1
        assert not any(message.startswith("worker.restarting") for message in caplog.messages)
        assert not server.exists(f"{job_key_prefix}0", f"{in_progress_key_prefix}0", f"{retry_key_prefix}0")

    async def test_that_is_no_text_is_put_aside(
        self, desk: Desk, pinned_valkey: PinnedValkey, server: "redis.Redis", working: Working
    ) -> None:
        members = [b"\xff\xfe", b"\x80" * 5000, b"0\xc3"]
        with redis.Redis.from_url(pinned_valkey.url) as raw:
            raw.zadd(SHORT, dict.fromkeys(members, 1))
            raw.zadd(LONG, dict.fromkeys(members, 1))
            async with working():
                task_id = await desk.add("wait", seconds=0)
                await desk.until_ended([task_id])
                await eventually(lambda: empty(server))
            kept = raw.lrange(GARBAGE, 0, -1)
        assert isinstance(kept, list)
        assert sorted(kept) == sorted([each[:1000] for each in members] * 2)

    @pytest.mark.parametrize("prefix", [job_key_prefix, retry_key_prefix])
    async def test_under_a_jobs_key_of_another_type_is_put_aside(
        self, prefix: str, desk: Desk, server: "redis.Redis", working: Working
    ) -> None:
        server.set(f"{job_key_prefix}0", content())
        server.delete(f"{prefix}0")
        server.rpush(f"{prefix}0", "a", "b")
        server.zadd(SHORT, {"0": 1})
        async with working():
            await self.check(desk, server, ["0"])

    async def test_in_any_number_is_kept_to_a_bound_and_stops_nobody(
        self, desk: Desk, server: "redis.Redis", working: Working
    ) -> None:
        server.zadd(SHORT, {f"0{number:05}": 1 for number in range(1500)})
        task_id = await desk.add("wait", seconds=0)
        async with working():
            await desk.until_ended([task_id])
            await eventually(lambda: empty(server))
        assert server.llen(GARBAGE) == 1000

    async def check(self, desk: Desk, server: "redis.Redis", garbage: list[str]) -> None:
        """What is good gets done beside it."""
        task_id = await desk.add("wait", seconds=0)
        [task] = await desk.until_ended([task_id])
        assert (task.status, task.attempt) == (TaskStatus.SUCCEEDED, 1)
        await eventually(lambda: empty(server))
        assert server.lrange(GARBAGE, 0, -1) == garbage


async def empty(server: "redis.Redis") -> bool:
    return not server.exists(SHORT, LONG)


class TestTwoQueues:
    async def test_a_hundred_long_tasks_do_not_keep_a_short_one_waiting(self, desk: Desk, working: Working) -> None:
        loop = asyncio.get_running_loop()
        async with working(at_once=2):
            long = [await desk.add("wait", TaskQueue.LONG, seconds=600) for _ in range(100)]
            await desk.until(long[:2], TaskStatus.RUNNING)
            began = loop.time()
            short = [await desk.add("wait", seconds=0) for _ in range(5)]
            await desk.until_ended(short)
            assert loop.time() - began < 5
            tasks = await desk.find(long)
            assert [task.status for task in tasks] == [TaskStatus.RUNNING] * 2 + [TaskStatus.QUEUED] * 98
        await clear(desk, long)

    async def test_regular_duties_wait_for_no_task(self, desk: Desk, pinned_valkey: PinnedValkey) -> None:
        done = asyncio.Event()

        async def duty() -> None:
            done.set()

        runner = TaskRunner(desk.uow, kinds(desk.uow))
        every_second = [Duty("test", duty, second=frozenset(range(60)))]
        duties = Duties(runner, Sweep(desk.uow, desk.queue), every_second, at_once=1)
        tasks = [await desk.add("wait", seconds=600) for _ in range(20)]
        working = asyncio.create_task(run_in_process(pinned_valkey.url, duties))
        await desk.until(tasks[:1], TaskStatus.RUNNING)
        async with asyncio.timeout(10):
            await done.wait()
        working.cancel()
        await asyncio.wait([working])
        gc.collect()
        await clear(desk, tasks)


async def clear(desk: Desk, tasks: list[UUID]) -> None:
    """Lest other tests' workers have them."""
    async with desk.uow() as uow:
        for task in await uow.tasks.find(tasks):
            assert await uow.tasks.cancel(task.id, task.created_at)
        await uow.commit()
    assert {task.status for task in await desk.find(tasks)} == {TaskStatus.CANCELLED}


class TestAClaim:
    async def test_lasts_no_longer_than_a_worker_may_be_silent(
        self, desk: Desk, server: "redis.Redis", working: Working
    ) -> None:
        async with working():
            task_id = await desk.add("wait", seconds=600)
            await desk.until([task_id], TaskStatus.RUNNING)
            left = server.pttl(f"{in_progress_key_prefix}{task_id}:0")
            assert isinstance(left, int)
            assert 0 < left <= CLAIM_SECONDS * 1000
        await clear(desk, [task_id])

    async def test_of_a_worker_that_died_before_it_began_the_task_gives_it_free(
        self, desk: Desk, server: "redis.Redis", working: Working
    ) -> None:
        task_id = await desk.add("wait", seconds=0)
        server.set(f"{in_progress_key_prefix}{task_id}:0", "1", px=1500)
        async with working():
            [task] = await desk.until_ended([task_id], 30)
        assert (task.status, task.attempt) == (TaskStatus.SUCCEEDED, 1)

    async def test_that_has_run_out_makes_nobody_begin_the_task_again(
        self, desk: Desk, server: "redis.Redis", working: Working
    ) -> None:
        begun: list[UUID] = []
        may_end = asyncio.Event()

        async def work(running: Running) -> None:
            begun.append(running.task.id)
            await may_end.wait()

        kind = {"held": TaskKind(work, 60)}
        async with working(more=kind), working(more=kind):
            task_id = await desk.add("held")
            await desk.until([task_id], TaskStatus.RUNNING)
            server.delete(f"{in_progress_key_prefix}{task_id}:0")
            # The other worker passes it over, and takes the job out of the queue.
            await eventually(lambda: empty(server))
            may_end.set()
            [task] = await desk.until_ended([task_id])
        assert (begun, task.status, task.attempt) == ([task_id], TaskStatus.SUCCEEDED, 1)

    async def test_that_has_run_out_does_not_make_the_worker_forget_what_it_has(
        self, desk: Desk, server: "redis.Redis", working: Working
    ) -> None:
        async with working():
            task_id = await desk.add("wait", seconds=600)
            await desk.until([task_id], TaskStatus.RUNNING)
            server.delete(f"{in_progress_key_prefix}{task_id}:0")
            other = await desk.add("wait", seconds=0)
            await desk.until_ended([other])
            assert (await desk.get(task_id)).attempt == 1
        task = await desk.get(task_id)
        assert (task.status, task.attempt, task.most_attempts) == (TaskStatus.QUEUED, 1, 4)
        await clear(desk, [task_id])
