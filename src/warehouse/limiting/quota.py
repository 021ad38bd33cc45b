"""How much is allowed in how long."""

from dataclasses import dataclass, field

import limits

LARGEST = 2**53
"""Permits times milliseconds: above that Lua's numbers are not exact."""


@dataclass(frozen=True, slots=True)
class Quota:
    """So many permits in any window of so many seconds. Raises `ValueError` for what makes no sense."""

    permits: int
    seconds: int
    _hash: int = field(init=False, repr=False, compare=False)
    """Worked out once: a quota is looked up with each request."""

    def __hash__(self) -> int:
        return self._hash

    def __post_init__(self) -> None:
        object.__setattr__(self, "_hash", hash((self.permits, self.seconds)))
        if self.permits < 1 or self.seconds < 1:
            raise ValueError("a rate limit needs at least 1 permit and 1 second")
        if self.permits * self.seconds * 1000 >= LARGEST:
            raise ValueError("a rate limit of so many permits in so long a time cannot be counted exactly")


Name = tuple[str, Quota]
"""What is counted: a key has a count of its own for each quota."""


def parse_quota(text: str) -> Quota:
    """From the notation of `limits`: "600/minute", "100 per 60 seconds". Raises `ValueError`."""
    try:
        [item] = limits.parse_many(text)
    except ValueError as error:
        raise ValueError(
            f'{text!r} is no rate limit: write one such as "600/minute" or "100 per 60 seconds"'
        ) from error
    return Quota(item.amount, item.get_expiry())
