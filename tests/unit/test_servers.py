"""The suites trust their servers to be real, empty, and gone afterwards."""

import os
import select
import shutil
import subprocess
import sys

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import create_async_engine

from tests.conftest import ROOT, FreshDatabase
from tests.process import ServerError
from tests.servers import Backend, Valkey


async def test_two_fresh_databases_share_nothing(backend: Backend, fresh_database: FreshDatabase) -> None:
    for url in (fresh_database(backend), fresh_database(backend)):
        engine = create_async_engine(url)
        async with engine.begin() as connection:
            await connection.execute(text("CREATE TABLE things (name VARCHAR(20))"))
            await connection.execute(text("INSERT INTO things VALUES ('Käse 🧀')"))
            assert (await connection.execute(text("SELECT name FROM things"))).scalars().all() == ["Käse 🧀"]
        await engine.dispose()


def test_a_stopped_server_leaves_nothing() -> None:
    with Valkey() as valkey:
        assert valkey.folder.exists()
    assert not valkey.folder.exists()
    with pytest.raises(valkey.not_ready):
        valkey.ping()


def test_a_server_that_cannot_start_says_what_its_log_says(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Valkey, "command", lambda _: ["sh", "-c", "echo no such luck; exit 3"])
    valkey = Valkey()
    with pytest.raises(ServerError, match="no such luck"):
        valkey.start()
    assert not valkey.folder.exists()


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux ends children together with their parent")
def test_servers_die_with_the_process_that_started_them() -> None:
    program = """
from tests.servers import PostgreSql, Valkey

for server in PostgreSql(), Valkey():
    server.start()
    print(server.pid, server.folder, flush=True)
input()
"""
    parent = subprocess.Popen(
        [sys.executable, "-c", program], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    with parent:
        assert parent.stdout
        started = [parent.stdout.readline().split() for _ in range(2)]
        handles = [os.pidfd_open(int(pid)) for pid, _ in started]
        parent.kill()
    for handle, (_, folder) in zip(handles, started, strict=True):
        ended, _, _ = select.select([handle], [], [], 10)
        os.close(handle)
        shutil.rmtree(folder)
        assert ended
