"""The limiter as callers see it."""

import hashlib
import time
from collections.abc import Callable

import redis.asyncio as redis

from warehouse.limiting.carrier import Carrier
from warehouse.limiting.decision import Decision
from warehouse.limiting.leases import Leases
from warehouse.limiting.quota import Name, Quota
from warehouse.limiting.redis import SharedWindows
from warehouse.limiting.window import Windows
from warehouse.resilience import Policy

LONGEST_KEY = 128


class Limiter:
    """Gives out the permits of quotas. It belongs to one event loop at a time. It never raises, and waits for one
    time-out of the policy at most.

    The counts are those of Redis, for all processes together, as long as it answers. Otherwise, and without a `client`,
    this process gives out each quota by itself. Raises `ValueError` for a client with a policy that retries, because a
    call that timed out may have counted.
    """

    def __init__(
        self, client: "redis.Redis | None", policy: Policy, *, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self._now = monotonic
        self._leases = Leases()
        self._local = Windows()
        self._carrier = (
            None if client is None else Carrier(SharedWindows(client, policy), self._leases, self._local, monotonic)
        )

    def try_now(self, key: str, quota: Quota) -> Decision | None:
        """Takes a permit if that can be decided at once; None, and nothing is taken, where Redis is to be asked."""
        name = _name(key, quota)
        lease = self._leases.get(name)
        decision = None if lease is None else lease.take(self._now())
        if decision is None and self._usable_carrier is None:
            return self._local.take(name, self._now())
        return decision

    async def take(self, key: str, quota: Quota) -> Decision:
        """Takes a permit. What whoever is cancelled while waiting would have had is left to others of this process."""
        decision = self.try_now(key, quota)
        if decision is not None:
            return decision
        name, carrier = _name(key, quota), self._usable_carrier
        return self._local.take(name, self._now()) if carrier is None else await carrier.send(name)

    async def close(self) -> None:
        """Whoever waits is counted by this process. The client is left open."""
        if self._carrier is not None:
            await self._carrier.close()

    @property
    def _usable_carrier(self) -> Carrier | None:
        return self._carrier if self._carrier is not None and self._carrier.may_ask else None


def _name(key: str, quota: Quota) -> Name:
    """Long keys by their digest, as memory is counted in names."""
    if len(key) > LONGEST_KEY:
        key = hashlib.sha256(key.encode(errors="surrogatepass")).hexdigest()
    return key, quota
