"""Whether the other end of a connection keeps up. Nothing is timed: it is looked at now and then, which costs the
requests nothing."""


class Pace:
    """Of whatever goes on, `least` bytes are due in each `seconds`; with `least` infinite, it is to be over by then."""

    __slots__ = ("_amount", "_least", "_seconds", "_since", "_what")

    def __init__(self, seconds: float, least: float) -> None:
        self._seconds = seconds
        self._least = least
        self._what: object | None = None
        self._since = 0.0
        self._amount = 0

    def is_lost(self, what: object | None, amount: int, now: float) -> bool:
        """At the time `now`, in seconds. `what` is going on, None for nothing: another one begins anew. `amount` is
        what has come of it so far, in bytes, from wherever it is counted."""
        if what is None or what is not self._what:
            self._what, self._since, self._amount = what, now, amount
        elif now - self._since >= self._seconds:
            if amount - self._amount < self._least:
                return True
            self._since, self._amount = now, amount
        return False
