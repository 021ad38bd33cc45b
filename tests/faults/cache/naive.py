"""Cache-aside as everybody writes it, in the place of our protocol: GET, and on a miss a query and a SET; for a write a
commit and a DEL.

Nothing slows it down: it takes no more than concurrency for a reader that missed before a write to fill after it.

As a program it is `warehouse` but for that.
"""

from collections.abc import Collection
from unittest.mock import patch

from starlette.types import ASGIApp

from warehouse import container, serving
from warehouse.app import from_environment
from warehouse.cache.decorator import Kind
from warehouse.cache.entry import GENERATION_BYTES, decode, encode
from warehouse.cache.fence import Fence
from warehouse.cache.reading import Load, Reading, Result, Wanted
from warehouse.cache.store import CacheStore
from warehouse.cache.values import tag_key
from warehouse.cli import main

PREFIX = "naive:"
ALWAYS = b"." * GENERATION_BYTES
"""A generation that is never another."""


class NaiveCache:
    """Of single products, each under its tag: whoever writes one knows what to delete."""

    def __init__(self, store: CacheStore, _: Fence, stale_seconds: float) -> None:
        self._store = store

    async def read(self, wanted: Wanted, load: Load) -> Reading:
        if wanted.kind != Kind.PRODUCT:
            return Reading((await load()).entry, Result.BYPASS)
        [key] = wanted.under(PREFIX).tags
        [value] = await self._store.fetch([key])
        if value is not None and (entry := decode(value, [ALWAYS])) is not None:
            return Reading(entry, Result.HIT)
        loaded = await load()
        if loaded.seconds:
            await self._store.fill({key: encode(loaded.entry, [ALWAYS])}, loaded.seconds)
        return Reading(loaded.entry, Result.MISS)

    async def last(self, wanted: Wanted, seconds: float) -> Reading | None:
        """It knows nothing of databases that are away."""
        return None


class NaiveInvalidator:
    def __init__(self, _: Fence, store: CacheStore) -> None:
        self._store = store

    async def release(self, tags: Collection[str]) -> None:
        await self._store.drop([tag_key(PREFIX, tag) for tag in tags])

    async def close(self) -> None:
        """Nothing goes on behind its back."""


def app() -> ASGIApp:
    """The server's application but for this."""
    with patch.multiple(container, Cache=NaiveCache, Invalidator=NaiveInvalidator):
        return from_environment()


if __name__ == "__main__":
    serving.APPLICATION = "__main__:app"
    main()
