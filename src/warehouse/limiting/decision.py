"""What a caller is told."""

import math
from typing import NamedTuple

from warehouse.limiting.quota import Quota


class Decision(NamedTuple):
    allowed: bool
    quota: Quota
    remaining: int
    """Permits that are left, as far as is known here; at least 0."""
    reset_seconds: int
    """Until the present bucket of the window ends, rounded up; at least 0."""
    retry_after: int
    """Seconds, rounded up, until a permit will be free; at least 1 where it was refused, else 0."""


def refused(quota: Quota, reset: float, retry: float) -> Decision:
    return Decision(False, quota, 0, max(0, math.ceil(reset)), max(1, math.ceil(retry)))
