"""One process of the server: it looks for slow clients every second, and drains before it ends."""

import asyncio
import signal
import socket
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from types import FrameType
from typing import Any

import uvicorn

from warehouse.http.draining import CLOSING, DRAINING, is_draining
from warehouse.http.protocol import SteadyHttpProtocol

TICKS = 10
"""In a second."""


class ServerConfig(uvicorn.Config):
    """With `drain_seconds`, which are to pass between a SIGTERM and the end, so that load balancers learn of it."""

    def __init__(self, *options: Any, drain_seconds: float = 0.0, **named: Any) -> None:
        super().__init__(*options, **named)
        self.drain_seconds = drain_seconds


class DrainingServer(uvicorn.Server):
    """Between SIGTERM and the closing of its sockets /readyz says that it drains, everything else is answered as
    before, and every answer is the last of its connection. SIGINT ends that time, and once more every request."""

    config: ServerConfig

    def __init__(self, config: ServerConfig, ready: Callable[[], None] | None = None) -> None:
        """`ready` is called once requests are answered."""
        super().__init__(config)
        self._ready = ready
        self._closes_at = float("inf")
        self._closing = asyncio.Event()

    @contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        """A signal that the server has ended for has done its work: it is not raised again."""
        with super().capture_signals():
            yield
            self._captured_signals.clear()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        self.lifespan.state[CLOSING] = self._closing
        await super().startup(sockets)
        if self._ready is not None and not self.should_exit:
            self._ready()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Streams of events end now, and not with the drain: their clients come again at once, and this server would
        still answer them."""
        self._closing.set()
        await super().shutdown(sockets)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        if sig == signal.SIGTERM and self.started:
            # A second one changes nothing: systemd sends it to every process, and then so does the first of them.
            if not is_draining(self.lifespan.state):
                self.lifespan.state[DRAINING] = True
                self._closes_at = time.monotonic() + self.config.drain_seconds
        else:
            super().handle_exit(sig, frame)

    async def on_tick(self, counter: int) -> bool:
        now = time.monotonic()
        if counter % TICKS == 0:
            self._sweep(now)
        if now >= self._closes_at:
            self.should_exit = True
        return await super().on_tick(counter)

    def _sweep(self, now: float) -> None:
        for connection in list(self.server_state.connections):
            if isinstance(connection, SteadyHttpProtocol):
                connection.sweep(now)
