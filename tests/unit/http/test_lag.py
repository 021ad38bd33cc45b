import asyncio

import pytest
from fastapi import FastAPI

from tests.resilience.world import in_virtual_time
from tests.unit.http.asgi import application, client
from warehouse.http.lag import ARMED_SECONDS, LATE_SECONDS, SAMPLE_SECONDS, STANDING_SECONDS, LagMiddleware, LoopLag

LATE = LATE_SECONDS * 2
IN_TIME = LATE_SECONDS / 2


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def lag(clock: Clock) -> LoopLag:
    return LoopLag(clock)


def late_for(lag: LoopLag, clock: Clock, seconds: float) -> None:
    for _ in range(round(seconds / (SAMPLE_SECONDS + LATE)) + 1):
        clock.now += SAMPLE_SECONDS + LATE
        lag.note(LATE)


def test_being_late_once_is_no_overload(lag: LoopLag, clock: Clock) -> None:
    late_for(lag, clock, 0)
    assert not lag.is_overloaded


def test_a_moment_of_rest_begins_the_count_anew(lag: LoopLag, clock: Clock) -> None:
    for _ in range(5):
        late_for(lag, clock, STANDING_SECONDS * 0.8)
        assert not lag.is_overloaded
        lag.note(IN_TIME)


def test_being_late_without_rest_is_one_until_it_is_in_time(lag: LoopLag, clock: Clock) -> None:
    late_for(lag, clock, STANDING_SECONDS)
    assert lag.is_overloaded
    lag.note(IN_TIME)
    assert not lag.is_overloaded


def test_soon_after_an_overload_being_late_once_is_enough(lag: LoopLag, clock: Clock) -> None:
    late_for(lag, clock, STANDING_SECONDS)
    lag.note(IN_TIME)
    late_for(lag, clock, 0)
    assert lag.is_overloaded
    lag.note(IN_TIME)
    clock.now += ARMED_SECONDS
    lag.note(IN_TIME)
    late_for(lag, clock, 0)
    assert not lag.is_overloaded


@in_virtual_time
async def test_it_measures_the_loop_in_which_it_runs() -> None:
    noted = asyncio.get_running_loop().create_future()

    class Noting(LoopLag):
        def note(self, seconds: float) -> None:
            noted.set_result(seconds)

    running = asyncio.create_task(Noting(asyncio.get_running_loop().time).run())
    assert await noted == pytest.approx(0.0)
    running.cancel()


@pytest.fixture
def shop() -> FastAPI:
    app = application()

    @app.get("/products")
    async def list_products() -> list[int]:
        return [1]

    @app.get("/livez")
    async def livez() -> str:
        return "ok"

    return app


async def test_an_overloaded_process_refuses_everything_but_its_health(
    shop: FastAPI, lag: LoopLag, clock: Clock
) -> None:
    async with client(LagMiddleware(shop, lag)) as http:
        assert (await http.get("/products")).status_code == 200
        late_for(lag, clock, STANDING_SECONDS)
        refused = await http.get("/products")
        assert (refused.status_code, refused.headers["retry-after"]) == (503, "1")
        assert refused.json()["code"] == "overloaded"
        assert (await http.get("/livez")).status_code == 200
        lag.note(IN_TIME)
        assert (await http.get("/products")).status_code == 200
