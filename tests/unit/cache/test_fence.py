import pytest

from tests.unit.cache.world import World
from warehouse.cache.fence import LEASE_SECONDS
from warehouse.errors import Unavailable

STALE_SECONDS = 10.0


@pytest.fixture
def world() -> World:
    return World()


async def test_a_view_that_can_no_longer_be_confirmed_is_good_for_so_long_after_it_was_usable(world: World) -> None:
    view = await world.fence.look()
    world.clock.advance(LEASE_SECONDS)
    assert world.fence.usable is None
    assert world.fence.unconfirmed(STALE_SECONDS) is view
    world.clock.advance(STALE_SECONDS - 0.01)
    assert world.fence.unconfirmed(STALE_SECONDS) is view
    world.clock.advance(0.01)
    assert world.fence.unconfirmed(STALE_SECONDS) is None


async def test_without_time_for_it_nothing_is_good_unconfirmed(world: World) -> None:
    await world.fence.look()
    world.clock.advance(LEASE_SECONDS)
    assert world.fence.unconfirmed(0.0) is None


def test_before_the_first_look_there_is_none(world: World) -> None:
    assert world.fence.unconfirmed(STALE_SECONDS) is None


async def test_a_look_that_fails_adds_no_time_and_one_that_does_not_does(world: World) -> None:
    await world.fence.look()
    world.clock.advance(STALE_SECONDS)
    world.row.answers = False
    with pytest.raises(Unavailable):
        await world.fence.look()
    world.clock.advance(LEASE_SECONDS)
    assert world.fence.unconfirmed(STALE_SECONDS) is None
    world.row.answers = True
    assert await world.fence.look() is world.fence.unconfirmed(STALE_SECONDS) is not None


async def test_what_was_seen_to_be_switched_off_is_not_good(world: World) -> None:
    view = await world.fence.look()
    await world.fence.switch_off(view)
    assert world.fence.unconfirmed(STALE_SECONDS) is None
