"""Answers that are sent for as long as somebody takes them."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Coroutine
from typing import Any

from starlette.types import Receive


async def while_heard(
    sending: Coroutine[Any, Any, None], receive: Receive, closing: asyncio.Event | None = None
) -> None:
    """Until it is done, the client leaves or the server closes: then it is cancelled, and awaited in any case.

    Raises what it raises.
    """
    work = asyncio.create_task(sending)
    reasons: list[asyncio.Task[Any]] = [work, asyncio.create_task(_gone(receive))]
    if closing is not None:
        reasons.append(asyncio.create_task(closing.wait()))
    try:
        await asyncio.wait(reasons, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for each in reasons:
            each.cancel()
        await asyncio.gather(*reasons, return_exceptions=True)
    if not work.cancelled():
        work.result()


async def close(source: AsyncIterator[Any]) -> None:
    """At once and not some time later, where it is a generator."""
    if isinstance(source, AsyncGenerator):
        await source.aclose()


async def _gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
