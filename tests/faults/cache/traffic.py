"""Readers and writers, whose every answer is checked."""

import asyncio
import random
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass

import orjson

from tests.faults.cache.goods import Endpoint, Goods
from tests.faults.cache.history import STALE_IF_ERROR, Fate, History, Things
from tests.faults.cache.stage import Stage
from tests.faults.cache.wire import Answer, Connection
from warehouse.errors import Code

READ_SECONDS = 10.0
WRITE_SECONDS = 30.0
"""A server answers sooner: it gives every request up after 15 s."""
AFTERLIFE_SECONDS = 20.0
"""After so long a server no longer works at a write that it has not answered."""
AGAIN_SECONDS = 0.05
OVERLOADED = f"503 {Code.OVERLOADED}"
TURNED_AWAY_SECONDS = 1.0
"""As `Retry-After` says."""
PATIENCE_SECONDS = 120.0
"""So long a write is sent again."""
NAMES = ("proxied server", "other server")


@dataclass(frozen=True)
class Mix:
    """`writes` is their part of all requests. So many of the products are `hot`, and asked for as often as all others
    together. Of the writes some are `receipts`, and of the changes of products some are sent by both servers at once,
    as by an impatient client. They come in bursts, so that what every one of
    them ends, as pages are, is found in the cache in between. They go to the servers `written_at`, by their numbers."""

    readers: int = 24
    writers: int = 48
    writes: float = 0.2
    burst: int = 20
    hot: int = 5
    receipts: float = 0.2
    twins: float = 0.05
    written_at: Sequence[int] = (0, 1)


class Traffic:
    """It goes on whatever happens."""

    def __init__(self, stage: Stage, goods: Goods, history: History, mix: Mix, chance: random.Random) -> None:
        self._stage = stage
        self._goods = goods
        self._history = history
        self._mix = mix
        self._chance = chance
        self._now = asyncio.get_running_loop().time
        self._endpoints = goods.endpoints
        self._weights = [each.weight for each in goods.endpoints]
        self._due = asyncio.Semaphore(0)
        self._credit = 0.0
        self._busy: set[tuple[int, int]] = set()

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Raises what goes wrong in the client itself."""
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(self._read_on()) for _ in range(self._mix.readers)]
            tasks += [group.create_task(self._write_on()) for _ in range(self._mix.writers)]
            try:
                yield
            finally:
                for task in tasks:
                    task.cancel()

    async def _read_on(self) -> None:
        async with self._connections(range(len(NAMES))) as connections:
            while True:
                (endpoint,) = self._chance.choices(self._endpoints, self._weights)
                await self._read(endpoint, self._some(), self._chance.choice(connections))
                self._earn()

    async def _read(self, endpoint: Endpoint, which: int, connection: Connection) -> None:
        """Until it is not turned away: on a busy machine as many readers as there are here may be too many."""
        while not await self._is_read(endpoint, which, connection):
            self._history.turned_away += 1
            await asyncio.sleep(TURNED_AWAY_SECONDS)

    async def _is_read(self, endpoint: Endpoint, which: int, connection: Connection) -> bool:
        history, first = self._history, endpoint.first(which)
        read = history.begin_read(endpoint.things, first, endpoint.count, self._now())
        try:
            answer = await connection.ask(endpoint.requests[which], READ_SECONDS)
        except OSError as error:
            history.fail_read(endpoint.name, read, type(error).__name__, self._now())
            await asyncio.sleep(AGAIN_SECONDS)
            return True
        if answer.status == 200:
            versions = endpoint.versions(answer.body, first)
            history.end_read(
                endpoint.name, read, versions, cache=_word(answer.cache), where=connection.name, now=self._now()
            )
            return True
        if (told := _told(answer)) == OVERLOADED:
            return False
        history.fail_read(endpoint.name, read, told, self._now())
        await asyncio.sleep(AGAIN_SECONDS)
        return True

    def _earn(self) -> None:
        self._credit += self._mix.writes / (1 - self._mix.writes)
        if self._credit >= self._mix.burst:
            self._credit -= self._mix.burst
            for _ in range(self._mix.burst):
                self._due.release()

    async def _write_on(self) -> None:
        async with self._connections(self._mix.written_at) as connections:
            while True:
                await self._due.acquire()
                receipt = self._chance.random() < self._mix.receipts
                with self._reserved(self._goods.stock if receipt else self._goods.products) as which:
                    await (self._receive if receipt else self._change)(which, connections)

    async def _change(self, which: int, connections: Sequence[Connection]) -> None:
        """Until it is known what has become of it: that tells the last of it sent again, or a look."""
        things = self._goods.products
        version = self._history.next_version(things, which)
        request = self._goods.change(which, version)
        senders = connections if self._chance.random() < self._mix.twins else [self._chance.choice(connections)]
        fates = await asyncio.gather(*(self._write(things, which, version, request, each) for each in senders))
        end = self._now() + PATIENCE_SECONDS
        while self._now() < end:
            if Fate.IN_DOUBT not in fates or Fate.ACKNOWLEDGED in fates:
                return
            connection = self._chance.choice(connections)
            if self._chance.random() < 0.5:
                await self._read(self._goods.anew, which, connection)
                return
            fates = [await self._write(things, which, version, request, connection)]
            await asyncio.sleep(AGAIN_SECONDS)

    async def _receive(self, which: int, connections: Sequence[Connection]) -> None:
        """Until it has been acknowledged: the next number is that of the next piece."""
        things = self._goods.stock
        version = self._history.next_version(things, which)
        request = self._goods.receipt(which)
        end = self._now() + PATIENCE_SECONDS
        while self._now() < end:
            connection = self._chance.choice(connections)
            if await self._write(things, which, version, request, connection) is Fate.ACKNOWLEDGED:
                return
            await asyncio.sleep(AGAIN_SECONDS)
        raise AssertionError(f"{things.names[which]}: a receipt is never answered: {things.writes[which][-1]}")

    async def _write(self, things: Things, which: int, version: int, request: bytes, connection: Connection) -> Fate:
        history = self._history
        write = history.begin_write(things, which, version, connection.name, self._now())
        try:
            answer = await connection.ask(request, WRITE_SECONDS)
        except OSError as error:
            history.end_write(things, which, write, Fate.IN_DOUBT, type(error).__name__, self._now())
            await asyncio.sleep(AFTERLIFE_SECONDS)
            return Fate.IN_DOUBT
        history.end_write(things, which, write, _fate(answer), _told(answer), self._now())
        return _fate(answer)

    def _some(self) -> int:
        chance, count = self._chance, len(self._goods.ids)
        return chance.randrange(self._mix.hot if chance.random() < 0.5 else count)

    @contextmanager
    def _reserved(self, things: Things) -> Iterator[int]:
        """Something of these that nobody else is writing."""
        which = self._some()
        while (id(things), which) in self._busy:
            which = self._chance.randrange(len(self._goods.ids))
        self._busy.add((id(things), which))
        try:
            yield which
        finally:
            self._busy.discard((id(things), which))

    @asynccontextmanager
    async def _connections(self, servers: Sequence[int]) -> AsyncIterator[Sequence[Connection]]:
        """One to each of the servers."""
        connections = [Connection(self._stage.ports[each], NAMES[each]) for each in servers]
        try:
            yield connections
        finally:
            for connection in connections:
                await connection.close()


def _fate(answer: Answer) -> Fate:
    if answer.status in (200, 201):
        return Fate.ACKNOWLEDGED
    if answer.status >= 500 or Code.IDEMPOTENCY_IN_PROGRESS.encode() in answer.body:
        return Fate.IN_DOUBT
    return Fate.REFUSED


def _told(answer: Answer) -> str:
    if answer.status < 300:
        return str(answer.status)
    return f"{answer.status} {orjson.loads(answer.body)['code']}"


def _word(cache: str) -> str:
    """`hit` or the reason why it was forwarded."""
    if STALE_IF_ERROR in cache:
        return STALE_IF_ERROR
    first = cache.removeprefix("Warehouse; ").partition(";")[0]
    return {"hit": "hit", "fwd=uri-miss": "miss", "fwd=stale": "refresh"}.get(first, first.removeprefix("fwd="))
