"""The worker ends reservations that are past their time, in a process of its own and inside the server's."""

import asyncio
import gc
import logging
import signal
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
import redis.asyncio as asynchronous

from tests.cli.running import running
from tests.contract.ledger import Ledger, line
from tests.process import free_port
from tests.servers import HOST
from tests.worker.conftest import PinnedValkey, eventually
from warehouse.auth.model import Role
from warehouse.auth.service import ApiKeyService
from warehouse.catalogue.model import Product
from warehouse.policies import Policies
from warehouse.stock.model import Reservation, ReservationStatus
from warehouse.tasks import worker as workers
from warehouse.tasks.arq_queue import ArqJobQueue
from warehouse.tasks.running import TaskRunner
from warehouse.tasks.sweeping import Sweep
from warehouse.tasks.worker import Duties, Duty, make_workers, run_in_process


async def reserved(ledger: Ledger, hold: timedelta | None = None) -> tuple[Product, Reservation]:
    """Two units of a new product held so long, or past their time already."""
    product, location = await ledger.stocked(5)
    if hold is not None:
        return product, await ledger.reserve(line(product, 2, location), hold=hold)
    reservation = await ledger.reserve(line(product, 2, location))
    await ledger.lapse(reservation)
    return product, reservation


async def swept(ledger: Ledger, product: Product) -> bool:
    """Whether what was held is given back in the very rows."""
    [(on_hand, held)] = (await ledger.stored(product)).values()
    assert on_hand == 5
    return held == 0


def duties_of(ledger: Ledger, client: "asynchronous.Redis") -> Duties:
    """No tasks, and reservations every second."""
    queue = ArqJobQueue(client, Policies().queue)
    duty = Duty("expire_reservations", ledger.reservations.expire_due, second=frozenset(range(60)))
    return Duties(TaskRunner(ledger.uow, {}), Sweep(ledger.uow, queue), [duty])


async def sweeps(ledger: Ledger) -> None:
    product, _ = await reserved(ledger)
    await eventually(lambda: swept(ledger, product))


class TestAProcess:
    @pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
    async def test_ends_what_is_past_its_time_and_then_itself_when_told(
        self, number: signal.Signals, ledger: Ledger, own_url: str, pinned_valkey: PinnedValkey, tmp_path: Path
    ) -> None:
        with (
            pinned_valkey.up(),
            running(tmp_path, "worker", DATABASE_URL=own_url, REDIS_URL=pinned_valkey.url) as worker,
        ):
            product, reservation = await reserved(ledger, hold=timedelta(seconds=1))
            kept, _ = await reserved(ledger, hold=timedelta(hours=1))
            await eventually(lambda: swept(ledger, product))
            assert (await ledger.reservations.get(reservation.id)).status is ReservationStatus.EXPIRED
            assert not await swept(ledger, kept)
            assert worker.end(number) == 0
            assert worker.err.rstrip().endswith("worker.stopped")
            assert "Traceback" not in worker.err

    async def test_lets_a_job_end_that_it_has_begun(
        self, ledger: Ledger, own_url: str, pinned_valkey: PinnedValkey, tmp_path: Path
    ) -> None:
        product, reservation = await reserved(ledger)
        with (
            pinned_valkey.up() as client,
            running(tmp_path, "worker", DATABASE_URL=own_url, REDIS_URL=pinned_valkey.url) as worker,
        ):

            async def has_begun() -> bool:
                return bool(client.keys("arq:in-progress:*"))

            async with ledger.uow() as uow:
                # Nobody else gets at the reservation until this transaction ends.
                await uow.reservations.extend(reservation.id, reservation.expires_at, reservation.created_at)
                await eventually(has_begun)
                worker.process.send_signal(signal.SIGTERM)
                worker.wait_until(lambda: "worker.waiting tasks=1" in worker.err)
            assert worker.process.wait(30) == 0
        assert await swept(ledger, product)

    async def test_whose_redis_goes_away_ends_when_told_all_the_same(
        self, ledger: Ledger, own_url: str, pinned_valkey: PinnedValkey, tmp_path: Path
    ) -> None:
        with running(tmp_path, "worker", DATABASE_URL=own_url, REDIS_URL=pinned_valkey.url) as worker:
            with pinned_valkey.up() as client:

                async def is_idle() -> bool:
                    return not client.exists("warehouse:duties")

                await sweeps(ledger)
                # A job that cannot tell Redis of its end is waited for as long as any other.
                await eventually(is_idle)
            assert worker.end(signal.SIGTERM) == 0
            assert "Traceback" not in worker.err


class TestInsideTheServer:
    @pytest.fixture
    async def key(self, ledger: Ledger) -> str:
        keys = ApiKeyService(ledger.uow, ledger.commands)
        return (await keys.issue("test", Role.VIEWER)).secret.text

    async def test_it_outlives_its_valkey_and_the_server_keeps_answering(
        self, ledger: Ledger, own_url: str, key: str, pinned_valkey: PinnedValkey, tmp_path: Path
    ) -> None:
        port = free_port()
        settings = {"DATABASE_URL": own_url, "REDIS_URL": pinned_valkey.url, "JOBS_IN_PROCESS": "true"}
        async with httpx.AsyncClient(
            base_url=f"http://{HOST}:{port}", headers={"Authorization": f"Bearer {key}"}, timeout=10, trust_env=False
        ) as client:

            async def readiness() -> dict[str, Any]:
                try:
                    found: dict[str, Any] = (await client.get("/readyz")).json()
                except httpx.TransportError:
                    return {}
                return found

            async def is_ready() -> bool:
                return (await readiness()).get("status") == "ready"

            async def lacks_redis_alone() -> bool:
                return (await readiness()).get("checks") == {
                    "database": "ok",
                    "blobs": "ok",
                    "redis": "failing",
                }

            with running(tmp_path, "serve", f"--port={port}", **settings) as server:
                with pinned_valkey.up():
                    await eventually(is_ready)
                    await sweeps(ledger)
                product, _ = await reserved(ledger)
                await eventually(lacks_redis_alone)
                for path in ("/livez", "/v1/products?limit=1", f"/v1/stock?product_id={product.id}"):
                    assert (await client.get(path)).status_code == 200
                with pinned_valkey.up():
                    await eventually(lambda: swept(ledger, product))
                    await eventually(is_ready)
                    await sweeps(ledger)
                    assert server.end(signal.SIGTERM) == 0

    @pytest.fixture
    def in_process(
        self, ledger: Ledger, pinned_valkey: PinnedValkey, monkeypatch: pytest.MonkeyPatch
    ) -> AbstractAsyncContextManager["asyncio.Task[None]"]:
        """A worker that sweeps every second and gives a Redis that is away up at once."""
        monkeypatch.setattr(workers, "RETRIES", 0)
        monkeypatch.setattr(workers, "RESTART_SECONDS", 0.05)

        @asynccontextmanager
        async def in_process() -> AsyncIterator["asyncio.Task[None]"]:
            client = asynchronous.Redis.from_url(pinned_valkey.url)
            task = asyncio.create_task(run_in_process(pinned_valkey.url, duties_of(ledger, client)))
            try:
                yield task
            finally:
                task.cancel()
                with suppress(asyncio.CancelledError):
                    await task
                await client.aclose()
                # A connection that nobody closed says so when it is collected.
                gc.collect()

        return in_process()

    async def test_one_that_redis_left_in_the_lurch_is_replaced(
        self,
        ledger: Ledger,
        pinned_valkey: PinnedValkey,
        in_process: AbstractAsyncContextManager["asyncio.Task[None]"],
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        async def is_restarting() -> bool:
            return "worker.restarting error=ConnectionError" in caplog.messages

        with caplog.at_level(logging.WARNING):
            async with in_process as task:
                await eventually(is_restarting)
                for _ in range(2):
                    with pinned_valkey.up():
                        await sweeps(ledger)
                    caplog.clear()
                    await eventually(is_restarting)
                assert not task.done()
        assert task.cancelled()

    async def test_it_leaves_no_connection_behind(
        self,
        ledger: Ledger,
        pinned_valkey: PinnedValkey,
        in_process: AbstractAsyncContextManager["asyncio.Task[None]"],
    ) -> None:
        with pinned_valkey.up() as client:

            async def is_alone() -> bool:
                clients = client.info("clients")
                assert isinstance(clients, dict)
                return bool(clients["connected_clients"] == 1)

            async with in_process:
                await sweeps(ledger)
                assert not await is_alone()
            await eventually(is_alone)

    async def test_cancelled_while_it_stops_it_leaves_no_connection_behind(
        self, ledger: Ledger, pinned_valkey: PinnedValkey
    ) -> None:
        stopping, may_end = asyncio.Event(), asyncio.Event()

        async def job() -> None:
            try:
                await asyncio.Event().wait()
            finally:
                stopping.set()
                await may_end.wait()

        with pinned_valkey.up() as client:
            [worker, *_] = make_workers(pinned_valkey.url, duties_of(ledger, asynchronous.Redis()))
            await worker.pool.ping()
            worker.tasks["job"] = worker.job_tasks["job"] = asyncio.create_task(job())
            await asyncio.sleep(0)  # it begins
            stop = asyncio.create_task(workers._stop([worker]))
            await stopping.wait()
            stop.cancel()
            may_end.set()
            with pytest.raises(asyncio.CancelledError):
                await stop
            assert client.info("clients")["connected_clients"] == 1  # type: ignore[index]


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("redis://cache", {"host": "cache"}),
        ("redis://cache:6380/3", {"port": 6380, "db": 3}),
        ("redis://cache?db=4", {"db": 4}),
        ("redis://me%3A:p%40ss%2Fw%25rd@cache/0", {"username": "me:", "password": "p@ss/w%rd"}),
        ("rediss://[::1]:6380/0", {"host": "::1", "port": 6380}),
        ("unix://:pass@/run/valkey.sock?db=2", {"path": "/run/valkey.sock", "db": 2}),
    ],
)
async def test_a_redis_url_means_the_same_to_the_worker_as_to_the_server(
    url: str, expected: dict[str, object], ledger: Ledger
) -> None:
    pools = [
        make_workers(url, duties_of(ledger, asynchronous.Redis()))[0].pool.connection_pool,
        asynchronous.ConnectionPool.from_url(url),
    ]
    assert len({pool.connection_class for pool in pools}) == 1
    for pool in pools:
        assert {name: pool.connection_kwargs[name] for name in expected} == expected
