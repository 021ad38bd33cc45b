"""What a cache stands on, in memory, and a clock to be set."""

from collections.abc import Collection, Mapping, Sequence
from uuid import UUID

from tests.resilience.world import Clock
from warehouse.cache.fence import Fence, View
from warehouse.cache.store import StoreFailure
from warehouse.errors import Unavailable


class Row:
    """The database's word on the cache, as long as `answers`."""

    def __init__(self) -> None:
        self.view = View(UUID(int=1), True, 1)
        self.answers = True

    async def read(self) -> View:
        if not self.answers:
            raise Unavailable("The database does not answer.")
        return self.view

    async def switch(self, view: View, *, usable: bool) -> View:
        if view.epoch == (await self.read()).epoch:
            self.view = View(view.installation, usable, view.epoch + 1)
        return self.view


class Shelf:
    """Keeps what is put there for good, as long as it `answers`."""

    def __init__(self) -> None:
        self.values: dict[str, bytes] = {}
        self.answers = True

    async def fetch(self, keys: Sequence[str]) -> list[bytes | None]:
        self._demand()
        return [self.values.get(key) for key in keys]

    async def claim(self, tokens: Mapping[str, bytes]) -> list[bytes | None]:
        self._demand()
        return [self.values.setdefault(key, token) for key, token in tokens.items()]

    async def fill(self, values: Mapping[str, bytes], seconds: float, done: Collection[str] = ()) -> None:
        await self.drop(done)
        self.values |= values

    async def drop(self, keys: Collection[str]) -> None:
        self._demand()
        for key in keys:
            self.values.pop(key, None)

    async def lease(self, key: str, seconds: float) -> bool:
        self._demand()
        return self.values.setdefault(key, b"mine") == b"mine"

    async def seconds_left(self, key: str) -> float:
        self._demand()
        return 60.0

    def _demand(self) -> None:
        if not self.answers:
            raise StoreFailure("away")


class World:
    def __init__(self) -> None:
        self.clock = Clock()
        self.row = Row()
        self.shelf = Shelf()
        self.fence = Fence(self.row, self.clock)
