"""Counting in one process alone."""

import math
from collections import OrderedDict

from warehouse.limiting.decision import Decision, refused
from warehouse.limiting.quota import Name, Quota

MOST_WINDOWS = 10_000


class Window:
    """A sliding window counter: the permits of the present bucket, and those of the bucket before it by the part of it
    that the window still covers. A permit is free while that sum, rounded down, is below the quota.

    Buckets begin at multiples of their length. It takes for granted that the permits of a bucket were given out evenly.
    Source: https://blog.cloudflare.com/counting-things-a-lot-of-different-things/ ("Sliding windows to the rescue").
    """

    __slots__ = ("_bucket", "_current", "_previous", "_quota", "_span")

    def __init__(self, quota: Quota) -> None:
        self._quota = quota
        self._span = quota.seconds * 1000
        self._bucket = 0
        self._current = self._previous = 0

    def take(self, now: int) -> Decision:
        """One permit. `now` is in milliseconds and never goes back."""
        left = self._turn_to(now)
        free = self._free(left)
        if free < 1:
            return refused(self._quota, left / 1000, self._wait(left) / 1000)
        self._current += 1
        return Decision(True, self._quota, free - 1, math.ceil(left / 1000), 0)

    def _turn_to(self, now: int) -> int:
        """The milliseconds that are left of the present bucket."""
        bucket = now // self._span
        if bucket != self._bucket:
            self._previous = self._current if bucket == self._bucket + 1 else 0
            self._current = 0
            self._bucket = bucket
        return self._span - now % self._span

    def _free(self, left: int) -> int:
        return self._quota.permits - self._current - self._previous * left // self._span

    def _wait(self, left: int) -> int:
        """Milliseconds until a permit is free, where none is."""
        open_ = self._quota.permits - self._current
        if open_ < 1:
            return left + 1
        return self._span * (self._previous - open_) // self._previous + 1 - (self._span - left)


class Windows:
    """One for each name, at most `MOST_WINDOWS`. The one that has been used longest ago is forgotten for a new one:
    whoever comes back after so many others has the whole quota again."""

    def __init__(self) -> None:
        self._windows: OrderedDict[Name, Window] = OrderedDict()

    def __len__(self) -> int:
        return len(self._windows)

    def take(self, name: Name, now: float) -> Decision:
        """`now` is in seconds."""
        window = self._windows.pop(name, None) or Window(name[1])
        self._windows[name] = window
        if len(self._windows) > MOST_WINDOWS:
            self._windows.popitem(last=False)
        return window.take(int(now * 1000))
