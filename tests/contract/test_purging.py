"""What nobody needs any more goes, on every database, and nothing that is younger."""

import os
from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from tests.contract.ledger import command
from warehouse.blobs.folder import PARTIALS, FolderBlobStore
from warehouse.clock import utc_now
from warehouse.commands.model import Answer
from warehouse.ids import new_id
from warehouse.tasks.model import Task, TaskDraft, TaskEnding, TaskQueue, TaskStatus, new_task
from warehouse.tasks.purging import ANSWERS_KEPT, ORPHANS_KEPT, Purge, result_key, upload_key
from warehouse.unit_of_work import UnitOfWorkFactory

KEPT = timedelta(days=7)
MOMENT = timedelta(minutes=1)


class Desk:
    """Tasks and blobs of any age."""

    def __init__(self, uow: UnitOfWorkFactory, folder: Path) -> None:
        self.uow = uow
        self.folder = folder
        self.blobs = FolderBlobStore(folder)
        self.purge = Purge(uow, self.blobs, KEPT)

    async def task(self, finished_at: datetime | None) -> Task:
        """With an upload, two attempts' results, and what it has done in part."""
        task = new_task(TaskDraft("import_products", TaskQueue.LONG, {}), new_id(), "test", utc_now())
        async with self.uow() as uow:
            await uow.tasks.add(task)
            await uow.tasks.start(task.id, 0, utc_now())
            await uow.tasks.add_batch(task.id, 0, {"rows": 1})
            if finished_at is not None:
                assert await uow.tasks.finish(task.id, 1, TaskEnding(TaskStatus.FAILED), finished_at)
            await uow.commit()
        for key in keys(task):
            await self.blob(key, timedelta())
        return task

    async def blob(self, key: str, age: timedelta) -> Path:
        await self.blobs.put(key, _content())
        path = self.folder / key
        moment = (utc_now() - age).timestamp()
        os.utime(path, (moment, moment))
        return path

    async def has(self, task: Task) -> bool:
        async with self.uow(read_only=True) as uow:
            return await uow.tasks.get(task.id) is not None

    async def is_whole(self, task: Task) -> bool:
        async with self.uow(read_only=True) as uow:
            batches = await uow.tasks.batches(task.id)
        return bool(batches) and await self.has(task) and all((self.folder / key).exists() for key in keys(task))

    async def is_gone(self, task: Task) -> bool:
        async with self.uow(read_only=True) as uow:
            batches = await uow.tasks.batches(task.id)
        return not (batches or await self.has(task) or any((self.folder / key).exists() for key in keys(task)))


def keys(task: Task) -> list[str]:
    return [upload_key(task.id), result_key(task.id, 1), result_key(task.id, 2)]


async def _content() -> AsyncIterator[bytes]:
    yield b"sku\n"


@pytest.fixture
def desk(uow_factory: UnitOfWorkFactory, tmp_path: Path) -> Desk:
    return Desk(uow_factory, tmp_path / "blobs")


class TestTasks:
    async def test_that_ended_long_ago_go_with_all_that_is_theirs(self, desk: Desk) -> None:
        old = [await desk.task(utc_now() - KEPT - MOMENT) for _ in range(3)]
        young, running = await desk.task(utc_now() - KEPT + MOMENT), await desk.task(None)
        assert await desk.purge.tasks() == 3
        assert all([await desk.is_gone(task) for task in old])
        assert await desk.is_whole(young)
        assert await desk.is_whole(running)
        assert await desk.purge.tasks() == 0

    async def test_more_than_go_at_once_go_one_after_the_other(
        self, desk: Desk, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("warehouse.tasks.purging.AT_ONCE", 2)
        old = [await desk.task(utc_now() - KEPT - MOMENT) for _ in range(5)]
        assert await desk.purge.tasks() == 5
        assert all([await desk.is_gone(task) for task in old])

    async def test_that_are_done_again_stay(self, desk: Desk) -> None:
        task = await desk.task(utc_now() - KEPT - MOMENT)
        async with desk.uow() as uow:
            assert await uow.tasks.reopen(task.id)
            await uow.commit()
        assert await desk.purge.tasks() == 0
        assert await desk.is_whole(task)

    async def test_whose_blobs_are_gone_already_go_as_well(self, desk: Desk) -> None:
        task = await desk.task(utc_now() - KEPT - MOMENT)
        for key in keys(task):
            await desk.blobs.delete(key)
        assert await desk.purge.tasks() == 1
        assert await desk.is_gone(task)


class TestOrphans:
    async def test_old_blobs_without_a_task_go(self, desk: Desk) -> None:
        task = await desk.task(None)
        kept = [await desk.blob(key, ORPHANS_KEPT + MOMENT) for key in keys(task)]
        gone = [await desk.blob(key, ORPHANS_KEPT + MOMENT) for key in (upload_key(new_id()), result_key(new_id(), 1))]
        young = await desk.blob(upload_key(new_id()), ORPHANS_KEPT - MOMENT)
        assert await desk.purge.orphans() == 2
        assert all(path.exists() for path in (*kept, young))
        assert not any(path.exists() for path in gone)

    async def test_what_never_became_whole_goes(self, desk: Desk) -> None:
        await desk.blob(upload_key(new_id()), timedelta())
        old, young = desk.folder / PARTIALS / "old", desk.folder / PARTIALS / "young"
        for path, age in ((old, ORPHANS_KEPT + MOMENT), (young, timedelta())):
            path.write_bytes(b"half")
            moment = (utc_now() - age).timestamp()
            os.utime(path, (moment, moment))
        assert await desk.purge.orphans() == 1
        assert (old.exists(), young.exists()) == (False, True)

    async def test_what_is_not_ours_stays_and_is_in_nobodys_way(self, desk: Desk) -> None:
        foreign = [await desk.blob(key, 2 * ORPHANS_KEPT) for key in ("uploads/notes", "results/x/1", "other/y")]
        ours = await desk.blob(result_key(new_id(), 1), 2 * ORPHANS_KEPT)
        assert await desk.purge.orphans() == 1
        assert all(path.exists() for path in foreign)
        assert not ours.exists()


async def test_answers_go_after_two_days(desk: Desk) -> None:
    commands = {age: command(str(new_id())) for age in (ANSWERS_KEPT + MOMENT, ANSWERS_KEPT - MOMENT, timedelta())}
    for age, each in commands.items():
        async with desk.uow() as uow:
            assert await uow.commands.claim(each, utc_now() - age)
            await uow.commands.record(each, Answer(200, b"{}"))
            await uow.commit()
    assert await desk.purge.answers() == 1
    async with desk.uow(read_only=True) as uow:
        found = [await uow.commands.find(each.caller_id, str(each.key)) for each in commands.values()]
    assert [record is not None for record in found] == [False, True, True]
