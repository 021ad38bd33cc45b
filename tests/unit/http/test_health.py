import asyncio
import logging

import pytest
from starlette.types import Receive, Scope, Send

from tests.unit.http.asgi import application, client
from warehouse.http.draining import DRAINING
from warehouse.http.health import Check, health_router


async def answering() -> None:
    pass


async def refusing() -> None:
    raise ConnectionError("mysql://root:hunter2@db refused")


async def silent() -> None:
    await asyncio.Event().wait()


async def ready(**checks: Check) -> tuple[int, object]:
    app = application()
    app.include_router(health_router(checks, seconds=0.01))
    async with client(app) as http:
        response = await http.get("/readyz")
    assert "hunter2" not in response.text
    return response.status_code, response.json()


async def test_a_live_process_says_so_whatever_it_stands_on() -> None:
    app = application()
    app.include_router(health_router({"database": refusing}))
    async with client(app) as http:
        response = await http.get("/livez")

    assert (response.status_code, response.json()) == (200, {"status": "ok"})


async def test_it_is_ready_when_everything_answers() -> None:
    assert await ready(database=answering, redis=answering) == (
        200,
        {"status": "ready", "checks": {"database": "ok", "redis": "ok"}},
    )


@pytest.mark.parametrize("failing", [refusing, silent])
async def test_it_is_not_ready_when_the_database_fails_or_is_silent(failing: Check) -> None:
    assert await ready(database=failing, redis=answering) == (
        503,
        {"status": "not_ready", "checks": {"database": "failing", "redis": "ok"}},
    )


@pytest.mark.parametrize("failing", [refusing, silent])
async def test_it_is_degraded_but_serves_when_redis_fails_or_is_silent(failing: Check) -> None:
    assert await ready(database=answering, redis=failing) == (
        200,
        {"status": "degraded", "checks": {"database": "ok", "redis": "failing"}},
    )


async def test_what_fails_is_logged_without_its_text(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        await ready(database=refusing)

    assert "check=database error=ConnectionError" in caplog.text
    assert "hunter2" not in caplog.text


async def test_a_server_that_drains_is_not_ready_whatever_answers() -> None:
    app = application()
    app.include_router(health_router({"database": answering}))

    async def drained(scope: Scope, receive: Receive, send: Send) -> None:
        await app({**scope, "state": {DRAINING: True}}, receive, send)

    async with client(drained) as http:
        response = await http.get("/readyz")
        live = await http.get("/livez")

    assert (response.status_code, response.json()) == (503, {"status": "draining", "checks": {"database": "ok"}})
    assert live.status_code == 200
