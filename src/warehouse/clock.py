"""Wall-clock time in the one form the service keeps: UTC with microseconds."""

from datetime import UTC, datetime, timedelta

EARLIEST = datetime(1970, 1, 1, tzinfo=UTC)
"""The first moment that input may name."""

CLOCK_SKEW = timedelta(minutes=5)
"""How far ahead of ours the clock of whoever names a moment may be."""


def utc_now() -> datetime:
    return datetime.now(UTC)
