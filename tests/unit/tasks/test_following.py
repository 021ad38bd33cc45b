"""Tasks as those see them who follow them."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import aclosing, asynccontextmanager
from uuid import UUID

from tests.resilience.world import in_virtual_time
from tests.unit.tasks.world import World
from warehouse.tasks.following import LOOK_SECONDS, TaskFeed
from warehouse.tasks.model import Task, TaskStatus

LONG = 100 * LOOK_SECONDS


class Seen:
    """What a follower has seen."""

    def __init__(self, feed: TaskFeed, task: Task, beat: int | None = None) -> None:
        self.tasks: list[Task] = []
        self._work = asyncio.create_task(self._follow(feed, task, beat))

    async def _follow(self, feed: TaskFeed, task: Task, beat: int | None) -> None:
        async with aclosing(feed.follow(task, beat)) as changes:
            async for each in changes:
                self.tasks.append(each)

    @property
    def beats(self) -> Sequence[int]:
        return [task.beat for task in self.tasks]

    async def to_the_end(self) -> Sequence[int]:
        await self._work
        return self.beats

    async def leave(self) -> None:
        self._work.cancel()
        await asyncio.gather(self._work, return_exceptions=True)


@asynccontextmanager
async def following(world: World) -> AsyncIterator[TaskFeed]:
    feed = TaskFeed(world.uow)
    yield feed
    await feed.close()


def end(world: World, task_id: UUID) -> None:
    world.change(task_id, status=TaskStatus.SUCCEEDED)


@in_virtual_time
async def test_a_follower_sees_the_task_at_once_and_every_change_until_the_end() -> None:
    world = World()
    task_id = world.add()
    async with following(world) as feed:
        seen = Seen(feed, world.task(task_id))
        await asyncio.sleep(0)
        assert seen.beats == [1]
        for _ in range(3):
            world.change(task_id, status=TaskStatus.RUNNING)
            await asyncio.sleep(2 * LOOK_SECONDS)
        end(world, task_id)
        assert await seen.to_the_end() == [1, 2, 3, 4, 5]


@in_virtual_time
async def test_a_follower_who_comes_between_two_looks_sees_nothing_older_than_he_knows() -> None:
    world = World()
    task_id = world.add()
    async with following(world) as feed:
        first = Seen(feed, world.task(task_id))
        await asyncio.sleep(LOOK_SECONDS / 2)
        world.change(task_id, status=TaskStatus.RUNNING)
        world.change(task_id, status=TaskStatus.RUNNING)
        knowing, new = Seen(feed, world.task(task_id), beat=3), Seen(feed, world.task(task_id))
        await asyncio.sleep(LONG)
        end(world, task_id)
        assert await first.to_the_end() == [1, 3, 4]
        assert await knowing.to_the_end() == [4]
        assert await new.to_the_end() == [3, 4]


@in_virtual_time
async def test_many_followers_of_many_tasks_cost_one_look_a_moment() -> None:
    world = World()
    tasks = [world.task(world.add()) for _ in range(20)]
    async with following(world) as feed:
        followers = [Seen(feed, task) for task in tasks for _ in range(5)]
        await asyncio.sleep(LONG)
        assert world.database.begun <= LONG / LOOK_SECONDS + 2
        for each in followers:
            await each.leave()
        begun = world.database.begun
        await asyncio.sleep(LONG)
        assert world.database.begun <= begun + 1


@in_virtual_time
async def test_a_task_that_is_removed_ends_the_stream() -> None:
    world = World()
    task_id = world.add()
    async with following(world) as feed:
        seen = Seen(feed, world.task(task_id))
        await asyncio.sleep(LONG)
        del world.database.rows[task_id]
        async with asyncio.timeout(4 * LOOK_SECONDS):
            assert await seen.to_the_end() == [1]


@in_virtual_time
async def test_followers_wait_while_the_database_is_away() -> None:
    world = World()
    task_id = world.add()
    async with following(world) as feed:
        seen = Seen(feed, world.task(task_id))
        await asyncio.sleep(LONG)
        world.database.is_away = True
        await asyncio.sleep(LONG)
        end(world, task_id)
        world.database.is_away = False
        assert await seen.to_the_end() == [1, 2]


@in_virtual_time
async def test_who_comes_after_all_have_left_is_told_again() -> None:
    world = World()
    task_id = world.add()
    async with following(world) as feed:
        await Seen(feed, world.task(task_id)).leave()
        await asyncio.sleep(LONG)
        seen = Seen(feed, world.task(task_id))
        await asyncio.sleep(LONG)
        end(world, task_id)
        assert await seen.to_the_end() == [1, 2]
