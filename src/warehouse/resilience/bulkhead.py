"""How many calls there may be at once."""

import asyncio
import math
from collections import OrderedDict

from warehouse.resilience.deadlines import Deadline
from warehouse.resilience.errors import BulkheadFullError, DeadlineExceeded


class Bulkhead:
    """Places are handed on in the order in which they were asked for."""

    def __init__(self, policy: str, most: int | None, queued: int) -> None:
        self._policy = policy
        self._most = math.inf if most is None else most
        self._most_queued = queued
        self._waiting: OrderedDict[asyncio.Future[None], None] = OrderedDict()
        self.in_flight = 0

    @property
    def queued(self) -> int:
        return len(self._waiting)

    def enter(self) -> bool:
        """Whether there was a place, which now is the caller's."""
        if self.in_flight >= self._most:
            return False
        self.in_flight += 1
        return True

    async def wait(self, deadline: Deadline | None) -> None:
        """For a place. Raises `BulkheadFullError` or `DeadlineExceeded`."""
        if len(self._waiting) >= self._most_queued:
            raise BulkheadFullError(self._policy)
        loop = asyncio.get_running_loop()
        place = loop.create_future()
        self._waiting[place] = None
        timer = None if deadline is None else loop.call_later(deadline.remaining(), self._give_up, place)
        try:
            await place
        except asyncio.CancelledError:
            if place.done() and not place.cancelled() and place.exception() is None:
                self.leave()
            raise
        finally:
            self._waiting.pop(place, None)
            if timer is not None:
                timer.cancel()

    def leave(self) -> None:
        """Whoever waits longest has the place now."""
        while self._waiting:
            place, _ = self._waiting.popitem(last=False)
            if not place.done():
                place.set_result(None)
                return
        self.in_flight -= 1

    def _give_up(self, place: asyncio.Future[None]) -> None:
        if not place.done():
            place.set_exception(DeadlineExceeded(self._policy))
