"""How many retries there may be beside the calls."""


class RetryBudget:
    """In any stretch of time retries are at most `ratio` times its calls plus `floor`: a reserve that calls fill up and
    retries use. It holds no more than `floor` (but always one), so a long time without trouble pays for no storm.
    """

    def __init__(self, ratio: float, floor: int) -> None:
        self._ratio = ratio
        self._most = max(float(floor), 1.0)
        self._left = float(floor)

    @property
    def left(self) -> int:
        """Retries that could begin now."""
        return int(self._left)

    def earn(self) -> None:
        """A call has begun."""
        left = self._left
        if left < self._most:
            self._left = min(self._most, left + self._ratio)

    def spend(self) -> bool:
        """Whether there may be a retry, which is taken for made."""
        if self._left < 1:
            return False
        self._left -= 1
        return True
