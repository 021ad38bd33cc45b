"""`warehouse serve` ends when told to, with everything that it started."""

import signal
import socket
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
import redis

from tests.cli.running import Running, running
from tests.process import TLS, free_port
from tests.servers import HOST


def is_ready(port: int) -> bool:
    try:
        return httpx.get(f"http://{HOST}:{port}/readyz", timeout=5, trust_env=False, verify=TLS).status_code == 200
    except httpx.HTTPError:
        return False


@pytest.fixture
def port() -> int:
    return free_port()


@pytest.fixture(params=[1, 2])
def workers(request: pytest.FixtureRequest) -> int:
    number: int = request.param
    return number


@pytest.fixture
def server(workers: int, tmp_path: Path, port: int) -> Iterator[Running]:
    with running(tmp_path, "serve", f"--port={port}", f"--workers={workers}") as server:
        server.wait_until(lambda: is_ready(port))
        yield server


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_it_in_order_with_all_that_it_started(
    number: signal.Signals, server: Running, workers: int, port: int
) -> None:
    assert len(server.valkeys()) == 1
    assert len(server.started()) >= workers
    with httpx.Client(trust_env=False, verify=TLS) as idle:
        # A client that keeps its connection holds nothing up.
        assert idle.get(f"http://{HOST}:{port}/livez").status_code == 200
        assert server.ends_clean(number) == 0
    with socket.socket() as probe:
        assert probe.connect_ex((HOST, port)) != 0
    assert server.out == ""


@pytest.mark.parametrize("workers", [1])
def test_a_closed_terminal_ends_it_with_all_that_it_started(server: Running) -> None:
    assert server.ends_clean(signal.SIGHUP) == 0


@pytest.mark.parametrize("workers", [2])
def test_two_workers_share_one_valkey(server: Running) -> None:
    [valkey] = server.valkeys()
    environments = [Path(f"/proc/{pid}/environ").read_text().split("\0") for pid in server.started() if pid != valkey]
    urls = [
        line.partition("=")[2] for lines in environments for line in lines if line.startswith("WAREHOUSE_REDIS_URL=")
    ]
    assert len(urls) >= 2
    assert len(set(urls)) == 1
    with redis.Redis.from_url(urls[0]) as client:
        assert client.info("server")["process_id"] == valkey
        server.wait_until(lambda: len(client.client_list()) > 2)


def test_without_a_redis_of_its_operator_only_it_starts_a_valkey(tmp_path: Path, port: int) -> None:
    with running(tmp_path, "serve", f"--port={port}", REDIS_URL=f"redis://{HOST}:{free_port()}") as server:
        server.wait_until(lambda: "Uvicorn running" in server.err)
        assert server.valkeys() == []
        assert server.end(signal.SIGTERM) == 0


def test_a_connection_too_many_is_turned_away(tmp_path: Path, port: int) -> None:
    with running(tmp_path, "serve", f"--port={port}", LIMITS_CONNECTIONS="1") as server:
        server.wait_until(lambda: is_ready(port))
        with httpx.Client(base_url=f"http://{HOST}:{port}", trust_env=False, verify=TLS) as first:
            first.get("/livez")
            refused = httpx.get(f"http://{HOST}:{port}/livez", trust_env=False, verify=TLS)
            assert (refused.status_code, refused.headers["retry-after"]) == (503, "1")
            assert first.get("/livez").status_code == 200
        assert server.end(signal.SIGTERM) == 0
