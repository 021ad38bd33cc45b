"""SIGTERM under load: who balances it learns of the end before it comes, and every request has its answer."""

import asyncio
import json
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.cli.conftest import Warehouse
from tests.cli.running import Running, running
from tests.cli.test_serving import is_ready
from tests.faults.cache.wire import Answer, Caller, Connection
from tests.process import free_port
from tests.servers import HOST

CLIENTS = 20
WARM_ANSWERS = 10
WORKERS = 2
DRAIN_SECONDS = 1
LONG_DRAIN_SECONDS = 30
ANSWER_SECONDS = 30
PRODUCT = json.dumps({"sku": "D-1", "name": "Rye bread"}).encode()


class Fresh(Connection):
    """Knows whether it has been answered since it connected, or tried to."""

    fresh = True

    async def ask(self, request: bytes, seconds: float) -> Answer:
        self.fresh = self.fresh or self._transport is None or self._transport.is_closing()
        return await super().ask(request, seconds)

    def data_received(self, data: bytes) -> None:
        self.fresh = False
        super().data_received(data)


@dataclass
class Client:
    """Asks one thing again and again until its connection is refused."""

    port: int
    request: bytes
    answers: list[tuple[float, Answer]] = field(default_factory=list)
    warm: asyncio.Event = field(default_factory=asyncio.Event)
    """Set after some answers."""

    async def run(self) -> None:
        connection = Fresh(self.port)
        while True:
            try:
                answer = await connection.ask(self.request, ANSWER_SECONDS)
            except ConnectionRefusedError:
                return
            except OSError:
                # The system may have connected it to a socket that nobody accepted from any more.
                assert connection.fresh, "an answer was cut off, or a connection was closed without notice"
            else:
                self.answers.append((asyncio.get_running_loop().time(), answer))
                if len(self.answers) == WARM_ANSWERS:
                    self.warm.set()


@pytest.fixture
def caller(folder: Path, warehouse: Warehouse) -> Caller:
    assert warehouse("migrate").status == 0
    return Caller(warehouse("keys", "create", "--role=admin", "--name=load").out.strip())


@pytest.fixture
def port() -> int:
    return free_port()


@pytest.fixture
def server(folder: Path, caller: Caller, port: int) -> Iterator[Running]:
    with serving(folder, port, DRAIN_SECONDS) as server:
        yield server


@contextmanager
def serving(folder: Path, port: int, drain_seconds: int) -> Iterator[Running]:
    settings = {"DRAIN_SECONDS": str(drain_seconds), "RATE_LIMIT_ENABLED": "false"}
    with running(folder, "serve", f"--port={port}", f"--workers={WORKERS}", **settings) as server:
        server.wait_until(lambda: server.err.count("Application startup complete") == WORKERS)
        server.wait_until(lambda: is_ready(port))
        yield server


async def test_a_server_under_load_ends_without_a_lost_answer(server: Running, caller: Caller, port: int) -> None:
    clients = [Client(port, caller.request("/v1/products")) for _ in range(CLIENTS)]
    balancer = Client(port, caller.request("/readyz"))
    async with asyncio.TaskGroup() as running:
        for client in (*clients, balancer):
            running.create_task(client.run())
        for client in clients:
            await client.warm.wait()
        ended = running.create_task(asyncio.to_thread(server.ends_clean, signal.SIGTERM))

    assert ended.result() == 0
    answers = [answer for client in clients for answer in client.answers]
    assert {answer.status for _, answer in answers} == {200}
    told = [(when, json.loads(answer.body)["status"]) for when, answer in balancer.answers]
    assert {status for _, status in told} == {"ready", "draining"}
    first = next(when for when, status in told if status == "draining")
    after = sum(when > first for when, _ in answers)
    print(f"{len(answers)} answers, {after} of them after the first readyz that says draining")  # noqa: T201
    assert after > CLIENTS


async def test_a_request_in_flight_is_answered_after_the_address_is_closed(
    server: Running, caller: Caller, port: int
) -> None:
    request = caller.request("/v1/products", "POST", PRODUCT, Idempotency_Key="drain")
    reader, writer = await asyncio.open_connection(HOST, port)
    writer.write(request[:-1])
    await writer.drain()
    balancer = Client(port, caller.request("/readyz"))
    async with asyncio.TaskGroup() as running:
        ended = running.create_task(asyncio.to_thread(server.ends_clean, signal.SIGTERM))
        await balancer.run()
        writer.write(request[-1:])
        answer = await reader.read()
    assert answer.startswith(b"HTTP/1.1 201 ")
    assert b"\r\nconnection: close\r\n" in answer
    assert ended.result() == 0
    writer.close()


def test_ctrl_c_does_not_wait(folder: Path, caller: Caller, port: int) -> None:
    """The supervisor passes it on as a SIGTERM, which a process may get first: then that drains for a moment."""
    with serving(folder, port, LONG_DRAIN_SECONDS) as server:
        begun = time.monotonic()
        assert server.ends_clean(signal.SIGINT) == 0
    assert time.monotonic() - begun < LONG_DRAIN_SECONDS


def test_ctrl_c_ends_the_wait(folder: Path, caller: Caller, port: int) -> None:
    with serving(folder, port, 300) as server:
        server.process.send_signal(signal.SIGTERM)
        server.wait_until(lambda: not is_ready(port))
        assert server.ends_clean(signal.SIGINT) == 0
