"""Runs the server process, and the private Valkey beside it where none is set."""

import os
import signal
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from tempfile import TemporaryDirectory
from types import FrameType
from typing import NoReturn

from warehouse.embedded import private_valkey
from warehouse.http.protocol import SteadyHttpProtocol
from warehouse.http.server import DrainingServer, ServerConfig
from warehouse.http.wire_limits import WireLimits
from warehouse.metrics import FOLDER_VARIABLE
from warehouse.settings import Settings
from warehouse.supervision import supervise

APPLICATION = "warehouse.app:from_environment"
FINISHING_SECONDS = 10
"""For the requests in flight, once no more are accepted."""


class AddressTakenError(RuntimeError):
    """Something else listens at the address; the message names it."""


@contextmanager
def redis_for_processes(settings: Settings) -> Iterator[None]:
    """With no Redis set, start the private one and tell the server's processes of it, who then run the worker too."""
    if settings.redis.url:
        yield
        return
    with (
        _unwound_by_signals(),
        private_valkey() as url,
        _environment(WAREHOUSE_REDIS_URL=url, WAREHOUSE_JOBS_IN_PROCESS="true"),
    ):
        yield


@contextmanager
def _folder_of_metrics() -> Iterator[None]:
    """Where the server's processes count together, unless the operator has named a folder for it."""
    if os.environ.get(FOLDER_VARIABLE):
        yield
        return
    with (
        _unwound_by_signals(),
        TemporaryDirectory(prefix="warehouse-metrics-") as folder,
        _environment(**{FOLDER_VARIABLE: folder}),
    ):
        yield


@contextmanager
def _environment(**values: str) -> Iterator[None]:
    before = {name: os.environ.pop(name, None) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            del os.environ[name]
            if value is not None:
                os.environ[name] = value


@contextmanager
def _unwound_by_signals() -> Iterator[None]:
    """Signals that would end the process on the spot end it as Ctrl-C does: what was started is stopped."""

    def leave(number: int, _: FrameType | None) -> NoReturn:
        raise SystemExit(128 + number)

    def terminate(*_: object) -> None:
        signal.raise_signal(signal.SIGTERM)

    handlers: dict[int, Callable[[int, FrameType | None], object]] = {signal.SIGTERM: leave, signal.SIGHUP: terminate}
    # Whoever started us may ignore one, as nohup does; and within another of these both are seen to.
    free = [number for number in handlers if signal.getsignal(number) is signal.SIG_DFL]
    for number in free:
        signal.signal(number, handlers[number])
    try:
        yield
    finally:
        for number in free:
            signal.signal(number, signal.SIG_DFL)


def check_address(host: str, port: int) -> None:
    """Raises `AddressTakenError`: sooner, and in plainer words, than the server would."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            raise AddressTakenError(f"Cannot listen on {host}:{port}: {error.strerror}.") from None


def serve(settings: Settings, host: str, port: int, workers: int, ready: Callable[[], None] | None = None) -> None:
    """Serve until told to stop. `ready` is called once requests are answered (with one process only)."""
    config = ServerConfig(
        APPLICATION,
        factory=True,
        host=host,
        port=port,
        workers=workers,
        http=partial(SteadyHttpProtocol, limits=WireLimits(connections=settings.limits.connections)),
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        drain_seconds=settings.drain_seconds,
        timeout_graceful_shutdown=FINISHING_SECONDS,
    )
    if workers > 1:
        with _folder_of_metrics():
            supervise(config)
    else:
        DrainingServer(config, ready).run()
