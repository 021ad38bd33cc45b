"""What nobody needs any more."""

from collections.abc import Sequence
from datetime import timedelta
from uuid import UUID

from warehouse.blobs.store import BlobStore
from warehouse.clock import utc_now
from warehouse.unit_of_work import UnitOfWorkFactory, replayed_on_conflict

ANSWERS_KEPT = timedelta(hours=48)
"""Those of commands: twice what is promised."""
ORPHANS_KEPT = timedelta(days=1)
"""A blob may be there a while before its task."""
AT_ONCE = 500


def upload_key(task_id: UUID) -> str:
    return f"uploads/{task_id}"


def result_key(task_id: UUID, attempt: int) -> str:
    return f"results/{task_id}/{attempt}"


class Purge:
    """Of tasks that ended so long ago, with their uploads and results; of recorded answers; of blobs without a task."""

    def __init__(self, uow: UnitOfWorkFactory, blobs: BlobStore, kept: timedelta) -> None:
        self._uow = uow
        self._blobs = blobs
        self._kept = kept

    async def answers(self) -> int:
        """How many idempotency records were removed."""
        removed = 0
        while some := await self._some_answers():
            removed += some
        return removed

    async def tasks(self) -> int:
        """How many tasks were removed."""
        removed = 0
        while some := await self._some_tasks():
            removed += some
        return removed

    async def orphans(self) -> int:
        """How many blobs without a task were removed, and blobs that never became whole."""
        oldest = utc_now() - ORPHANS_KEPT
        removed = await self._blobs.purge_partial(oldest)
        for prefix in ("uploads/", "results/"):
            async for blob in self._blobs.keys(prefix):
                if blob.modified_at < oldest and await self._is_orphan(blob.key):
                    await self._blobs.delete(blob.key)
                    removed += 1
        return removed

    @replayed_on_conflict
    async def _some_answers(self) -> int:
        async with self._uow() as uow:
            removed = await uow.commands.remove_before(utc_now() - ANSWERS_KEPT, AT_ONCE)
            await uow.commit()
        return removed

    async def _some_tasks(self) -> int:
        ids = await self._forget_some()
        for task_id in ids:
            # Last, for nobody is to do a task again whose upload is gone; what is left after a kill is an orphan.
            await self._blobs.delete(upload_key(task_id))
            for key in [blob.key async for blob in self._blobs.keys(f"results/{task_id}/")]:
                await self._blobs.delete(key)
        return len(ids)

    @replayed_on_conflict
    async def _forget_some(self) -> Sequence[UUID]:
        async with self._uow() as uow:
            ids = await uow.tasks.finished_before(utc_now() - self._kept, AT_ONCE)
            if ids:
                await uow.tasks.remove(ids)
                await uow.commit()
        return ids

    async def _is_orphan(self, key: str) -> bool:
        try:
            task_id = UUID(key.split("/")[1])
        except ValueError:
            return False  # Somebody else has put it there.
        async with self._uow(read_only=True) as uow:
            return await uow.tasks.get(task_id) is None
