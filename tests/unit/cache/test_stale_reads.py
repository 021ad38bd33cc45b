"""What is shown of the cache while the database is away."""

import asyncio
from collections.abc import Sequence

import pytest

from tests.unit.cache.world import World
from warehouse.cache.entry import Entry
from warehouse.cache.fence import LEASE_SECONDS
from warehouse.cache.reading import Cache, Loaded, Reading, Result, Wanted
from warehouse.cache.segments import PartsReading, SegmentCache
from warehouse.cache.values import tag_key
from warehouse.errors import Unavailable

STALE_SECONDS = 10.0
TAGS = ["product:1", "products"]
SEGMENTS = ["segment:0", "segment:1"]
WHOLE = "products"


def entry(text: str) -> Entry:
    return Entry(200, (), f'"{text}"', {"identity": text.encode()})


def never() -> float:
    """What is left to chance does not happen."""
    return 0.999


class Values:
    """A cache of single values, as a process has it."""

    def __init__(self, world: World, stale_seconds: float = STALE_SECONDS) -> None:
        self._cache = Cache(world.shelf, world.fence, never, world.clock, stale_seconds)
        self.loaded = "bread"
        self.tag = TAGS[0]

    async def read(self) -> Reading:
        return await self._cache.read(Wanted("product", "/1", TAGS), self._load)

    async def last(self) -> Reading | None:
        return await self._cache.last(Wanted("product", "/1", TAGS))

    async def _load(self) -> Loaded:
        return Loaded(entry(self.loaded), 60.0)

    @staticmethod
    def text(reading: Reading) -> str:
        return reading.entry.forms["identity"].decode()


class Segments:
    """The same of one value in parts."""

    def __init__(self, world: World, stale_seconds: float = STALE_SECONDS) -> None:
        self._cache = SegmentCache(world.shelf, world.fence, "snapshot", WHOLE, SEGMENTS, 3600.0, stale_seconds)
        self.loaded = "bread"
        self.tag = SEGMENTS[1]

    async def read(self) -> PartsReading:
        return await self._cache.read("all", self._load)

    async def last(self) -> PartsReading | None:
        return await self._cache.last("all")

    async def _load(self, numbers: Sequence[int]) -> Sequence[Entry]:
        return [entry(f"{self.loaded}{number}") for number in numbers]

    @staticmethod
    def text(reading: PartsReading) -> str:
        return b",".join(each.forms["identity"] for each in reading.parts.entries).decode()


KINDS = [Values, Segments]
SHOWN: dict[type, str] = {Values: "bread", Segments: "bread0,bread1"}


@pytest.fixture
async def world() -> World:
    """With the database seen a moment ago."""
    world = World()
    await world.fence.look()
    return world


def the_database_is_away(world: World) -> None:
    world.row.answers = False
    world.clock.advance(LEASE_SECONDS)
    assert world.fence.usable is None


@pytest.mark.parametrize("kind", KINDS)
async def test_what_was_cached_is_shown_for_what_it_is(world: World, kind: type[Values] | type[Segments]) -> None:
    cache = kind(world)
    await cache.read()
    the_database_is_away(world)
    last = await cache.last()
    assert last is not None
    assert last.result is Result.STALE
    assert cache.text(last) == SHOWN[kind]  # type: ignore[arg-type]  # each cache has its own readings


@pytest.mark.parametrize("kind", KINDS)
async def test_another_process_shows_it_as_well(world: World, kind: type[Values] | type[Segments]) -> None:
    await kind(world).read()
    the_database_is_away(world)
    assert await kind(world).last() is not None


@pytest.mark.parametrize("kind", KINDS)
async def test_what_is_not_cached_is_not_shown(world: World, kind: type[Values] | type[Segments]) -> None:
    the_database_is_away(world)
    assert await kind(world).last() is None


@pytest.mark.parametrize("kind", KINDS)
async def test_what_has_been_written_to_is_not_shown_in_its_old_form(
    world: World, kind: type[Values] | type[Segments]
) -> None:
    cache = kind(world)
    await cache.read()
    prefix = world.row.view.prefix
    await world.shelf.drop([tag_key(prefix, cache.tag)])
    await world.shelf.drop([tag_key(prefix, WHOLE)])
    the_database_is_away(world)
    assert await cache.last() is None
    assert await cache.last() is None


@pytest.mark.parametrize("kind", KINDS)
async def test_it_is_shown_for_a_bounded_time(world: World, kind: type[Values] | type[Segments]) -> None:
    cache = kind(world)
    await cache.read()
    the_database_is_away(world)
    world.clock.advance(STALE_SECONDS - 0.01)
    assert await cache.last() is not None
    world.clock.advance(0.01)
    assert await cache.last() is None


@pytest.mark.parametrize("kind", KINDS)
async def test_with_no_time_for_it_nothing_is_shown(world: World, kind: type[Values] | type[Segments]) -> None:
    cache = kind(world, stale_seconds=0.0)
    await cache.read()
    the_database_is_away(world)
    assert await cache.last() is None


@pytest.mark.parametrize("kind", KINDS)
async def test_without_the_store_nothing_is_shown(world: World, kind: type[Values] | type[Segments]) -> None:
    cache = kind(world)
    await cache.read()
    the_database_is_away(world)
    world.shelf.answers = False
    assert await cache.last() is None


@pytest.mark.parametrize("kind", KINDS)
async def test_what_was_cached_before_the_cache_was_switched_off_is_not_shown(
    world: World, kind: type[Values] | type[Segments]
) -> None:
    cache = kind(world)
    await cache.read()
    await world.fence.switch_off(world.row.view)
    the_database_is_away(world)
    assert await cache.last() is None


@pytest.mark.parametrize("kind", KINDS)
async def test_after_the_outage_reads_are_of_the_cache_or_the_database_again(
    world: World, kind: type[Values] | type[Segments]
) -> None:
    cache = kind(world)
    await cache.read()
    the_database_is_away(world)
    await cache.last()
    world.row.answers = True
    await world.fence.look()
    assert (await cache.read()).result is Result.HIT
    await world.shelf.drop([tag_key(world.row.view.prefix, tag) for tag in (cache.tag, WHOLE)])
    cache.loaded = "rye"
    assert (await cache.read()).result is Result.MISS


async def test_a_stale_snapshot_does_not_wait_for_the_database(world: World) -> None:
    """Of parts that are missing nothing can be had, and nobody else's try to make them is waited for."""
    cache = SegmentCache(world.shelf, world.fence, "snapshot", WHOLE, SEGMENTS, 3600.0, STALE_SECONDS)
    hanging = asyncio.Event()

    async def load(numbers: Sequence[int]) -> Sequence[Entry]:
        hanging.set()
        await asyncio.Event().wait()
        raise Unavailable("The database does not answer.")

    reading = asyncio.create_task(cache.read("all", load))
    await hanging.wait()
    the_database_is_away(world)
    async with asyncio.timeout(30):
        assert await cache.last("all") is None
    reading.cancel()
    await asyncio.gather(reading, return_exceptions=True)
