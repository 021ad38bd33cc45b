"""How each batch of an import is made to happen once, though its worker may be killed at any moment."""

import csv
import io
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, Self

from warehouse.exchange.cells import neutralised
from warehouse.exchange.tables import RowError
from warehouse.unit_of_work import UnitOfWork

MOST_JOURNALED = 100_000
"""Errors of one file that a journal keeps."""


@dataclass(frozen=True, slots=True)
class BatchOutcome:
    """What became of a batch, in values that JSON has. `counts` are the rows by status, `failed` those that were not
    taken; `errors` has their first errors, and `error_count` counts all."""

    rows: int
    counts: Mapping[str, int]
    failed: int
    error_count: int
    errors: Sequence[RowError]
    complete: bool

    @classmethod
    def restored(cls, values: Mapping[str, Any]) -> Self:
        """Out of what JSON made of it, errors being objects."""
        return cls(**{**values, "errors": [RowError(**error) for error in values["errors"]]})


class Journal(Protocol):
    """Which batches of an import are done. A batch and its mark share a transaction.

    An import is taken up again with the file, the options and the batch size it was begun with.
    """

    async def done(self) -> Mapping[int, BatchOutcome]:
        """By number, from 0. Asked once, at the start of every attempt."""
        ...

    async def mark(self, uow: UnitOfWork, number: int, outcome: BatchOutcome) -> None:
        """In the transaction that writes the batch. Raises where this worker is no longer the one."""
        ...


def errors_csv(batches: Iterable[BatchOutcome]) -> Iterator[bytes]:
    """The errors of these batches as a CSV file, batch by batch."""
    yield _csv([("line", "column", "code", "detail")])
    for batch in batches:
        if batch.errors:
            yield _csv(
                (str(error.line), neutralised(error.column or ""), error.code, neutralised(error.detail))
                for error in batch.errors
            )


def _csv(rows: Iterable[Sequence[str]]) -> bytes:
    text = io.StringIO()
    csv.writer(text).writerows(rows)
    return text.getvalue().encode(errors="replace")
