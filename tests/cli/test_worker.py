"""`warehouse worker` as its operator runs it: which queues, and what those hear who watch it."""

import asyncio
import json
import signal
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from uuid import UUID

import httpx
import pytest
from httpx import ASGITransport, AsyncClient
from prometheus_client.parser import text_string_to_metric_families

from tests.cli.conftest import Warehouse
from tests.cli.running import Running, running
from tests.cli.test_serving import is_ready
from tests.conftest import FreshDatabase
from tests.process import TLS, free_port
from tests.servers import HOST, Valkey
from warehouse.app import create_app
from warehouse.auth.model import Role
from warehouse.clock import utc_now
from warehouse.container import Container
from warehouse.settings import CacheSettings, DatabaseSettings, RedisSettings, Settings
from warehouse.storage.migrations import migrate
from warehouse.tasks.model import ATTEMPTS, TaskDraft, new_task

ROWS = 30_000
"""They take a worker some seconds."""


@pytest.fixture
def own_valkey() -> Iterator[Valkey]:
    with Valkey() as server:
        yield server


@pytest.fixture
def settings(tmp_path: Path, own_valkey: Valkey, fresh_database: FreshDatabase) -> Settings:
    url = fresh_database("sqlite")
    migrate(url)
    return Settings(
        database=DatabaseSettings(url=url),
        redis=RedisSettings(url=own_valkey.url()),
        cache=CacheSettings(enabled=False),
        data_dir=tmp_path / "var",
    )


@pytest.fixture
def port() -> int:
    return free_port()


@pytest.fixture
def worker(settings: Settings, tmp_path: Path, port: int) -> Iterator[Running]:
    """That of the long queue."""
    environment = {
        "DATABASE_URL": settings.database.url,
        "REDIS_URL": settings.redis.url,
        "DATA_DIR": str(settings.data_dir),
        "LOG_LEVEL": "info",
    }
    arguments = ("--queues=long", "--concurrency=1", f"--health-port={port}")
    with running(tmp_path, "worker", *arguments, **environment) as worker:
        worker.wait_until(lambda: is_ready(port))
        yield worker


@asynccontextmanager
async def api(settings: Settings) -> AsyncIterator[AsyncClient]:
    """The API beside the worker, on the same database, Valkey and folder."""
    container = Container(settings)
    try:
        secret = (await container.api_keys.issue("test", Role.ADMIN)).secret.text
        headers = {"Authorization": f"Bearer {secret}"}
        transport = ASGITransport(create_app(settings, container))
        async with AsyncClient(transport=transport, base_url="http://warehouse.test", headers=headers) as client:
            yield client
    finally:
        await container.close()


def told(port: int, path: str) -> httpx.Response:
    return httpx.get(f"http://{HOST}:{port}{path}", timeout=30, trust_env=False, verify=TLS)


def samples(port: int, name: str) -> dict[str, float]:
    """What is counted, by the values of the labels."""
    answer = told(port, "/metrics").raise_for_status()
    return {
        " ".join(sample.labels.values()): sample.value
        for family in text_string_to_metric_families(answer.text)
        for sample in family.samples
        if sample.name == name
    }


async def test_who_watches_a_worker_hears_how_it_is_doing(settings: Settings, worker: Running, port: int) -> None:
    live, ready, nothing = [told(port, path) for path in ("/livez", "/readyz", "/v1/products")]
    assert (live.status_code, live.json()) == (200, {"status": "ok"})
    assert ready.json() == {"status": "ready", "checks": {"database": "ok", "blobs": "ok", "redis": "ok"}}
    assert (nothing.status_code, nothing.headers["content-type"]) == (404, "application/problem+json")
    async with api(settings) as client:
        task = (await client.post("/v1/exports?kind=stock")).json()
        short = {"products": [{"sku": "A", "name": "B"}]}
        await client.post("/v1/products/batch", json=short, headers={"Prefer": "respond-async"})
        worker.wait_until(lambda: samples(port, "warehouse_task_attempts_total") == {"export_stock succeeded": 1})
        worker.wait_until(lambda: samples(port, "warehouse_tasks_queued") == {"short": 1, "long": 0})
        assert (await client.get(f"/v1/tasks/{task['id']}")).json()["status"] == "succeeded"
    assert worker.end(signal.SIGTERM) == 0
    with socket.socket() as probe:
        assert probe.connect_ex((HOST, port)) != 0


async def test_a_last_attempt_is_made_in_a_process_of_its_own(settings: Settings, worker: Running, port: int) -> None:
    def has_done(count: int) -> bool:
        return samples(port, "warehouse_task_attempts_total") == {"export_stock succeeded": count}

    async with api(settings) as client:
        first = (await client.post("/v1/exports?kind=stock")).json()
        await asyncio.to_thread(worker.wait_until, partial(has_done, 1))
        container = Container(settings)
        async with container.uow() as uow:
            task = await uow.tasks.get(UUID(first["id"]))
            assert task is not None
            anew = new_task(TaskDraft(task.kind, task.queue, task.parameters), task.caller_id, task.actor, utc_now())
            await uow.tasks.add(replace(anew, attempt=ATTEMPTS - 1))
            await uow.commit()
        await container.close()
        await asyncio.to_thread(worker.wait_until, partial(has_done, 2))
        found = (await client.get(f"/v1/tasks/{anew.id}")).json()
        assert (found["status"], found["attempt"]) == ("succeeded", ATTEMPTS)
        results = [(await client.get(f"/v1/tasks/{each}/result")).raise_for_status() for each in (task.id, anew.id)]
        assert results[0].content == results[1].content
    assert f"task.isolated id={anew.id}" in worker.err
    assert worker.end(signal.SIGTERM) == 0
    assert "Traceback" not in worker.err


async def test_a_worker_that_drains_says_so_and_lets_its_task_end(
    settings: Settings, worker: Running, port: int
) -> None:
    lines = "\n".join(json.dumps({"sku": f"S-{number}", "name": "Rye bread"}) for number in range(ROWS))
    async with api(settings) as client:
        headers = {"Content-Type": "application/x-ndjson"}
        response = await client.post("/v1/imports?kind=products", content=lines.encode(), headers=headers)
        worker.wait_until(lambda: samples(port, "warehouse_tasks_running").get("long") == 1)
        worker.process.send_signal(signal.SIGTERM)
        worker.wait_until(lambda: not is_ready(port))
        draining = told(port, "/readyz")
        assert (draining.status_code, draining.json()["status"]) == (503, "draining")
        assert worker.process.wait(60) == 0
        task = (await client.get(response.headers["location"])).json()
        assert (task["status"], task["progress"]["done"], task["attempt"]) == ("succeeded", ROWS, 1)
    assert "worker.draining" in worker.err
    assert "Traceback" not in worker.err


@pytest.mark.parametrize("queues", ["x", "short,x", "", "short;long"])
def test_a_queue_that_there_is_not_is_told(
    queues: str, warehouse: Warehouse, monkeypatch: pytest.MonkeyPatch, own_valkey: Valkey
) -> None:
    monkeypatch.setenv("WAREHOUSE_REDIS_URL", own_valkey.url())
    assert warehouse("worker", f"--queues={queues}").message == "--queues: choose among short, long."


def test_a_health_port_that_is_taken_is_told(
    warehouse: Warehouse, monkeypatch: pytest.MonkeyPatch, own_valkey: Valkey
) -> None:
    monkeypatch.setenv("WAREHOUSE_REDIS_URL", own_valkey.url())
    with socket.socket() as taken:
        taken.bind((HOST, 0))
        taken.listen()
        port = taken.getsockname()[1]
        message = warehouse("worker", f"--health-port={port}").message
    assert message == f"Cannot listen on {HOST}:{port}: Address already in use."
