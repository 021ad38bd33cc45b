"""As much of a Redis client as `RedisCacheStore` uses."""

from collections.abc import Sequence
from functools import partial
from types import TracebackType
from typing import Any, Self

from tests.cache_schedules.network import Effect, Link
from tests.cache_schedules.servers import Cells


class Client:
    def __init__(self, cells: Cells, link: Link) -> None:
        self._cells = cells
        self._link = link

    def client(self) -> "Client":
        """The same over a connection of its own, of which there are as many as one likes here."""
        return self

    async def mget(self, keys: Sequence[str]) -> list[bytes | None]:
        return await self._link.call(partial(self._cells.get, keys))

    async def set(self, key: str, value: bytes, *, nx: bool, px: int) -> bool:
        assert nx
        return await self._link.call(partial(self._cells.put_if_free, key, value, px / 1000))

    async def unlink(self, *keys: str) -> None:
        await self._link.call(partial(self._cells.drop, keys))

    async def pttl(self, key: str) -> int:
        return int(1000 * await self._link.call(partial(self._cells.seconds_left, key)))

    def pipeline(self, *, transaction: bool) -> "Pipeline":
        assert not transaction
        return Pipeline(self._cells, self._link)


class Pipeline:
    def __init__(self, cells: Cells, link: Link) -> None:
        self._cells = cells
        self._link = link
        self._effects: list[Effect[Any]] = []

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        return None

    def set(self, key: str, value: bytes, *, px: int = 0, ex: int = 0, nx: bool = False) -> None:
        put = self._cells.put_if_free if nx else self._cells.put
        self._effects.append(partial(put, key, value, ex + px / 1000))

    def mget(self, keys: Sequence[str]) -> None:
        self._effects.append(partial(self._cells.get, keys))

    def unlink(self, *keys: str) -> None:
        self._effects.append(partial(self._cells.drop, keys))

    async def execute(self) -> list[Any]:
        """The last answer alone is one: nobody asks for the others."""
        return [None] * (len(self._effects) - 1) + [await self._link.pipeline(self._effects)]
