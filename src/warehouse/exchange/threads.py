"""Work in threads that nobody leaves behind."""

import asyncio
from collections.abc import Callable
from typing import Any, TypeVar

T = TypeVar("T")


async def in_thread(work: Callable[[], T], discard: Callable[[T], None] | None = None) -> T:
    """Not left before the thread is done, however often it is cancelled: then the caller may close what the thread
    reads. A result that comes too late goes to `discard`."""
    task = asyncio.ensure_future(asyncio.to_thread(work))
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        await settled(task)
        if discard and task.exception() is None:
            discard(task.result())
        raise


async def settled(task: "asyncio.Future[Any]") -> None:
    """Wait for the end of a task that nobody asks for its result any more; a cancellation waits for it too."""
    cancellation: asyncio.CancelledError | None = None
    while not task.done():
        try:
            await asyncio.wait([task])
        except asyncio.CancelledError as error:
            cancellation = error
    if not task.cancelled():
        task.exception()
    if cancellation:
        raise cancellation
