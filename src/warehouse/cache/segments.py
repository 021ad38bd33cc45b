"""Values in many parts, each with a tag of its own: a write makes one part anew, and not all of them."""

import asyncio
import math
from collections import OrderedDict, defaultdict
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass

from warehouse import metrics
from warehouse.cache.entry import Entry
from warehouse.cache.fence import Fence, View
from warehouse.cache.reading import Result
from warehouse.cache.store import CacheStore, StoreFailure
from warehouse.cache.values import counting, keep, settled, tag_key, value_key
from warehouse.errors import Unavailable

AT_ONCE = 32
"""Values in one call."""
LARGEST = 32 * 1024 * 1024
"""Bytes of a value that a process keeps for itself as well."""
KEPT = 4
"""How many such values."""

LoadParts = Callable[[Sequence[int]], Awaitable[Sequence[Entry]]]
"""Makes the parts of these numbers, of what is committed when it is called."""


@dataclass(frozen=True, slots=True, eq=False, weakref_slot=True)
class Parts:
    """All of them, in order. As long as nothing is written to any, a process has the very same object."""

    entries: Sequence[Entry]


@dataclass(frozen=True, slots=True)
class PartsReading:
    parts: Parts
    result: Result


@dataclass(frozen=True, slots=True)
class _Known:
    """As in the store, a part counts while its tag has this generation; all count while the `whole` has the one that it
    had before those of the parts were read; and until a time of the loop's clock."""

    prefix: str
    whole: bytes
    generations: Sequence[bytes]
    parts: Parts
    until: float


class SegmentCache:
    """Values whose parts have these `tags`, and the tag `whole` that every write to any part releases last. A process
    keeps the latest for itself, so that reading again what nobody has written to takes one generation alone."""

    def __init__(
        self,
        store: CacheStore,
        fence: Fence,
        kind: str,
        whole: str,
        tags: Sequence[str],
        seconds: float,
        stale_seconds: float = 0.0,
    ) -> None:
        """For `stale_seconds` after the database was last seen, `last` has an answer."""
        self._stale_seconds = stale_seconds
        self._store = store
        self._fence = fence
        self._kind = kind
        self._whole = whole
        self._tags = tags
        self._seconds = seconds
        self._known: OrderedDict[str, _Known] = OrderedDict()
        self._locks: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)
        self._last_locks: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)

    async def read(self, key: str, load: LoadParts) -> PartsReading:
        """From the cache as far as that goes. Raises what `load` raises."""
        reading = await self._read(key, load, self._fence.usable, self._locks[key])
        metrics.count_cache_read(self._kind, reading.result)
        return reading

    async def last(self, key: str, seconds: float = math.inf) -> PartsReading | None:
        """What was cached when the database was last seen, no longer than so many seconds ago, unless it is known that
        any of it was written to since."""
        view = self._fence.unconfirmed(min(seconds, self._stale_seconds))
        if view is None:
            return None
        try:
            # Not behind those who wait for the database.
            reading = await self._read(key, _no_load, view, self._last_locks[key])
        except Unavailable:
            return None
        metrics.count_cache_read(self._kind, Result.STALE)
        return PartsReading(reading.parts, Result.STALE)

    async def _read(self, key: str, load: LoadParts, view: View | None, lock: asyncio.Lock) -> PartsReading:
        if view is None:
            return await self._bypass(load)
        try:
            if (parts := await self._unchanged(key, view)) is not None:
                return PartsReading(parts, Result.HIT)
            async with lock:
                # What another has read meanwhile counts here only if it still does now.
                if (parts := await self._unchanged(key, view)) is not None:
                    return PartsReading(parts, Result.HIT)
                return await self._completed(key, view, load)
        except StoreFailure:
            return await self._bypass(load)

    async def _bypass(self, load: LoadParts) -> PartsReading:
        return PartsReading(Parts(await load(range(len(self._tags)))), Result.BYPASS)

    async def _generations(self, view: View, tags: Sequence[str]) -> list[bytes]:
        keys = [tag_key(view.prefix, tag) for tag in tags]
        return await settled(self._store, keys, await self._store.fetch(keys))

    async def _unchanged(self, key: str, view: View) -> Parts | None:
        """What this process has, if nothing has been written to any part of it."""
        known = self._known.get(key)
        if known is None or known.prefix != view.prefix or known.until < _now():
            return None
        current = await self._store.fetch([tag_key(view.prefix, self._whole)])
        return known.parts if current == [known.whole] else None

    async def _completed(self, key: str, view: View, load: LoadParts) -> PartsReading:
        # The whole's before those of the parts: if it is still current later, nothing was released in between.
        [generation] = await self._generations(view, [self._whole])
        generations = await self._generations(view, self._tags)
        parts = self._in_memory(key, view, generations)
        until = self._known[key].until if parts else _now() + self._seconds
        parts |= await self._in_store(key, view, {n: generations[n] for n in range(len(generations)) if n not in parts})
        missing = [number for number in range(len(generations)) if number not in parts]
        if missing:
            parts |= zip(missing, await load(missing), strict=True)
            await self._keep(key, view, {number: (parts[number], generations[number]) for number in missing})
        whole = Parts([parts[number] for number in range(len(generations))])
        self._remember(key, _Known(view.prefix, generation, generations, whole, until))
        return PartsReading(whole, Result.MISS if missing else Result.HIT)

    def _in_memory(self, key: str, view: View, generations: Sequence[bytes]) -> dict[int, Entry]:
        known = self._known.get(key)
        if known is None or known.prefix != view.prefix or known.until < _now():
            return {}
        pairs = zip(known.generations, generations, known.parts.entries, strict=True)
        return {number: entry for number, (then, now, entry) in enumerate(pairs) if then == now}

    async def _in_store(self, key: str, view: View, wanted: Mapping[int, bytes]) -> dict[int, Entry]:
        found: dict[int, Entry] = {}
        numbers = list(wanted)
        for start in range(0, len(numbers), AT_ONCE):
            some = numbers[start : start + AT_ONCE]
            values = await self._store.fetch([_part_key(view, key, number) for number in some])
            for number, value in zip(some, values, strict=True):
                if (entry := counting(self._kind, value, [wanted[number]])) is not None:
                    found[number] = entry
        return found

    async def _keep(self, key: str, view: View, made: Mapping[int, tuple[Entry, bytes]]) -> None:
        numbers = list(made)
        for start in range(0, len(numbers), AT_ONCE):
            some = {
                _part_key(view, key, number): (made[number][0], [made[number][1]])
                for number in numbers[start : start + AT_ONCE]
            }
            if not await keep(self._store, self._kind, some, self._seconds):
                return

    def _remember(self, key: str, known: _Known) -> None:
        self._known.pop(key, None)
        if sum(len(body) for entry in known.parts.entries for body in entry.forms.values()) <= LARGEST:
            self._known[key] = known
        while len(self._known) > KEPT:
            self._known.popitem(last=False)


async def _no_load(_: Sequence[int]) -> Sequence[Entry]:
    raise Unavailable("The database does not answer.")


def _part_key(view: View, key: str, number: int) -> str:
    return value_key(view.prefix, f"{key}:{number}")


def _now() -> float:
    return asyncio.get_running_loop().time()
