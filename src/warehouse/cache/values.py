"""What a cached value stands on: the generations of its tags, each a random token that a release takes away and the
next reader replaces."""

import random
import secrets
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass

from warehouse import metrics
from warehouse.cache.entry import GENERATION_BYTES, Entry, Garbage, decode, encode
from warehouse.cache.store import CacheStore, StoreFailure

SMALL = 64 * 1024
REMEMBERED_BYTES = 64 * 1024 * 1024
TRUSTED_SECONDS = 5.0
"""So long what was seen in the store is taken to be there still: beyond its time, that is, by no more."""
TTL_SPREAD = 0.1
"""By up to so much values live shorter than they might, so that those made together do not go together."""


def tag_key(prefix: str, tag: str) -> str:
    """Under which a tag's generation lies."""
    return f"{prefix}t:{tag}"


def value_key(prefix: str, key: str) -> str:
    return f"{prefix}v:{key}"


async def settled(store: CacheStore, keys: Sequence[str], found: Sequence[bytes | None]) -> list[bytes]:
    """The generations found under the keys of tags, new ones where there were none. Raises `StoreFailure`."""
    generations = list(found)
    if None in generations:
        missing = [key for key, generation in zip(keys, found, strict=True) if generation is None]
        made = iter(await store.claim({key: secrets.token_bytes(GENERATION_BYTES) for key in missing}))
        generations = [next(made) if known is None else known for known in found]
    current = [each for each in generations if each is not None and len(each) == GENERATION_BYTES]
    if len(current) < len(keys):
        raise StoreFailure("a generation is gone as soon as it is made, or is none")
    return current


def counting(kind: str, value: bytes | None, generations: Sequence[bytes]) -> Entry | None:
    """The entry that the value holds, if it was made under these generations."""
    try:
        return None if value is None else decode(value, generations)
    except Garbage:
        metrics.cache_garbage.labels(kind).inc()
        return None


@dataclass(slots=True)
class Copy:
    """Of a value in the store, under the generations that it counts under."""

    value: bytes
    generations: Sequence[bytes]
    entry: Entry
    seen: float


class Copies:
    """Small values as they were seen in the store. To see that one still counts takes the generations of its tags, and
    they tell all: whatever a copy was made of, it is as good as the value in the store. `now` is monotonic."""

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._copies: dict[str, Copy] = {}
        self._bytes = 0

    def trusted(self, key: str) -> Copy | None:
        """The copy, where the value need not be looked for."""
        copy = self._copies.get(key)
        if copy is None or copy.entry.timed or self._now() >= copy.seen + TRUSTED_SECONDS:
            return None
        return copy

    def counting(self, kind: str, key: str, value: bytes | None, generations: Sequence[bytes]) -> Entry | None:
        """As the function of this name, which has less to do where the value is known."""
        if value is None:
            return None
        copy = self._copies.get(key)
        if copy is not None and copy.value == value and copy.generations == generations:
            copy.seen = self._now()
            return copy.entry
        entry = counting(kind, value, generations)
        if entry is not None and len(value) <= SMALL:
            self._keep(key, Copy(value, generations, entry, self._now()))
        return entry

    def _keep(self, key: str, copy: Copy) -> None:
        before = self._copies.pop(key, None)
        self._bytes += len(copy.value) - (len(before.value) if before else 0)
        if self._bytes > REMEMBERED_BYTES:
            self._copies.clear()
            self._bytes = len(copy.value)
        self._copies[key] = copy


async def keep(
    store: CacheStore,
    kind: str,
    entries: Mapping[str, tuple[Entry, Sequence[bytes]]],
    seconds: float,
    done: Collection[str] = (),
) -> bool:
    """Fill by keys, each entry with the generations read before its query, and drop the keys `done`; False where that
    failed."""
    values = {key: encode(entry, generations) for key, (entry, generations) in entries.items()}
    try:
        await store.fill(values, seconds * (1 - TTL_SPREAD * random.random()), done)  # noqa: S311 (no secret)
    except StoreFailure:
        metrics.cache_fills.labels(kind, "refused").inc(len(values))
        return False
    metrics.cache_fills.labels(kind, "stored").inc(len(values))
    return True
