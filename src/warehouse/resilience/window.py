"""The last results, counted."""

FAILED, SLOW = 1, 2


class Window:
    """A ring of the last `size` results: one byte each."""

    __slots__ = ("_next", "_results", "_size", "failures", "recorded", "slow")

    def __init__(self, size: int) -> None:
        self._size = size
        self._results = bytearray(size)
        self._next = 0
        self.recorded = 0
        self.failures = 0
        self.slow = 0

    def record(self, result: int) -> None:
        """0, or `FAILED` and `SLOW` in any combination."""
        place = self._next
        if self.recorded < self._size:
            self.recorded += 1
        elif oldest := self._results[place]:
            self._count(oldest, -1)
        if result:
            self._count(result, 1)
        self._results[place] = result
        place += 1
        self._next = place if place < self._size else 0

    def _count(self, result: int, by: int) -> None:
        if result & FAILED:
            self.failures += by
        if result & SLOW:
            self.slow += by
