"""Operators' orders to the circuits of a server, which all of its processes follow, and which end by themselves."""

import asyncio
import os
import time
from collections.abc import Callable
from enum import StrEnum
from pathlib import Path

import orjson

from warehouse.resilience import Registry

POLL_SECONDS = 0.25


class Order(StrEnum):
    OPEN = "open"
    """Refuse every call."""
    CLOSE = "close"
    """Let every call through, whatever comes of them."""
    AUTO = "auto"
    """Let the circuit decide."""


class Orders:
    """They lie in files of the `folder` that the processes share, one for each policy, with the monotonic time at which
    they end. Without a folder there is one process, which keeps them in its memory."""

    def __init__(
        self, registry: Registry, folder: Path | None, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self._registry = registry
        self._folder = folder
        self._now = monotonic
        self._given: dict[str, tuple[Order, float]] = {}
        self._followed: dict[str, Order] = {}

    def give(self, name: str, order: Order, seconds: float) -> None:
        """To hold for so long, from now on here and soon in the other processes. Raises `KeyError` where there is no
        such policy."""
        if all(each.name != name for each in self._registry.snapshots()):
            raise KeyError(name)
        self._obey(name, order)
        self._write(name, order, self._now() + seconds)

    async def run(self) -> None:
        """Follow what other processes were told, and what is over, until cancelled."""
        while True:
            self.follow()
            await asyncio.sleep(POLL_SECONDS)

    def follow(self) -> None:
        for snapshot in self._registry.snapshots():
            order, until = self._read(snapshot.name)
            self._obey(snapshot.name, order if self._now() < until else Order.AUTO)

    def _obey(self, name: str, order: Order) -> None:
        if self._followed.get(name, Order.AUTO) is order:
            return
        act = {
            Order.OPEN: self._registry.force_open,
            Order.CLOSE: self._registry.force_closed,
            Order.AUTO: self._registry.auto,
        }
        act[order](name)
        self._followed[name] = order

    def _write(self, name: str, order: Order, until: float) -> None:
        if self._folder is None:
            self._given[name] = order, until
            return
        made = self._folder / f"order-{name}.{os.getpid()}"
        made.write_bytes(orjson.dumps([order, until]))
        made.replace(self._folder / f"order-{name}")

    def _read(self, name: str) -> tuple[Order, float]:
        if self._folder is None:
            return self._given.get(name, (Order.AUTO, 0.0))
        try:
            order, until = orjson.loads((self._folder / f"order-{name}").read_bytes())
            return Order(order), float(until)
        except (OSError, ValueError, TypeError):
            # Mostly there is none. One that cannot be read is none either: whoever gave it can give it again.
            return Order.AUTO, 0.0
