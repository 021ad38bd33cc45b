"""Ending what goes on in the background."""

import asyncio
from typing import Any

AGAIN_SECONDS = 2.0


async def ended(*tasks: "asyncio.Task[Any]") -> None:
    """Cancel the tasks, and wait until all of them have ended. Raises what one of them has raised.

    They are told again where once was not enough: `asyncio.wait_for` of Python 3.11, which drivers use, forgets a
    cancellation that comes together with what it waits for (https://github.com/python/cpython/issues/86296).
    """
    left = set(tasks)
    while left:
        for each in left:
            each.cancel()
        _, left = await asyncio.wait(left, timeout=AGAIN_SECONDS)
    for each in tasks:
        if not each.cancelled():
            each.result()
