"""What a cached value stands on: the generations of its tags, each a random token that a release takes away and the
next reader replaces."""

import random
import secrets
from collections.abc import Collection, Mapping, Sequence

from warehouse import metrics
from warehouse.cache.entry import GENERATION_BYTES, Entry, Garbage, decode, encode
from warehouse.cache.store import CacheStore, StoreFailure

SMALL = 16 * 1024
REMEMBERED = 2048
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


class Decoder:
    """Remembers what small values hold: to compare two costs next to nothing, to read one again many times as much."""

    def __init__(self) -> None:
        self._known: dict[str, tuple[bytes, Sequence[bytes], Entry]] = {}

    def counting(self, kind: str, key: str, value: bytes | None, generations: Sequence[bytes]) -> Entry | None:
        """As the function of this name."""
        if value is None:
            return None
        known = self._known.get(key)
        if known is not None and known[0] == value and known[1] == generations:
            return known[2]
        entry = counting(kind, value, generations)
        if entry is not None and len(value) <= SMALL:
            if len(self._known) >= REMEMBERED:
                self._known.clear()
            self._known[key] = value, generations, entry
        return entry


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
