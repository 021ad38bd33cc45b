"""Computing while a server is at work."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

Answer = TypeVar("Answer")
Result = TypeVar("Result")


async def overlapped(call: Coroutine[Any, Any, Answer], work: Callable[[], Result]) -> tuple[Answer, Result]:
    """Begin the call, do the work while it waits for its answer, and wait for that. What the call raises is raised,
    and what the work raises not before the call has ended."""
    calling = asyncio.create_task(call)
    try:
        await asyncio.sleep(0)  # for it to be sent
        result = work()
    except BaseException:
        calling.cancel()
        await asyncio.wait([calling])
        raise
    return await calling, result
