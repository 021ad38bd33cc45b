"""Optimistic concurrency: a change names the versions of the record that its author has seen."""

from collections.abc import Collection
from typing import Protocol

from warehouse.errors import StaleVersion, TransactionConflict


class Versioned(Protocol):
    @property
    def version(self) -> int: ...


def check_version(record: Versioned, expected: Collection[int] | None) -> None:
    """Raises `StaleVersion` unless the record's version is one of those expected; None expects any."""
    if expected is not None and record.version not in expected:
        raise _stale(record)


def overtaken(record: Versioned, expected: Collection[int] | None) -> StaleVersion | TransactionConflict:
    """What to raise when another caller changed the record between our reading and our writing it:
    who accepts any version has the change run again on the new one."""
    return TransactionConflict("Another caller is changing this record.") if expected is None else _stale(record)


def _stale(record: Versioned) -> StaleVersion:
    return StaleVersion(f"The record is at version {record.version}.", current_version=record.version)
