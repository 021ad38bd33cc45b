"""Tasks that work on what was uploaded for them."""

from collections.abc import AsyncIterable, Callable

from warehouse.blobs import Blob, BlobStore
from warehouse.commands.model import Command, Outcome
from warehouse.errors import Conflict, Invalid, Overloaded
from warehouse.tasks.model import Task, TaskDraft
from warehouse.tasks.purging import upload_key
from warehouse.tasks.service import TaskService


class TaskUploads:
    def __init__(self, tasks: TaskService, blobs: BlobStore) -> None:
        self._tasks = tasks
        self._blobs = blobs

    async def submit(
        self, draft: TaskDraft, chunks: AsyncIterable[bytes], command_of: Callable[[Blob], Command]
    ) -> Outcome[Task]:
        """Keep the upload, all of it or nothing, and hand in its task. What is refused or was handed in before keeps
        nothing; where it is not known whether the task is there, the purge sees to the upload.

        Raises what `chunks`, the store and `TaskService.submit` raise.
        """
        blob = await self._blobs.put(upload_key(draft.id), chunks)
        try:
            outcome = await self._tasks.submit(command_of(blob), draft)
        except (Overloaded, Invalid, Conflict):
            await self._blobs.delete(blob.key)
            raise
        if outcome.replayed:
            await self._blobs.delete(blob.key)
        return outcome
