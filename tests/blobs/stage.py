"""A store, and what can be seen of it from outside."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterable, Awaitable, Callable
from contextlib import aclosing
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from warehouse.blobs import BlobStore
from warehouse.blobs.bucket import Bucket
from warehouse.blobs.folder import PARTIALS

MIB = 1024 * 1024
PATIENCE_SECONDS = 20.0


class Stage(Protocol):
    @property
    def store(self) -> BlobStore: ...

    async def leftovers(self) -> int:
        """Of puts that are not done."""
        ...


@dataclass(frozen=True)
class FolderStage:
    store: BlobStore
    folder: Path

    async def leftovers(self) -> int:
        partials = self.folder / PARTIALS
        return len(list(partials.iterdir())) if partials.exists() else 0


@dataclass(frozen=True)
class S3Stage:
    store: BlobStore
    bucket: Bucket
    prefix: str

    async def leftovers(self) -> int:
        answer = await self.bucket.call("list_multipart_uploads", Prefix=f"{self.prefix}/")
        return len(answer.get("Uploads", ()))


NewS3 = Callable[..., S3Stage]
"""At another endpoint, or by another policy."""


async def chunked(content: bytes, size: int = 60_000) -> AsyncGenerator[bytes]:
    for start in range(0, len(content), size):
        yield content[start : start + size]


async def chunks_of(chunk: bytes, count: int) -> AsyncGenerator[bytes]:
    for _ in range(count):
        yield chunk


async def then_raise(error: Exception, chunks: AsyncIterable[bytes]) -> AsyncGenerator[bytes]:
    async for chunk in chunks:
        yield chunk
    raise error


async def then_hang(reached: asyncio.Event, chunks: AsyncIterable[bytes]) -> AsyncGenerator[bytes]:
    async for chunk in chunks:
        yield chunk
    reached.set()
    await asyncio.Event().wait()


async def content_of(store: BlobStore, key: str, start: int = 0) -> bytes:
    async with aclosing(store.read(key, start)) as pieces:
        return b"".join([piece async for piece in pieces])


async def keys_of(store: BlobStore, prefix: str = "") -> list[str]:
    async with aclosing(store.keys(prefix)) as found:
        return sorted([each.key async for each in found])


async def until(holds: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(PATIENCE_SECONDS):
        while not await holds():  # noqa: ASYNC110 (a server tells nobody when it has done what it was asked)
            await asyncio.sleep(0.01)
