"""Reads through the cache.

A value counts only while the generations of all its tags, as they were read before its query ran, are the current ones.
A fill that comes too late carries old generations, and nobody will ever take it for valid.
"""

import asyncio
import math
import random
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from enum import StrEnum

from warehouse import metrics
from warehouse.cache.entry import Entry
from warehouse.cache.fence import Fence, View
from warehouse.cache.store import CacheStore, StoreFailure
from warehouse.cache.values import Copies, keep, settled, tag_key, value_key

LEASE_SECONDS = 1.0
"""For so long one process may be about to fill a value."""
PATIENCE_SECONDS = 0.25
"""To wait for another process that is: a crowd on the same key makes it slow."""
RETRY_SECONDS = 0.005
ROUNDS = 3
EAGERNESS = 1.0
"""XFetch's beta (Vattani, Chierichetti, Lowenstein, "Optimal Probabilistic Cache Stampede Prevention", VLDB 2015)."""
SAMPLE = 64
"""One hit in so many asks how long its value will be kept."""


class Result(StrEnum):
    HIT = "hit"
    NEGATIVE = "negative"
    MISS = "miss"
    REFRESH = "refresh"
    BYPASS = "bypass"
    STALE = "stale"
    """The database does not answer, and what was cached may have been changed since."""
    REQUEST = "request"


@dataclass(frozen=True, slots=True)
class Loaded:
    """What a query gave. `seconds` is how long it may be kept; 0 where it may not, nor be shared."""

    entry: Entry
    seconds: float


Load = Callable[[], Awaitable[Loaded]]


@dataclass(slots=True)
class Reading:
    """`stored`: it was put into the cache. `shared`: another's query, sent after this read began, gave it."""

    entry: Entry
    result: Result
    stored: bool = False
    shared: bool = False


@dataclass(frozen=True, slots=True)
class Keys:
    """Where something that is wanted lies in one epoch."""

    value: str
    lease: str
    tags: Sequence[str]
    looked_at: Sequence[str]
    """The value, then the tags."""


class Wanted:
    """`kind` is what the metrics call it."""

    def __init__(self, kind: str, key: str, tags: Sequence[str]) -> None:
        self.kind = kind
        self.key = key
        self._tags = tags
        self._keys: tuple[str, Keys] | None = None

    def under(self, prefix: str) -> Keys:
        """Worked out once for each epoch."""
        if self._keys is None or self._keys[0] != prefix:
            value = value_key(prefix, self.key)
            tags = [tag_key(prefix, tag) for tag in self._tags]
            self._keys = prefix, Keys(value, f"{prefix}l:{self.key}", tags, [value, *tags])
        return self._keys[1]


class _Flight:
    """A query on its way. Whoever comes before it is sent may have its answer; whoever comes later may not, for a write
    may have been acknowledged since: that one waits for its end and reads again."""

    def __init__(self) -> None:
        self.sent = False
        self.ended = asyncio.Event()
        self.loaded: Loaded | None = None

    async def shared(self) -> Loaded | None:
        """Its answer, once it is there; None to whoever may not have it."""
        may_share = not self.sent
        await self.ended.wait()
        return self.loaded if may_share and self.is_shareable else None

    @property
    def is_shareable(self) -> bool:
        return self.loaded is not None and self.loaded.seconds > 0


class Cache:
    """`chance` gives numbers from 0 to 1, for what is not to happen everywhere at once."""

    def __init__(
        self,
        store: CacheStore,
        fence: Fence,
        chance: Callable[[], float] = random.random,
        monotonic: Callable[[], float] = time.monotonic,
        stale_seconds: float = 0.0,
    ) -> None:
        """For `stale_seconds` after the database was last seen, `last` has an answer."""
        self._stale_seconds = stale_seconds
        self._store = store
        self._fence = fence
        self._chance = chance
        self._copies = Copies(monotonic)
        self._flights: dict[str, _Flight] = {}

    async def read(self, wanted: Wanted, load: Load) -> Reading:
        """From the cache, or else by `load`, whose queries see whatever was committed when it is called. Raises what
        `load` raises."""
        sampled = self._chance() * SAMPLE < 1
        reading = None if sampled else await self._copied(wanted)
        if reading is None:
            reading = await self._read(wanted, load, sampled=sampled)
        metrics.count_cache_read(wanted.kind, reading.result)
        return reading

    async def last(self, wanted: Wanted, seconds: float = math.inf) -> Reading | None:
        """What was cached when the database was last seen, no longer than so many seconds ago, unless it is known that
        this was written to since."""
        view = self._fence.unconfirmed(min(seconds, self._stale_seconds))
        if view is None:
            return None
        try:
            entry = await _Attempt(self._store, self._copies, view, wanted).look()
        except StoreFailure:
            return None
        if entry is None:
            return None
        metrics.count_cache_read(wanted.kind, Result.STALE)
        return Reading(entry, Result.STALE)

    async def _copied(self, wanted: Wanted) -> Reading | None:
        """What this process has a copy of, if that still counts: the quickest way, and that of most reads."""
        view = self._fence.usable
        if view is None:
            return None
        keys = wanted.under(view.prefix)
        copy = self._copies.trusted(keys.value)
        if copy is None:
            return None
        try:
            generations = await self._store.fetch(keys.tags)
        except StoreFailure:
            return None  # the look that follows fails at once, and the read goes by it
        return _hit(copy.entry) if generations == copy.generations else None

    async def _read(self, wanted: Wanted, load: Load, *, sampled: bool) -> Reading:
        view = self._fence.usable
        if view is None:
            return await self._bypass(wanted, load)
        attempt = _Attempt(self._store, self._copies, view, wanted)
        try:
            for _ in range(ROUNDS):
                if (entry := await attempt.look()) is not None:
                    return await self._hit(attempt, entry, load) if sampled else _hit(entry)
                if (reading := await self._fly(attempt, load)) is not None:
                    return reading
        except StoreFailure:
            pass  # the read is counted as one that did without the store
        return await self._bypass(wanted, load)

    async def _bypass(self, wanted: Wanted, load: Load) -> Reading:
        """Without the cache, too, a crowd does not come to the database all at once."""
        while (flight := self._flights.get(wanted.key)) is not None:
            if (loaded := await flight.shared()) is not None:
                return Reading(loaded.entry, Result.BYPASS, shared=True)
            if not flight.is_shareable:
                return Reading((await load()).entry, Result.BYPASS)
        flight = self._flights[wanted.key] = _Flight()
        try:
            # Whoever has waited for the flight before this one joins it now.
            await asyncio.sleep(0)
            flight.sent = True
            flight.loaded = await load()
            return Reading(flight.loaded.entry, Result.BYPASS)
        finally:
            del self._flights[wanted.key]
            flight.ended.set()

    async def _hit(self, attempt: "_Attempt", entry: Entry, load: Load) -> Reading:
        if attempt.key in self._flights or not await self._is_due(attempt, entry):
            return _hit(entry)
        return await self._fly(attempt, load, Result.REFRESH) or _hit(entry)

    async def _is_due(self, attempt: "_Attempt", entry: Entry) -> bool:
        """Before its time is over, now and then, so that not everybody finds it gone at once."""
        left = await self._store.seconds_left(attempt.key)
        return -EAGERNESS * entry.cost * math.log(1 - self._chance()) >= left

    async def _fly(self, attempt: "_Attempt", load: Load, result: Result = Result.MISS) -> Reading | None:
        """None: look again."""
        flight = self._flights.get(attempt.key)
        if flight is not None:
            loaded = await flight.shared()
            return Reading(loaded.entry, result, shared=True) if loaded else None
        flight = self._flights[attempt.key] = _Flight()
        try:
            leased = await attempt.lease()
            if result is Result.REFRESH:
                if not leased:
                    return None
            # With the lease too: the one who had it before may have filled since the look that missed.
            elif (entry := await (attempt.look() if leased else attempt.wait_for_other())) is not None:
                await attempt.give_up_lease()
                return _hit(entry)
            flight.sent = True
            return await attempt.query(load, flight, result)
        finally:
            del self._flights[attempt.key]
            flight.ended.set()


def _hit(entry: Entry) -> Reading:
    return Reading(entry, Result.HIT if entry.status == 200 else Result.NEGATIVE)


class _Attempt:
    """One read under one view: the generations last looked at are those that a fill carries."""

    def __init__(self, store: CacheStore, copies: Copies, view: View, wanted: Wanted) -> None:
        self._store = store
        self._copies = copies
        self._kind = wanted.kind
        self._keys = wanted.under(view.prefix)
        self.key = self._keys.value
        self._leased = False
        self._generations: list[bytes] = []

    async def look(self) -> Entry | None:
        """The entry, if it counts; else the generations are there for a fill."""
        value, *found = await self._store.fetch(self._keys.looked_at)
        self._generations = await settled(self._store, self._keys.tags, found)
        return self._copies.counting(self._kind, self.key, value, self._generations)

    async def lease(self) -> bool:
        self._leased = await self._store.lease(self._keys.lease, LEASE_SECONDS)
        return self._leased

    async def wait_for_other(self) -> Entry | None:
        """What another process fills meanwhile; None if that takes too long."""
        metrics.cache_lease_waits.labels(self._kind).inc()
        now = asyncio.get_running_loop().time
        deadline = now() + PATIENCE_SECONDS
        while now() < deadline:
            await asyncio.sleep(RETRY_SECONDS)
            if (entry := await self.look()) is not None:
                return entry
        return None

    async def query(self, load: Load, flight: _Flight, result: Result) -> Reading:
        flight.loaded = loaded = await load()
        return Reading(loaded.entry, result, await self._fill(loaded))

    async def _fill(self, loaded: Loaded) -> bool:
        if loaded.seconds:
            entries = {self.key: (loaded.entry, self._generations)}
            done = [self._keys.lease] if self._leased else []
            return await keep(self._store, self._kind, entries, loaded.seconds, done)
        await self.give_up_lease()
        return False

    async def give_up_lease(self) -> None:
        if self._leased:
            with suppress(StoreFailure):  # then it runs out by itself
                await self._store.drop([self._keys.lease])
