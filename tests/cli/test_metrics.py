"""Whichever process of the server is asked for metrics answers for all of them."""

import os
import signal
import time
from contextlib import ExitStack
from pathlib import Path

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.cli.running import running
from tests.cli.test_serving import is_ready
from tests.conftest import FreshDatabase
from tests.process import TLS, free_port
from tests.servers import HOST
from tests.serving import WarehouseServer
from warehouse.metrics import FOLDER_VARIABLE

REQUESTS = 200
GATHERINGS = 20
CLIENTS = 20
SCRAPES = 20
COUNT_SECONDS = 10
RESTART_SECONDS = 60
COUNT = "warehouse_http_requests_total"
TIMED = "warehouse_http_request_duration_seconds_count"


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the server's temporary files are."""
    folder = tmp_path / "temporary files"
    folder.mkdir()
    monkeypatch.setenv("TMPDIR", str(folder))
    monkeypatch.delenv(FOLDER_VARIABLE, raising=False)
    return folder


def scraped(url: str, name: str) -> float:
    """What is counted of GET /livez."""
    answer = httpx.get(f"{url}/metrics", timeout=30, trust_env=False, verify=TLS).raise_for_status()
    samples = [each for family in text_string_to_metric_families(answer.text) for each in family.samples]
    return sum(each.value for each in samples if each.name == name and each.labels.get("route") == "/livez")


def counts(url: str, requests: int) -> bool:
    """Whether so many requests are counted, and no scrape tells otherwise; an answer may be there before its count."""
    deadline = time.monotonic() + COUNT_SECONDS
    while scraped(url, COUNT) < requests and time.monotonic() < deadline:
        time.sleep(0.01)
    return {scraped(url, name) for name in (COUNT, TIMED) for _ in range(SCRAPES)} == {requests}


def ask(server: WarehouseServer) -> int:
    """How many requests it took until each process answered some."""
    for gathering in range(1, GATHERINGS + 1):
        with ExitStack() as stack:
            clients = [
                stack.enter_context(httpx.Client(base_url=server.url, trust_env=False, verify=TLS))
                for _ in range(CLIENTS)
            ]
            for number in range(REQUESTS):
                clients[number % CLIENTS].get("/livez").raise_for_status()
            if all(server.connections()):
                return gathering * REQUESTS
    raise AssertionError("one process serves everybody")


def test_the_counts_of_all_processes_are_summed_and_outlive_a_killed_one(
    temporary: Path, fresh_database: FreshDatabase
) -> None:
    with WarehouseServer(fresh_database("sqlite"), workers=2) as server:
        asked = ask(server)
        assert counts(server.url, asked)

        [killed, other] = server.processes()
        os.kill(killed, signal.SIGKILL)
        wait_for_replacement(server, killed)
        assert counts(server.url, asked)
        assert counts(server.url, asked + ask(server))
        assert other in server.processes()

        [folder] = temporary.glob("warehouse-metrics-*")
        assert folder.stat().st_mode & 0o077 == 0
    assert not list(temporary.iterdir())


def wait_for_replacement(server: WarehouseServer, killed: int) -> None:
    deadline = time.monotonic() + RESTART_SECONDS
    while killed in server.processes() or not answers(server):
        assert time.monotonic() < deadline, "a killed process is not replaced"
        time.sleep(0.05)


def answers(server: WarehouseServer) -> bool:
    """Whether each process is up, without a request that the test counts."""
    try:
        server.ping()
    except server.not_ready:
        return False
    return True


@pytest.mark.parametrize("workers", [1, 2])
def test_a_folder_that_its_operator_names_is_used_and_left(
    workers: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    port, folder = free_port(), tmp_path / "counts"
    monkeypatch.setenv(FOLDER_VARIABLE, str(folder))
    with running(tmp_path, "serve", f"--port={port}", f"--workers={workers}") as server:
        server.wait_until(lambda: is_ready(port))
        httpx.get(f"http://{HOST}:{port}/livez", trust_env=False, verify=TLS).raise_for_status()
        assert counts(f"http://{HOST}:{port}", 1)
        assert not [each for each in server.temporary if "metrics" in each.name]
        assert server.ends_clean(signal.SIGTERM) == 0
    assert list(folder.glob("counter_*.db"))


def test_a_process_alone_counts_in_its_memory(tmp_path: Path, temporary: Path) -> None:
    port = free_port()
    with running(tmp_path, "serve", f"--port={port}") as server:
        server.wait_until(lambda: is_ready(port))
        httpx.get(f"http://{HOST}:{port}/livez", trust_env=False, verify=TLS).raise_for_status()
        assert counts(f"http://{HOST}:{port}", 1)
        assert not [each for each in server.temporary if "metrics" in each.name]


def test_with_its_operators_valkey_the_folder_is_gone_as_well(temporary: Path, tmp_path: Path) -> None:
    port = free_port()
    address = f"redis://{HOST}:{free_port()}"
    with running(tmp_path, "serve", f"--port={port}", "--workers=2", REDIS_URL=address) as server:
        server.wait_until(lambda: "Application startup complete" in server.err)
        assert server.temporary
        assert server.ends_clean(signal.SIGTERM) == 0
