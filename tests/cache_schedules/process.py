"""A process that serves reads and writes with the production's cache, and notes what it owes and gives."""

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar, cast

from redis.asyncio import Redis

from tests.cache_schedules.client import Client
from tests.cache_schedules.loop import SeededLoop, context_of
from tests.cache_schedules.network import Link
from tests.cache_schedules.plan import DRIFT, PAGES, WHOLE, Page, tags_of
from tests.cache_schedules.servers import Command, LinkedControl, LinkedStore
from tests.cache_schedules.world import Violation, World
from warehouse.cache.entry import Entry
from warehouse.cache.fence import Fence
from warehouse.cache.invalidation import Invalidator
from warehouse.cache.reading import Cache, Loaded, Result, Wanted
from warehouse.cache.redis import RedisCacheStore
from warehouse.cache.segments import SegmentCache
from warehouse.cache.store import CacheStore
from warehouse.errors import Unavailable
from warehouse.policies import Policies

T = TypeVar("T")

KIND = "schedule"
"""What these reads are called in the metrics."""


class Clock:
    """One of those that do not agree: about the hour, nor quite about how long a second is."""

    def __init__(self, loop: SeededLoop, rate: float, offset: float) -> None:
        self._loop = loop
        self._rate = rate
        self._offset = offset

    def now(self) -> float:
        return self._offset + self._rate * self._loop.time()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds / self._rate)


class Process:
    """Requests are tasks in its context: they rest while it is paused."""

    def __init__(self, world: World, number: int) -> None:
        self.number = number
        self.dead = False
        plan, chances, loop = world.plan, world.chances, world.loop
        self.outside = plan.outsider and number == plan.processes - 1

        def link(server: str, failure: Callable[[], Exception]) -> Link:
            return Link(f"{number} to {server}", loop, chances, plan.manners[server], failure, world.trace.note)

        self.links = {
            "store": link("store", world.failure),
            "control": link("control", _unavailable),
            "data": link("data", _unavailable),
        }
        clock = Clock(loop, 1 + DRIFT * chances.one_of((-1, 0, 1)), 1e6 * chances.random())
        store = _store(world, self.links["store"], clock)
        self.fence = Fence(LinkedControl(world.database, self.links["control"]), clock.now, clock.sleep)
        self.cache = Cache(store, self.fence, plan.chance_of(chances), clock.now)
        seconds = max(1.0, plan.kept_seconds[0])
        self.segments = SegmentCache(store, self.fence, KIND, WHOLE, PAGES[-1].tags, seconds)
        self.invalidator = Invalidator(self.fence, None if self.outside else store)
        self._world = world
        self._name = f"process {number}"
        self._context = context_of(number)
        self._wanted = {page: Wanted(KIND, page.name, page.tags) for page in PAGES}
        # In order, as a set of tasks is not.
        self._serving: dict[asyncio.Task[Any], None] = {}
        self._watching = None if self.outside else self._begin(self.fence.run(store))

    def kill(self) -> None:
        """Nothing more comes from it; what it has sent is on its way."""
        self._world.trace.note(self._name, "is killed")
        self.dead = True
        for link in self.links.values():
            link.dead = True
        for task in (*self._serving, *filter(None, [self._watching])):
            task.cancel()

    async def close(self) -> None:
        await self.invalidator.close()
        if self._watching is not None:
            self._watching.cancel()
            await asyncio.gather(self._watching, return_exceptions=True)

    async def serve(self, work: Coroutine[Any, Any, bool]) -> bool:
        """Whether the client got what it wanted. Now and then it does not wait for that."""
        task = self._begin(work)
        self._serving[task] = None
        if self._world.chances.happens(self._world.plan.impatient):
            hurry = self._begin(self._give_up(task))
            task.add_done_callback(lambda _: hurry.cancel())
        try:
            return await task
        except asyncio.CancelledError:
            self._world.happened["given up"] += 1
            return False
        finally:
            del self._serving[task]

    async def read(self, page: Page) -> bool:
        """False where the database did not answer."""
        return await self._read(page) is not None

    async def hits(self, page: Page) -> bool:
        return await self._read(page) in (Result.HIT, Result.NEGATIVE)

    async def write(self, command: Command) -> bool:
        """False where the client is told to try again."""
        try:
            version = await self._written(command)
        except Unavailable:
            self._world.happened["refused"] += 1
            return False
        self._world.ledger.acknowledge(command.item, version)
        self._world.happened["acknowledged"] += 1
        self._world.trace.note(self._name, f"acknowledges item {command.item}", version)
        return True

    async def _read(self, page: Page) -> Result | None:
        world = self._world
        owed = world.ledger.owed(page.items)
        world.trace.note(self._name, f"begins to read {page.name}", owed)
        query = Query(world, self.links["data"], page)
        try:
            result, seen = await (self._read_segments if page.segmented else self._read_value)(page, query)
        except Unavailable:
            if not query.failed:
                raise Violation("a read failed though its own query did not") from None
            world.happened["query failed"] += 1
            return None
        world.trace.note(self._name, f"has read {page.name}, {result}", seen)
        world.happened[f"{'segments' if page.segmented else 'read'}: {result}"] += 1
        world.ledger.check(page.items, owed, seen)
        return result

    async def _read_value(self, page: Page, query: "Query") -> tuple[Result, Sequence[int]]:
        reading = await self.cache.read(self._wanted[page], query.load)
        self._world.happened["joined"] += reading.shared
        return reading.result, _versions(reading.entry)

    async def _read_segments(self, page: Page, query: "Query") -> tuple[Result, Sequence[int]]:
        reading = await self.segments.read(page.name, query.load_parts)
        return reading.result, [version for entry in reading.parts.entries for version in _versions(entry)]

    async def _written(self, command: Command) -> int:
        """As units of work do it: tags are released also after a commit whose outcome is not known, and a command that
        comes again releases them again."""
        try:
            return await self._committed(command)
        finally:
            await self.invalidator.release(tags_of(command.item))

    async def _committed(self, command: Command) -> int:
        version = await self.links["data"].call(partial(self._world.database.commit, command))
        if self._world.chances.happens(self._world.plan.deadly):
            self._world.happened["killed before the release"] += 1
            self.kill()
            await asyncio.sleep(0)  # Here this task gets to know.
        return version

    async def _give_up(self, task: asyncio.Task[bool]) -> None:
        await self._world.idle()
        task.cancel()

    def _begin(self, work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        return self._world.loop.create_task(work, context=self._context)


@dataclass
class Query:
    """What a read does where it is not answered from the cache."""

    world: World
    link: Link
    page: Page
    failed: bool = False

    async def load(self) -> Loaded:
        plan, chances = self.world.plan, self.world.chances
        versions = await self._versions(self.page.items)
        seconds = 0.0 if chances.happens(plan.private) else chances.one_of(plan.kept_seconds)
        return Loaded(_entry(versions, plan.cost * chances.random()), seconds)

    async def load_parts(self, numbers: Sequence[int]) -> Sequence[Entry]:
        return [_entry([version]) for version in await self._versions(numbers)]

    async def _versions(self, items: Sequence[int]) -> list[int]:
        query = self.world.database.query
        try:
            if self.world.chances.happens(0.5):
                return await self.link.call(partial(query, items))
            # Not in one snapshot.
            return [(await self.link.call(partial(query, [item])))[0] for item in items]
        except Unavailable:
            self.failed = True
            raise


def _store(world: World, link: Link, clock: Clock) -> CacheStore:
    if world.plan.redis:
        policies = Policies(monotonic=clock.now)
        return RedisCacheStore(cast("Redis", Client(world.cells, link)), policies.cache, policies.cache_releases)
    return LinkedStore(world.cells, link)


def _entry(versions: Sequence[int], cost: float = 0.0) -> Entry:
    """What was never written is not found."""
    body = ",".join(map(str, versions))
    return Entry(200 if any(versions) else 404, [], f'"{body}"', {"identity": body.encode()}, cost)


def _versions(entry: Entry) -> list[int]:
    return [int(version) for version in entry.forms["identity"].split(b",")]


def _unavailable() -> Unavailable:
    return Unavailable("The database does not answer.")
