"""Wall-clock time in the one form the service keeps: UTC with microseconds."""

from datetime import UTC, datetime


def utc_now() -> datetime:
    return datetime.now(UTC)
