"""What a process knows of the shared counts, and the permits that it holds."""

import math
from collections import OrderedDict
from collections.abc import Iterator

from warehouse.limiting.decision import Decision, refused
from warehouse.limiting.quota import Name, Quota
from warehouse.limiting.redis import Answer, Ask

LEASE_SECONDS = 1.0
MOST_LEASES = 10_000


_new = tuple.__new__
"""To call the type itself would be to call Python code, with each request."""


class Lease:
    """Permits that may be given out without asking or, when no more is to be had, the refusals until one may be.

    It ends after `LEASE_SECONDS`, for another process may return permits, and no later than the bucket in which its
    permits were counted; but whoever waited for the answer can take what is in it. All moments are of the monotonic
    clock.
    """

    __slots__ = ("_free_at", "_granted", "_quota", "_remaining", "_resets_at", "bucket", "ends_at", "left")

    def __init__(self, quota: Quota, answer: Answer, sent: float, now: float) -> None:
        """`sent` is before, and `now` after the moment of the answer."""
        self._quota = quota
        self._granted = self.left = answer.granted
        self._remaining = answer.remaining
        self._resets_at = max(sent + answer.reset / 1000, now)
        self._free_at = now + answer.retry / 1000 if answer.retry else sent
        self.bucket = answer.bucket
        self.ends_at = max(sent + min(LEASE_SECONDS, answer.reset / 1000), math.nextafter(now, math.inf))

    def take(self, now: float) -> Decision | None:
        """A permit if one is left; None, and nothing is taken, where Redis is to be asked."""
        if now >= self.ends_at:
            return None
        if self.left > 0:
            left = self.left = self.left - 1
            reset = math.ceil(self._resets_at - now)
            return _new(Decision, (True, self._quota, self._remaining + left, reset, 0))
        if now >= self._free_at:
            return None
        return refused(self._quota, self._resets_at - now, self._free_at - now)

    @property
    def used(self) -> int:
        return self._granted - self.left


class Leases:
    """At most `MOST_LEASES`, the oldest first. What a lease has left when it ends is returned with the next call, for
    whatever key; a lease that has to go earlier, for a new one, is lost with what it has left."""

    def __init__(self) -> None:
        # A plain dictionary would take longer to find its oldest the more have gone before it.
        self._leases: OrderedDict[Name, Lease] = OrderedDict()
        self.get = self._leases.get
        """The lease of a name, if there is one; with each request, so without a step in between."""

    def __len__(self) -> int:
        return len(self._leases)

    def ask(self, name: Name, needed: int) -> Ask:
        """Returns what there is and asks for more: twice what was used of it, so that who comes once holds nothing."""
        lease = self._leases.pop(name, None)
        if lease is None:
            return Ask(name, needed, 1, 0, 0)
        return Ask(name, needed, 2 * lease.used, lease.left, lease.bucket)

    def returns(self, now: float, most: int) -> Iterator[Ask]:
        """Of leases that have ended."""
        while most and self._leases:
            name, lease = next(iter(self._leases.items()))
            if now < lease.ends_at:
                return
            del self._leases[name]
            if lease.left:
                most -= 1
                yield Ask(name, 0, 0, lease.left, lease.bucket)

    def put(self, name: Name, lease: Lease) -> None:
        self._leases[name] = lease
        if len(self._leases) > MOST_LEASES:
            self._leases.popitem(last=False)
