"""Workers, sweeps, cancellations and retries on tasks, in an order that a seed decides: first one after the other
beside a model that says what each of them finds, then all at once.

The workers here may be taken for dead at any time and go on all the same.
"""

import asyncio
import random
from collections import defaultdict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

import pytest

from tests.contract.ledger import CALLER
from tests.faults.chance import LONG, new_seed, seeded
from warehouse.clock import utc_now
from warehouse.tasks.model import (
    ATTEMPTS,
    OpenTask,
    TaskDraft,
    TaskEnding,
    TaskQueue,
    TaskStatus,
    new_task,
)
from warehouse.unit_of_work import UnitOfWork, UnitOfWorkFactory, replayed_on_conflict

STEPS = 2000 if LONG else 250
TASKS = 4
BATCHES = 3
WORKERS = 4

Work = Callable[[UnitOfWork], Awaitable[bool]]


@pytest.fixture
def seed() -> int:
    seed = new_seed()
    print(f"WAREHOUSE_TEST_SEED={seed}")  # noqa: T201 (pytest shows it where the test fails)
    return seed


class Board:
    """The tasks' rows, and what changes them."""

    def __init__(self, uow: UnitOfWorkFactory) -> None:
        self._uow = uow

    @replayed_on_conflict
    async def do(self, work: Work) -> bool:
        async with self._uow() as uow:
            found = await work(uow)
            await uow.commit()
        return found

    async def add(self) -> UUID:
        draft = TaskDraft("machine", TaskQueue.LONG, {})
        async with self._uow() as uow:
            await uow.tasks.add(new_task(draft, CALLER, "tester", utc_now()))
            await uow.commit()
        return draft.id

    async def look(self, task_id: UUID) -> OpenTask:
        async with self._uow(read_only=True) as uow:
            task = await uow.tasks.get(task_id)
        assert task is not None
        return OpenTask(**{name: getattr(task, name) for name in OpenTask.__dataclass_fields__})

    async def batches(self, task_id: UUID) -> dict[int, int]:
        """By which attempt each was done."""
        async with self._uow(read_only=True) as uow:
            found = await uow.tasks.batches(task_id)
        return {number: outcome["attempt"] for number, outcome in found.items()}

    async def start(self, task_id: UUID, attempt: int) -> bool:
        return await self.do(lambda uow: uow.tasks.start(task_id, attempt, utc_now()))

    async def batch(self, task_id: UUID, attempt: int, number: int) -> bool:
        """As handlers do one: hold the task, and leave the mark with the effect."""

        async def work(uow: UnitOfWork) -> bool:
            if not await uow.tasks.advance(task_id, attempt, number, BATCHES):
                return False
            if number not in await uow.tasks.batches(task_id):
                await uow.tasks.add_batch(task_id, number, {"attempt": attempt})
            return True

        return await self.do(work)

    async def finish(self, task_id: UUID, attempt: int) -> bool:
        ending = TaskEnding(TaskStatus.SUCCEEDED, BATCHES, BATCHES)
        return await self.do(lambda uow: uow.tasks.finish(task_id, attempt, ending, utc_now()))

    async def give_back(self, task_id: UUID, attempt: int, *, free: bool) -> bool:
        return await self.do(lambda uow: uow.tasks.give_back(task_id, attempt, free=free))

    async def sweep(self, seen: OpenTask) -> bool:
        if seen.cancelling:
            return await self.do(lambda uow: uow.tasks.end_abandoned(seen, TaskStatus.CANCELLED, utc_now(), None))
        if seen.attempt >= seen.most_attempts:
            return await self.do(lambda uow: uow.tasks.end_abandoned(seen, TaskStatus.FAILED, utc_now(), None))
        return await self.do(lambda uow: uow.tasks.take_away(seen))

    async def cancel(self, task_id: UUID) -> bool:
        return await self.do(lambda uow: uow.tasks.cancel(task_id, utc_now()))

    async def reopen(self, task_id: UUID) -> bool:
        return await self.do(lambda uow: uow.tasks.reopen(task_id))


@dataclass
class Expected:
    """What the row of a task has to be."""

    status: TaskStatus = TaskStatus.QUEUED
    attempt: int = 0
    most: int = ATTEMPTS
    cancelling: bool = False
    changes: int = 0
    done: dict[int, int] = field(default_factory=dict)

    @property
    def is_open(self) -> bool:
        return self.status in (TaskStatus.QUEUED, TaskStatus.RUNNING)

    def runs(self, attempt: int) -> bool:
        return self.status is TaskStatus.RUNNING and self.attempt == attempt


class Machine:
    """One step after the other. `seen` are looks of sweeps, however long ago; `numbers` attempts of workers that may
    have been superseded long ago."""

    def __init__(self, board: Board, chance: random.Random, ids: list[UUID]) -> None:
        self.board = board
        self.chance = chance
        self.expected = {task_id: Expected() for task_id in ids}
        self.seen: dict[UUID, list[tuple[OpenTask, int]]] = defaultdict(list)

    async def step(self) -> None:
        names = "start", "batch", "batch", "finish", "give_back", "look", "sweep", "cancel", "reopen"
        weights = 8, 8, 8, 1, 2, 8, 6, 1, 2
        [name] = self.chance.choices(names, weights)
        task_id = self.chance.choice(list(self.expected))
        await getattr(self, name)(task_id, self.expected[task_id])

    async def start(self, task_id: UUID, task: Expected) -> None:
        attempt = self.attempt(task)
        may = task.status is TaskStatus.QUEUED and task.attempt == attempt
        assert await self.board.start(task_id, attempt) is may
        if may:
            self.change(task, TaskStatus.RUNNING)
            task.attempt += 1

    async def batch(self, task_id: UUID, task: Expected) -> None:
        attempt, number = self.attempt(task), self.chance.randrange(BATCHES)
        may = task.runs(attempt)
        assert await self.board.batch(task_id, attempt, number) is may
        if may:
            self.change(task, task.status)
            task.done.setdefault(number, attempt)

    async def finish(self, task_id: UUID, task: Expected) -> None:
        attempt = self.attempt(task)
        may = task.runs(attempt)
        assert await self.board.finish(task_id, attempt) is may
        if may:
            self.change(task, TaskStatus.SUCCEEDED)

    async def give_back(self, task_id: UUID, task: Expected) -> None:
        attempt, free = self.attempt(task), self.chance.random() < 0.5
        may = task.runs(attempt)
        assert await self.board.give_back(task_id, attempt, free=free) is may
        if may:
            self.change(task, TaskStatus.QUEUED)
            task.most += free

    async def look(self, task_id: UUID, task: Expected) -> None:
        self.seen[task_id].append((await self.board.look(task_id), task.changes))

    async def sweep(self, task_id: UUID, task: Expected) -> None:
        if not self.seen[task_id]:
            return
        seen, changes = self.chance.choice(self.seen[task_id])
        may = task.status is TaskStatus.RUNNING and task.changes == changes
        assert await self.board.sweep(seen) is may
        if may:
            lost = TaskStatus.FAILED if task.attempt >= task.most else TaskStatus.QUEUED
            self.change(task, TaskStatus.CANCELLED if task.cancelling else lost)

    async def cancel(self, task_id: UUID, task: Expected) -> None:
        may = task.is_open
        assert await self.board.cancel(task_id) is may
        if may:
            is_queued = task.status is TaskStatus.QUEUED
            if not task.cancelling:
                self.change(task, task.status)
            task.cancelling = not is_queued
            task.status = TaskStatus.CANCELLED if is_queued else task.status

    async def reopen(self, task_id: UUID, task: Expected) -> None:
        may = task.status in (TaskStatus.FAILED, TaskStatus.CANCELLED)
        assert await self.board.reopen(task_id) is may
        if may:
            self.change(task, TaskStatus.QUEUED)
            task.most, task.cancelling = task.attempt + ATTEMPTS, False

    def attempt(self, task: Expected) -> int:
        """Mostly the one that there is."""
        return task.attempt if self.chance.random() < 0.6 else self.chance.randint(0, task.attempt + 1)

    def change(self, task: Expected, status: TaskStatus) -> None:
        task.status = status
        task.changes += 1

    async def check(self) -> None:
        for task_id, task in self.expected.items():
            found = await self.board.look(task_id)
            seen = found.status, found.attempt, found.most_attempts, found.cancelling, found.beat
            assert seen == (task.status, task.attempt, task.most, task.cancelling, 1 + task.changes)
            assert await self.board.batches(task_id) == task.done


async def test_every_change_finds_what_the_model_says(seed: int, uow_factory: UnitOfWorkFactory) -> None:
    board = Board(uow_factory)
    machine = Machine(board, seeded(seed), [await board.add() for _ in range(TASKS)])
    for number in range(STEPS):
        await machine.step()
        if number % 20 == 0:
            # One that has succeeded is done with.
            machine.expected = {
                (await board.add() if task.status is TaskStatus.SUCCEEDED else task_id): (
                    Expected() if task.status is TaskStatus.SUCCEEDED else task
                )
                for task_id, task in machine.expected.items()
            }
        await machine.check()


class Storm:
    """All at once. `wrote` are the writes that workers were told of to stand."""

    def __init__(self, board: Board, chance: random.Random, ids: list[UUID]) -> None:
        self.board = board
        self.chance = chance
        self.open = set(ids)
        self.wrote: dict[tuple[UUID, int], list[int]] = defaultdict(list)
        self.ends: dict[UUID, list[int]] = defaultdict(list)

    async def worker(self) -> None:
        while self.open:
            task_id = self.chance.choice(sorted(self.open))
            task = await self.board.look(task_id)
            if not await self.board.start(task_id, task.attempt):
                continue
            await self._work(task_id, task.attempt + 1)

    async def _work(self, task_id: UUID, attempt: int) -> None:
        for number in range(BATCHES):
            if self.chance.random() < 0.1:
                return  # killed
            if not await self.board.batch(task_id, attempt, number):
                return
            self.wrote[task_id, number].append(attempt)
        if self.chance.random() < 0.2:
            await self.board.give_back(task_id, attempt, free=self.chance.random() < 0.5)
        elif await self.board.finish(task_id, attempt):
            self.ends[task_id].append(attempt)

    async def sweeper(self) -> None:
        """Takes everybody for dead who has not moved between two looks."""
        seen: dict[UUID, OpenTask] = {}
        while self.open:
            for task_id in sorted(self.open):
                task = await self.board.look(task_id)
                if task.status is TaskStatus.SUCCEEDED:
                    self.open.discard(task_id)
                elif task.status is TaskStatus.RUNNING and seen.get(task_id) == task:
                    await self.board.sweep(task)
                elif task.status in (TaskStatus.FAILED, TaskStatus.CANCELLED):
                    await self.board.reopen(task_id)
                seen[task_id] = task

    async def meddler(self) -> None:
        for _ in range(10):
            task_id = self.chance.choice(sorted(self.open) or [UUID(int=0)])
            await self.board.cancel(task_id)


async def test_all_at_once_every_task_ends_with_each_of_its_effects_once(
    seed: int, uow_factory: UnitOfWorkFactory
) -> None:
    board = Board(uow_factory)
    ids = [await board.add() for _ in range(TASKS * 5)]
    storm = Storm(board, seeded(seed), ids)
    workers: list[Any] = [storm.worker() for _ in range(WORKERS)]
    async with asyncio.timeout(60):
        await asyncio.gather(*workers, storm.sweeper(), storm.sweeper(), storm.meddler())
    for task_id in ids:
        done = await board.batches(task_id)
        assert sorted(done) == list(range(BATCHES))
        assert len(storm.ends[task_id]) == 1
        for number, attempt in done.items():
            told = storm.wrote[task_id, number]
            # Each attempt was told so once, and the first of them did it.
            assert len(told) == len(set(told))
            assert attempt == min(told)
