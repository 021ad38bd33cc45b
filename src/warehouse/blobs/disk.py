"""Blocking calls of this machine's files, and what their errors mean."""

import asyncio
import errno
import os
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import ParamSpec, TypeVar

from warehouse.errors import Unavailable

P = ParamSpec("P")
R = TypeVar("R")

FULL = {errno.ENOSPC, errno.EDQUOT}
FULL_RETRY_SECONDS = 30
"""Somebody has to make room first."""


async def on_disk(call: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
    """In a thread. Ends only when the thread has ended, cancelled or not: what it works with may then be closed.

    Raises `Unavailable` for an `OSError`.
    """
    # Not by `asyncio.to_thread`: its task would be cancelled with all others at the end of a program.
    work = asyncio.get_running_loop().run_in_executor(None, partial(call, *args, **kwargs))
    try:
        return await asyncio.shield(work)
    except asyncio.CancelledError:
        while not work.done():
            with suppress(asyncio.CancelledError):  # It is raised below, however many of them come.
                await asyncio.wait((work,))
        # An error that nobody looks at would be logged as forgotten.
        if not work.cancelled():
            work.exception()
        raise
    except OSError as error:
        raise unavailable(error) from error


def unavailable(error: OSError) -> Unavailable:
    """Says what is wrong, and not where: that is nobody's business but ours."""
    if error.errno in FULL:
        return Unavailable("The file storage is full.", retry_after=FULL_RETRY_SECONDS)
    reason = os.strerror(error.errno) if error.errno else type(error).__name__
    return Unavailable(f"The file storage fails: {reason}.")
