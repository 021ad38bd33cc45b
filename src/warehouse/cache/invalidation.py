"""After a commit and before its answer: nobody reads from the cache what was there before."""

import asyncio
from collections.abc import Collection

from warehouse import metrics
from warehouse.cache.fence import Fence, View
from warehouse.cache.store import CacheStore, StoreFailure
from warehouse.cache.tags import is_whole
from warehouse.cache.values import tag_key
from warehouse.resilience import detached

CHUNK = 1000
"""Keys in one call."""


class Invalidator:
    """Releases tags. Without a store (a command beside a server whose Valkey is private) it switches the cache off."""

    def __init__(self, fence: Fence, store: CacheStore | None) -> None:
        self._fence = fence
        self._store = store
        self._running: set[asyncio.Task[None]] = set()

    async def release(self, tags: Collection[str]) -> None:
        """Goes on where its caller is cancelled. Raises `Unavailable` where the database does not answer."""
        task = detached(self._release(tags))
        self._running.add(task)
        task.add_done_callback(self._ended)
        await asyncio.shield(task)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._running.discard(task)
        if not task.cancelled():
            # Looked at, lest it be reported where the caller is gone.
            task.exception()

    async def close(self) -> None:
        """Wait until what was begun is done, or has failed."""
        await asyncio.gather(*self._running, return_exceptions=True)

    async def _release(self, tags: Collection[str]) -> None:
        # A look that says "off" may be from before the commit, and the cache on again since: so look anew. One that
        # says "on" is of the epoch in which the commit was, for none begins while a look counts; and what is cached in
        # a later one was queried after it.
        view = self._fence.usable or await self._fence.look()
        if view.usable and await self._drop(view, tags):
            metrics.cache_releases.labels("released").inc()
            return
        metrics.cache_releases.labels("failed" if view.usable else "skipped").inc()
        if view.usable:
            view = await self._fence.switch_off(view)
        if not view.usable:
            await self._fence.in_force()

    async def _drop(self, view: View, tags: Collection[str]) -> bool:
        if self._store is None:
            return False
        keys = [tag_key(view.prefix, tag) for tag in sorted(tags, key=is_whole)]
        try:
            for start in range(0, len(keys), CHUNK):
                await self._store.drop(keys[start : start + CHUNK])
        except StoreFailure:
            return False
        return True
