"""What all processes share: the store of cached values, and the database."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from uuid import UUID

from tests.cache_schedules.loop import Chances
from tests.cache_schedules.network import Link
from warehouse.cache.entry import GENERATION_BYTES
from warehouse.cache.fence import View

TAG_SECONDS = 3600.0
INSTALLATION = UUID(int=0)


class Cells:
    """A small Redis: keys with bytes and the time at which they vanish. Each method is one moment. `refusal` makes what
    it raises when it is full."""

    def __init__(self, now: Callable[[], float], refusal: Callable[[], Exception]) -> None:
        self.full = False
        self._now = now
        self._refusal = refusal
        self._held: dict[str, tuple[bytes, float]] = {}

    def get(self, keys: Sequence[str]) -> list[bytes | None]:
        return [self._get(key) for key in keys]

    def put(self, key: str, value: bytes, seconds: float) -> None:
        if self.full:
            raise self._refusal()
        self._held[key] = (value, self._now() + seconds)

    def put_if_free(self, key: str, value: bytes, seconds: float) -> bool:
        if self.full:
            raise self._refusal()
        if self._get(key) is not None:
            return False
        self.put(key, value, seconds)
        return True

    def drop(self, keys: Collection[str]) -> None:
        for key in keys:
            self._held.pop(key, None)

    def seconds_left(self, key: str) -> float:
        return self._held[key][1] - self._now() if self._get(key) is not None else -2.0

    def wipe(self) -> None:
        self._held.clear()

    def evict(self, chances: Chances) -> None:
        if self._held:
            del self._held[chances.one_of(list(self._held))]

    def garble(self, chances: Chances) -> bool:
        """Break a value, now and then a generation. Whether there was one."""
        kind = ":t:" if chances.happens(0.1) else ":v:"
        keys = [key for key in self._held if kind in key]
        if not keys:
            return False
        key = chances.one_of(keys)
        value, until = self._held[key]
        self._held[key] = (_garbled(value, chances), until)
        return True

    def _get(self, key: str) -> bytes | None:
        value, until = self._held.get(key, (None, 0.0))
        if value is not None and until <= self._now():
            del self._held[key]
            return None
        return value


def _garbled(value: bytes, chances: Chances) -> bytes:
    place = chances.below(len(value))
    choice = chances.below(3)
    if choice == 0:
        return value[:place]
    if choice == 1 or len(value) <= GENERATION_BYTES:  # As many bytes would be a generation.
        return value + b"?"
    return bytes((*value[:place], value[place] ^ (1 << chances.below(8)), *value[place + 1 :]))


class LinkedStore:
    """The store as one process has it."""

    def __init__(self, cells: Cells, link: Link) -> None:
        self._cells = cells
        self._link = link

    async def fetch(self, keys: Sequence[str]) -> list[bytes | None]:
        return await self._link.call(partial(self._cells.get, keys))

    async def claim(self, tokens: Mapping[str, bytes]) -> list[bytes | None]:
        sets = [partial(self._cells.put_if_free, key, token, TAG_SECONDS) for key, token in tokens.items()]
        found: list[bytes | None] = await self._link.pipeline([*sets, partial(self._cells.get, list(tokens))])
        return found

    async def fill(self, values: Mapping[str, bytes], seconds: float, done: Collection[str] = ()) -> None:
        sets = [partial(self._cells.put, key, value, seconds) for key, value in values.items()]
        await self._link.pipeline([*sets, partial(self._cells.drop, done)] if done else sets)

    async def drop(self, keys: Collection[str]) -> None:
        if keys:
            await self._link.call(partial(self._cells.drop, keys))

    async def lease(self, key: str, seconds: float) -> bool:
        return await self._link.call(partial(self._cells.put_if_free, key, b"", seconds))

    async def seconds_left(self, key: str) -> float:
        return await self._link.call(partial(self._cells.seconds_left, key))


@dataclass(frozen=True)
class Command:
    """To write an item, once however often it is sent."""

    number: int
    item: int


class Database:
    """Items with versions that go up by one, and the row of `cache_control`."""

    def __init__(self, items: int, view: View) -> None:
        self.versions = [0] * items
        self.view = view
        self.switched_on = 0
        self.done: dict[Command, int] = {}

    def query(self, items: Sequence[int]) -> list[int]:
        return [self.versions[item] for item in items]

    def commit(self, command: Command) -> int:
        """The version that the command has made, now or before."""
        if command not in self.done:
            self.versions[command.item] += 1
            self.done[command] = self.versions[command.item]
        return self.done[command]

    def read(self) -> View:
        return self.view

    def switch(self, view: View, usable: bool) -> View:
        if view.epoch == self.view.epoch:
            self.view = View(INSTALLATION, usable, view.epoch + 1)
            self.switched_on += usable
        return self.view


class LinkedControl:
    """The row as one process has it."""

    def __init__(self, database: Database, link: Link) -> None:
        self._database = database
        self._link = link

    async def read(self) -> View:
        return await self._link.call(self._database.read)

    async def switch(self, view: View, *, usable: bool) -> View:
        return await self._link.call(partial(self._database.switch, view, usable))
