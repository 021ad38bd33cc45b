"""Where cached values lie, as the protocol of the cache sees it."""

from collections.abc import Collection, Mapping, Sequence
from typing import Protocol


class StoreFailure(Exception):
    """The store did not do what it was asked, or it is not known whether it did."""


class CacheStore(Protocol):
    """Keys with bytes, any of which may vanish at any time. Every method raises `StoreFailure`."""

    async def fetch(self, keys: Sequence[str]) -> list[bytes | None]:
        """The values of all keys as of one moment."""
        ...

    async def claim(self, tokens: Mapping[str, bytes]) -> list[bytes | None]:
        """Give each key its token unless it has one; what the keys have then, in their order."""
        ...

    async def fill(self, values: Mapping[str, bytes], seconds: float, done: Collection[str] = ()) -> None:
        """Keep the values for so long, and drop the keys `done`."""
        ...

    async def drop(self, keys: Collection[str]) -> None: ...

    async def lease(self, key: str, seconds: float) -> bool:
        """Whether the key was free and now is the caller's for so long."""
        ...

    async def seconds_left(self, key: str) -> float:
        """How long a value will be kept; negative where there is none."""
        ...
