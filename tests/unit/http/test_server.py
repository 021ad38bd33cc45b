"""What signals do to a process of the server."""

import signal
from collections.abc import AsyncIterator
from typing import Any

import pytest

from warehouse.http.draining import is_draining
from warehouse.http.protocol import SteadyHttpProtocol
from warehouse.http.server import DrainingServer, ServerConfig


async def silence(scope: Any, receive: Any, send: Any) -> None:
    pass


def config(drain_seconds: float) -> ServerConfig:
    return ServerConfig(
        silence, port=0, http=SteadyHttpProtocol, lifespan="off", log_config=None, drain_seconds=drain_seconds
    )


@pytest.fixture
def drain_seconds() -> float:
    return 3600.0


@pytest.fixture
async def server(drain_seconds: float) -> AsyncIterator[DrainingServer]:
    server = DrainingServer(config(drain_seconds))
    server.config.load()
    server.lifespan = server.config.lifespan_class(server.config)
    await server.startup()
    yield server
    await server.shutdown()


async def ends(server: DrainingServer) -> bool:
    return await server.on_tick(0)


async def test_sigterm_lets_it_go_on_and_says_so(server: DrainingServer) -> None:
    assert not is_draining(server.lifespan.state)
    server.handle_exit(signal.SIGTERM, None)
    assert is_draining(server.lifespan.state)
    assert not await ends(server)


async def test_a_second_sigterm_changes_nothing(server: DrainingServer) -> None:
    server.handle_exit(signal.SIGTERM, None)
    server.handle_exit(signal.SIGTERM, None)
    assert not await ends(server)


@pytest.mark.parametrize("first", [signal.SIGTERM, signal.SIGINT])
async def test_sigint_ends_the_wait_and_a_second_one_everything(server: DrainingServer, first: signal.Signals) -> None:
    server.handle_exit(first, None)
    if first is signal.SIGTERM:
        server.handle_exit(signal.SIGINT, None)
    assert await ends(server)
    assert not server.force_exit
    server.handle_exit(signal.SIGINT, None)
    assert server.force_exit


@pytest.mark.parametrize("drain_seconds", [0.0])
async def test_with_no_time_to_drain_it_ends_at_once(server: DrainingServer) -> None:
    server.handle_exit(signal.SIGTERM, None)
    assert await ends(server)


async def test_before_it_serves_there_is_nothing_to_drain() -> None:
    server = DrainingServer(config(3600.0))
    server.handle_exit(signal.SIGTERM, None)
    assert server.should_exit
