"""How much is allowed in how long."""

from typing import NamedTuple, Self

import limits

LARGEST = 2**53
"""Permits times milliseconds: above that Lua's numbers are not exact."""


class _Quota(NamedTuple):
    permits: int
    seconds: int


class Quota(_Quota):
    """So many permits in any window of so many seconds. Raises `ValueError` for what makes no sense.

    A tuple, whose hash takes no Python code: one is looked up with each request.
    """

    __slots__ = ()

    def __new__(cls, permits: int, seconds: int) -> Self:
        if permits < 1 or seconds < 1:
            raise ValueError("a rate limit needs at least 1 permit and 1 second")
        if permits * seconds * 1000 >= LARGEST:
            raise ValueError("a rate limit of so many permits in so long a time cannot be counted exactly")
        return super().__new__(cls, permits, seconds)


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
