"""Tasks over HTTP."""

import re
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import aclosing
from functools import partial
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Depends, Request
from starlette.responses import Response

from warehouse.blobs import BlobStore
from warehouse.clock import utc_now
from warehouse.commands.model import Answer
from warehouse.errors import NotFound
from warehouse.http.access import caller_of
from warehouse.http.downloads import download
from warehouse.http.events import Event, LastEventId, event_stream
from warehouse.http.idempotency import OptionalKey, command_for, json_answer, to_response
from warehouse.http.json import JsonResponse, encode
from warehouse.http.lasting import sends_events, sends_file
from warehouse.http.pagination import Cursor, Limit, PageScope, decode_cursor, page_response
from warehouse.tasks.following import TaskFeed
from warehouse.tasks.model import Task, TaskStatus
from warehouse.tasks.schemas import KindFilter, TaskPage, TaskRead, task_document
from warehouse.tasks.service import TaskService
from warehouse.tasks.uploading import TaskUploads

router = APIRouter(tags=["tasks"])

LOOK_AGAIN_SECONDS = 1

RESULTS: Mapping[str, Any] = {
    "application/octet-stream": {},
    "application/json": {"schema": {"description": "As the kind of the task has it."}},
    "application/x-ndjson": {},
    "application/vnd.apache.parquet": {},
    "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet": {},
    "text/csv": {},
}
"""What results are. Generated clients go by the first, and so take all of them for bytes."""

_BEAT = re.compile(r"[0-9]{1,18}")


async def _tasks(request: Request) -> TaskService:
    service: TaskService = request.app.state.tasks
    return service


async def _uploads(request: Request) -> TaskUploads:
    uploads: TaskUploads = request.app.state.uploads
    return uploads


async def _blobs(request: Request) -> BlobStore:
    blobs: BlobStore = request.app.state.blobs
    return blobs


async def _feed(request: Request) -> TaskFeed:
    feed: TaskFeed = request.app.state.feed
    return feed


Tasks = Annotated[TaskService, Depends(_tasks)]
Uploads = Annotated[TaskUploads, Depends(_uploads)]


def accepted(request: Request, more: Mapping[str, str] | None = None) -> Callable[[Task], Answer]:
    """Makes the answer to a request that became a task, with `more` headers."""
    root = request.scope.get("root_path", "")

    def answer(task: Task) -> Answer:
        headers = {"Location": f"{root}/v1/tasks/{task.id}", "Retry-After": str(LOOK_AGAIN_SECONDS), **(more or {})}
        return json_answer(task_document(task, utc_now(), root), 202, headers)

    return answer


@router.get("/tasks", response_model=TaskPage)
async def list_tasks(
    request: Request,
    tasks: Tasks,
    status: TaskStatus | None = None,
    kind: KindFilter | None = None,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> Response:
    """The tasks that were handed in with your key, the newest first; with an admin key those of all."""
    caller = caller_of(request)
    scope = PageScope("tasks", (UUID,), filters=(status, kind))
    found = await tasks.page(caller, status, kind, decode_cursor(cursor, scope), limit + 1)
    return page_response(request, [*map(_document(request), found)], limit, lambda task: (task["id"],), scope)


@router.get("/tasks/{task_id}", response_model=TaskRead)
async def get_task(request: Request, tasks: Tasks, task_id: UUID) -> Response:
    """Look again after `Retry-After` seconds, as long as there is one."""
    task = await tasks.get(caller_of(request), task_id)
    again = {"Retry-After": str(LOOK_AGAIN_SECONDS)} if task.is_open else {}
    return JsonResponse(_document(request)(task), headers={"Cache-Control": "private, no-store", **again})


@router.get(
    "/tasks/{task_id}/events",
    response_model=TaskRead,
    responses={204: {"description": "The task has ended, and the client knows how."}},
)
@sends_events
async def follow_task(
    request: Request, tasks: Tasks, feed: Annotated[TaskFeed, Depends(_feed)], task_id: UUID, last: LastEventId
) -> Response:
    """The task now and whenever it changes, as server-sent events: `progress`, and `end` as the last. A client that
    was cut off sends the id of the last event that it has as `Last-Event-ID`, as `EventSource` does by itself."""
    task = await tasks.get(caller_of(request), task_id)
    beat = int(last) if last is not None and _BEAT.fullmatch(last) else None
    if not task.is_open and task.beat == beat:
        return Response(status_code=204)
    return event_stream(_events(request, feed, task, beat))


@router.get("/tasks/{task_id}/result", response_class=Response, responses={200: {"content": RESULTS}})
@sends_file
async def get_task_result(
    request: Request, tasks: Tasks, blobs: Annotated[BlobStore, Depends(_blobs)], task_id: UUID
) -> Response:
    """What the task has made: an export's or a report's file, what became of an import. `Content-Type` tells what it
    is. It is kept as long as the task."""
    task = await tasks.get(caller_of(request), task_id)
    result = task.result
    if result is None:
        raise NotFound(f"The task has no result: it is {task.status}.")
    return download(
        request,
        partial(blobs.read, result.key),
        media_type=result.media_type,
        file_name=result.file_name,
        size=result.size,
        # With the attempt that made it, not the last: a task that is done again may have the old result meanwhile.
        etag=f'"{task.id.hex}-{result.key.rpartition("/")[2]}"',
    )


@router.post("/tasks/{task_id}/cancel", response_model=TaskRead)
async def cancel_task(request: Request, tasks: Tasks, key: OptionalKey, task_id: UUID) -> Response:
    """End a task: at once while it waits; while it runs, as soon as its worker has heard of it, which takes seconds.
    What it has done by then stays done."""
    command = command_for(request, key, None, success=partial(_answer, request))
    return to_response(await tasks.cancel(command, caller_of(request), task_id))


@router.post("/tasks/{task_id}/retry", response_model=TaskRead, status_code=202)
async def retry_task(request: Request, tasks: Tasks, key: OptionalKey, task_id: UUID) -> Response:
    """Have a task done that has failed or was cancelled. What it has done in part is not done again."""
    command = command_for(request, key, None, success=accepted(request))
    return to_response(await tasks.retry(command, caller_of(request), task_id))


def _document(request: Request) -> Callable[[Task], Any]:
    return partial(task_document, at=utc_now(), root=request.scope.get("root_path", ""))


def _answer(request: Request, task: Task) -> Answer:
    return json_answer(_document(request)(task), 200, {})


async def _events(request: Request, feed: TaskFeed, task: Task, beat: int | None) -> AsyncIterator[Event]:
    async with aclosing(feed.follow(task, beat)) as changes:
        async for each in changes:
            name = "progress" if each.is_open else "end"
            yield Event(encode(_document(request)(each)).decode(), id=str(each.beat), name=name)
