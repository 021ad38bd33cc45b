"""Chunks of any size, as pieces of one."""

from collections.abc import AsyncGenerator, AsyncIterable


async def batches(chunks: AsyncIterable[bytes], size: int) -> AsyncGenerator[bytearray]:
    """The same bytes in pieces of `size`, the last one of what is left; none where there are no bytes."""
    waiting = bytearray()
    async for chunk in chunks:
        rest = memoryview(chunk)
        while rest:
            taken = rest[: size - len(waiting)]
            waiting += taken
            rest = rest[len(taken) :]
            if len(waiting) == size:
                yield waiting
                waiting = bytearray()
    if waiting:
        yield waiting
