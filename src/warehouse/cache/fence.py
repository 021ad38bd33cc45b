"""Whether the cache may be used: one row in the database that all processes watch.

A write is answered once nobody can read from the cache what it has changed. Normally that is so as soon as its tags are
released. Where that fails, because the store cannot be reached from here though perhaps from elsewhere, the cache is
switched off for everybody. Each process looks at the row every `POLL_SECONDS` and uses the cache only within
`LEASE_SECONDS` of the sending of its last look, so the cache is out of use everywhere once it has been off for that
long. Every change of the row begins a new epoch, and the epoch is part of every key: what was cached before it was
switched off is never seen again. Nothing is locked: tests/cache_model searches all interleavings.
"""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Protocol
from uuid import UUID

from warehouse import metrics
from warehouse.cache.store import CacheStore, StoreFailure

POLL_SECONDS = 0.25
LEASE_SECONDS = 1.0
IN_FORCE_SECONDS = 1.1
"""After so long nobody uses what was switched off: a lease, and what clocks may differ by meanwhile."""
CLOSED_SECONDS = 5.0
"""To stay off at least, so that a process that alone cannot reach the store does not switch it off all the time."""
PROBE_SECONDS = 10.0

FORMAT = "w2"
"""Part of every key. Another layout of values gets another one."""

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class View:
    """The row. `epoch` goes up by one with every change of `usable`."""

    installation: UUID
    usable: bool
    epoch: int
    prefix: str = field(init=False)
    """What all keys of this epoch begin with."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "prefix", f"{FORMAT}:{self.installation.hex}:{self.epoch}:")


class CacheControl(Protocol):
    """The row in the database. Raises `Unavailable`."""

    async def read(self) -> View: ...

    async def switch(self, view: View, *, usable: bool) -> View:
        """Begin a new epoch unless the one of `view` is over already. The row as it is then."""
        ...


class Fence:
    """This process's view of the row."""

    def __init__(
        self,
        control: CacheControl,
        monotonic: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
    ) -> None:
        self._control = control
        self._now = monotonic
        self._sleep = sleep
        self._view: View | None = None
        self._sent = 0.0
        self._noted = 0.0

    @property
    def usable(self) -> View | None:
        """The view, while by it the cache may be used."""
        view = self._view
        if view is None or not view.usable or self._now() >= self._sent + LEASE_SECONDS:
            return None
        return view

    def unconfirmed(self, seconds: float) -> View | None:
        """The view by which the cache could be used when the row was last seen, for so long after that could no longer
        be relied on. Others may have written since, and even switched the cache off."""
        view = self._view
        if view is None or not view.usable or self._now() >= self._sent + LEASE_SECONDS + seconds:
            return None
        return view

    async def look(self) -> View:
        """Read the row now. Raises `Unavailable`."""
        sent = self._now()
        return self._note(await self._control.read(), sent)

    async def switch_off(self, view: View) -> View:
        """End the epoch of `view`, unless it is over; the row as it is then. Raises `Unavailable`."""
        sent = self._now()
        current = self._note(await self._control.switch(view, usable=False), sent)
        if not current.usable:
            metrics.cache_fences.inc()
            log.warning("cache.fenced epoch=%d", current.epoch)
        return current

    async def in_force(self) -> None:
        """Wait until the cache, seen to be off, is off in every process."""
        # It was off before this process noted it.
        await self._sleep(max(0.0, self._noted + IN_FORCE_SECONDS - self._now()))

    async def run(self, store: CacheStore) -> None:
        """Keep the view fresh until cancelled, and switch the cache on again when it can be used."""
        while True:
            begun = self._now()
            try:
                await self._keep(store)
            except Exception as error:  # noqa: BLE001 (whatever it is: the cache is out of use until it is over)
                log.warning("cache.unwatched error=%s", type(error).__name__)
            metrics.cache_usable.set(self.usable is not None)
            await self._sleep(max(0.0, begun + POLL_SECONDS - self._now()))

    async def _keep(self, store: CacheStore) -> None:
        view = await self.look()
        closed = CLOSED_SECONDS if view.epoch > 1 else IN_FORCE_SECONDS
        if view.usable or self._now() < self._noted + closed or not await self._works(store, view):
            return
        sent = self._now()
        self._note(await self._control.switch(view, usable=True), sent)

    async def _works(self, store: CacheStore, view: View) -> bool:
        key = f"{view.prefix}probe"
        try:
            await store.fill({key: b"1"}, PROBE_SECONDS)
            works = await store.fetch([key]) == [b"1"]
            await store.drop([key])
        except StoreFailure:
            return False
        return works

    def _note(self, view: View, sent: float) -> View:
        """Answers may overtake each other: an older epoch, or an older look at the same, says nothing new."""
        if self._view is None or view.epoch > self._view.epoch:
            self._view, self._sent, self._noted = view, sent, self._now()
        elif view.epoch == self._view.epoch:
            self._sent = max(self._sent, sent)
        return self._view
