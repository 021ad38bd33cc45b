"""Uploads, events and downloads through the whole stack, over real sockets."""

import asyncio
import hashlib
import os
import resource
import signal
import socket
import zlib
from collections.abc import AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pytest
import zstandard
from fastapi import Depends

from tests.conftest import FreshDatabase
from tests.unit.http.lasting import EVENTS, FILE, UPLOAD, File, Lastings
from tests.unit.http.wire import until
from warehouse.app import create_app
from warehouse.auth.model import Role
from warehouse.container import Container
from warehouse.http.access import admit
from warehouse.http.events import Event
from warehouse.http.protocol import SteadyHttpProtocol
from warehouse.http.server import DrainingServer, ServerConfig
from warehouse.settings import DatabaseSettings, LimitSettings, Settings
from warehouse.storage.migrations import migrate

MEGABYTE = 1024 * 1024
FLAT = 16 * MEGABYTE
"""How much more memory the process may have, whatever the size of a file."""
SECONDS = 60


@dataclass(frozen=True)
class Connection:
    """A client's end, and the server's."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    protocol: SteadyHttpProtocol

    async def status(self) -> int:
        return int((await self.head()).split()[1])

    async def head(self) -> bytes:
        return await asyncio.wait_for(self.reader.readuntil(b"\r\n\r\n"), SECONDS)

    async def rest(self) -> bytes:
        return await asyncio.wait_for(self.reader.read(), SECONDS)

    async def send_chunk(self, data: bytes) -> None:
        """As a piece of a chunked body."""
        self.writer.write(b"%x\r\n%b\r\n" % (len(data), data))
        await asyncio.wait_for(self.writer.drain(), SECONDS)

    def sweep(self, *times: float) -> None:
        """As the server does every second."""
        for now in times:
            assert not self.protocol.transport.is_closing(), f"it was closed before {now}"
            self.protocol.sweep(now)


class Stage:
    """A server of the whole application, with operations that last beside its own."""

    def __init__(self, server: DrainingServer, lastings: Lastings, key: str) -> None:
        self.server = server
        self.shelf = lastings.shelf
        self.news = lastings.news
        self.lastings = lastings
        self._key = key

    def has_taken(self, size: int) -> bool:
        return self.shelf.received == size

    @asynccontextmanager
    async def connected(self) -> AsyncIterator[Connection]:
        known = set(self.server.server_state.connections)
        reader, writer = await asyncio.open_connection(*self.server.servers[0].sockets[0].getsockname())
        await until(lambda: len(self.server.server_state.connections - known) == 1)
        [protocol] = self.server.server_state.connections - known
        assert isinstance(protocol, SteadyHttpProtocol)
        yield Connection(reader, writer, protocol)
        writer.transport.abort()
        await until(lambda: protocol not in self.server.server_state.connections)

    @asynccontextmanager
    async def asking(self, path: str, method: str = "GET", /, **headers: str) -> AsyncIterator[Connection]:
        named = {"Host": "x", "Authorization": f"Bearer {self._key}", **headers}
        lines = [f"{name.replace('_', '-')}: {value}" for name, value in named.items()]
        async with self.connected() as connection:
            connection.writer.write("\r\n".join([f"{method} {path} HTTP/1.1", *lines, "", ""]).encode())
            yield connection

    def uploading(self, **headers: str) -> AbstractAsyncContextManager[Connection]:
        return self.asking(UPLOAD, "POST", **{"Transfer_Encoding": "chunked", "Content_Type": "text/csv", **headers})


@pytest.fixture(scope="module")
def url(fresh_database: FreshDatabase) -> str:
    url = fresh_database("sqlite")
    migrate(url)
    return url


@pytest.fixture
def limits() -> LimitSettings:
    return LimitSettings()


@pytest.fixture
async def stage(url: str, limits: LimitSettings) -> AsyncIterator[Stage]:
    container = Container(Settings(database=DatabaseSettings(url=url), limits=limits))
    key = (await container.api_keys.issue("test", Role.ADMIN)).secret.text
    lastings = Lastings()
    app = create_app(container.settings, container)
    app.include_router(lastings.router(), dependencies=[Depends(admit)])
    config = ServerConfig(app, port=0, http=SteadyHttpProtocol, lifespan="on", log_config=None, drain_seconds=3600)
    config.load()
    server = DrainingServer(config)
    server.lifespan = config.lifespan_class(config)
    await server.startup()
    yield Stage(server, lastings, key)
    await server.shutdown()
    await container.close()


def memory() -> int:
    """Bytes of this process that are in memory."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()


class Gauge:
    """How much more memory the process has had than at the start; looks now and then."""

    def __init__(self) -> None:
        self._before = memory()
        self.most = 0

    def look(self) -> None:
        self.most = max(self.most, memory() - self._before)


BLOCK = os.urandom(MEGABYTE)

CODED: Mapping[str, bytes] = {
    "identity": BLOCK,
    "gzip": zlib.compress(BLOCK, 1, wbits=31),
    "zstd": zstandard.compress(BLOCK),
}
"""Members and frames may follow each other."""


@pytest.mark.parametrize(("coding", "times"), [("identity", 300), ("gzip", 100), ("zstd", 100)])
async def test_a_large_upload_takes_no_memory(stage: Stage, coding: str, times: int) -> None:
    gauge = Gauge()
    async with stage.uploading(Content_Encoding=coding) as connection:
        for _ in range(times):
            await connection.send_chunk(CODED[coding])
            gauge.look()
        await connection.send_chunk(b"")
        assert await connection.status() == 200
    digest = hashlib.sha256()
    for _ in range(times):
        digest.update(BLOCK)
    assert stage.shelf.kept == [(None, times * MEGABYTE, digest.hexdigest())]
    assert gauge.most < FLAT


async def test_a_large_form_takes_no_memory(stage: Stage) -> None:
    gauge = Gauge()
    async with stage.uploading(Content_Type="multipart/form-data; boundary=x") as connection:
        await connection.send_chunk(b'--x\r\nContent-Disposition: form-data; name="file"; filename="a.csv"\r\n\r\n')
        for _ in range(100):
            await connection.send_chunk(BLOCK)
            gauge.look()
        await connection.send_chunk(b"\r\n--x--\r\n")
        await connection.send_chunk(b"")
        assert await connection.status() == 200
    assert [(name, size) for name, size, _ in stage.shelf.kept] == [("a.csv", 100 * MEGABYTE)]
    assert gauge.most < FLAT


SMALL = LimitSettings(body_bytes=1024, upload_bytes=MEGABYTE, streams=1)


@pytest.mark.parametrize("limits", [SMALL])
@pytest.mark.parametrize("coding", list(CODED))
async def test_an_upload_that_is_too_large_is_refused_while_it_comes(stage: Stage, coding: str) -> None:
    async with stage.uploading(Content_Encoding=coding) as connection:
        await connection.send_chunk(CODED[coding] + CODED[coding])
        assert await connection.status() == 413
    assert (stage.shelf.kept, stage.shelf.discarded) == ([], 1)


async def test_who_has_no_key_is_not_asked_for_the_file(stage: Stage) -> None:
    async with stage.uploading(Authorization="Bearer wh_x", Expect="100-continue") as connection:
        assert await connection.status() == 401
    async with stage.uploading(Expect="100-continue") as connection:
        assert await connection.status() == 100


async def test_a_client_that_leaves_has_sent_nothing(stage: Stage, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    async with stage.uploading() as connection:
        await connection.send_chunk(b"a,b\n")
        await until(lambda: stage.shelf.received == 4)
    await until(lambda: stage.shelf.discarded == 1)
    await until(lambda: f"http.request method=POST route={UPLOAD} status=400" in caplog.text)
    assert stage.shelf.kept == []
    assert not [record for record in caplog.records if record.levelname == "ERROR"]


class TestPace:
    async def test_an_upload_that_keeps_the_pace_may_take_its_time(self, stage: Stage) -> None:
        async with stage.uploading() as connection:
            for number in range(1, 100):
                await connection.send_chunk(b"x" * 6000)
                await until(partial(stage.has_taken, 6000 * number))
                connection.sweep(number * 5)
            await connection.send_chunk(b"")
            assert await connection.status() == 200

    async def test_one_that_stalls_is_cut_off_and_nothing_of_it_kept(self, stage: Stage) -> None:
        async with stage.uploading() as connection:
            await connection.send_chunk(b"x" * 6000)
            await until(lambda: stage.shelf.received == 6000)
            connection.sweep(0, 4.9, 5)
            assert await connection.status() == 408
        await until(lambda: stage.shelf.discarded == 1)
        assert stage.shelf.kept == []

    async def test_one_that_waits_for_the_server_is_left_alone(self, stage: Stage) -> None:
        stage.shelf.taking.clear()
        async with stage.uploading() as connection:
            sending = asyncio.create_task(connection.send_chunk(b"x" * 50 * MEGABYTE))
            await until(lambda: connection.protocol.flow.read_paused)
            connection.sweep(*range(0, 1000, 5))
            stage.shelf.taking.set()
            await sending
            await connection.send_chunk(b"")
            assert await connection.status() == 200

    async def test_a_stream_without_events_is_left_alone(self, stage: Stage) -> None:
        async with stage.asking(EVENTS) as connection:
            await connection.reader.readuntil(b"retry: 3000\n\n")
            connection.sweep(*range(0, 10_000, 5))
            stage.news.to_come.put_nowait(Event("x"))
            await connection.reader.readuntil(b"data: x\n\n")
        await until(lambda: stage.news.listening == 0)

    async def test_a_download_may_be_taken_slowly(self, stage: Stage) -> None:
        stage.lastings.file = File(64, bytes(MEGABYTE))
        async with stage.asking(FILE) as connection:
            await connection.head()
            for now in range(0, 320, 5):
                connection.sweep(now)
                await connection.reader.readexactly(MEGABYTE)

    async def test_one_that_is_not_taken_is_cut_off_and_its_file_closed(self, stage: Stage) -> None:
        stage.lastings.file = File(64, bytes(MEGABYTE))
        async with stage.asking(FILE) as connection:
            await until(lambda: connection.protocol.transport.get_write_buffer_size() > 0)
            assert stage.lastings.file.open == 1
            connection.sweep(0, 4.9, 5)
            await until(lambda: stage.lastings.file.open == 0)

    async def test_a_client_that_has_vanished_is_missed_by_the_system(self, stage: Stage) -> None:
        async with stage.connected() as connection:
            end = connection.protocol.transport.get_extra_info("socket")
            assert end.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) == 60_000


class TestEvents:
    @pytest.mark.parametrize("limits", [SMALL])
    async def test_beyond_the_cap_there_are_no_more(self, stage: Stage) -> None:
        async with stage.asking(EVENTS) as connection:
            assert await connection.status() == 200
            async with stage.asking(EVENTS) as another:
                assert b"\r\nretry-after: 5\r\n" in await another.head()
        await until(lambda: stage.news.listening == 0)
        async with stage.asking(EVENTS) as connection:
            assert await connection.status() == 200

    async def test_they_go_on_while_the_server_drains_and_end_in_order_when_it_closes(self, stage: Stage) -> None:
        async with stage.asking(EVENTS) as connection:
            await connection.reader.readuntil(b"retry: 3000\n\n")
            stage.server.handle_exit(signal.SIGTERM, None)
            await stage.server.on_tick(1)
            stage.news.to_come.put_nowait(Event("x"))
            await connection.reader.readuntil(b"data: x\n\n")
            closing = asyncio.create_task(stage.server.shutdown())
            assert (await connection.rest()).endswith(b"0\r\n\r\n")
            await asyncio.wait_for(closing, 30)
        assert stage.news.listening == 0

    async def test_head_of_a_stream_ends_at_once(self, stage: Stage) -> None:
        async with stage.asking(EVENTS, "HEAD") as connection:
            assert await connection.status() == 200
            await until(lambda: stage.news.listening == 0)


class TestDownloads:
    @pytest.mark.parametrize("coding", list(CODED))
    async def test_a_large_one_takes_no_memory(self, stage: Stage, coding: str) -> None:
        stage.lastings.file = File(200, (BLOCK[:1000] * 1049)[:MEGABYTE], media_type="text/csv")
        async with stage.asking(FILE, Accept_Encoding=coding) as connection:
            head = await connection.head()
            assert (f"content-encoding: {coding}".encode() in head) == (coding != "identity")
            gauge = Gauge()
            while not connection.protocol.cycle.response_complete:
                await asyncio.wait_for(connection.reader.read(MEGABYTE), SECONDS)
                gauge.look()
        assert gauge.most < FLAT
        assert stage.lastings.file.read == 200

    async def test_head_reads_nothing(self, stage: Stage) -> None:
        stage.lastings.file = File(1000, BLOCK)
        async with stage.asking(FILE, "HEAD") as connection:
            head = await connection.head()
            assert f"content-length: {1000 * MEGABYTE}".encode() in head
            await until(lambda: stage.lastings.file.open == 0)
        assert stage.lastings.file.read < 10

    async def test_a_rest_is_had_by_its_range(self, stage: Stage) -> None:
        async with stage.asking(FILE, Range="bytes=10230-", If_Range='"f1"', Accept_Encoding="gzip") as connection:
            assert await connection.status() == 206
            assert await connection.reader.readexactly(10) == b"6789abcdef"

    async def test_when_the_client_leaves_its_file_is_closed(self, stage: Stage) -> None:
        stage.lastings.file = File(1000, BLOCK)
        async with stage.asking(FILE) as connection:
            await connection.head()
            await connection.reader.readexactly(MEGABYTE)
        await until(lambda: stage.lastings.file.open == 0)
