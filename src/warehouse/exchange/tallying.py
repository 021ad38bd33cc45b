"""What became of the rows of a file, batch by batch."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

from warehouse.errors import FieldError
from warehouse.exchange.batches import Batch
from warehouse.exchange.journal import BatchOutcome
from warehouse.exchange.tables import RowError
from warehouse.stock.accounts import RowStatus
from warehouse.upserts import UpsertStatus

REFUSED = (UpsertStatus.FAILED, RowStatus.REFUSED)


class Outcome(Protocol):
    """What became of a row, whatever its kind."""

    @property
    def status(self) -> UpsertStatus | RowStatus: ...
    @property
    def errors(self) -> Sequence[FieldError]: ...


class Tally:
    """The sum over the batches so far, with the first `kept` errors."""

    def __init__(self, kept: int) -> None:
        self.rows = 0
        self.counts: Counter[str] = Counter()
        self.failed = 0
        self.error_count = 0
        self.errors: list[RowError] = []
        self.complete = True
        self._kept = kept

    def outcome(self, batch: Batch, column: Callable[[str], str], outcomes: Sequence[Outcome]) -> BatchOutcome:
        """Of the next batch, with as many errors as are still to be kept. `column` tells where a field stands."""
        errors = batch.errors + [
            RowError(line, column(error.pointer.removeprefix("/")), error.code, error.detail)
            for line, outcome in zip(batch.lines, outcomes, strict=True)
            for error in outcome.errors
        ]
        counts = Counter(str(outcome.status) for outcome in outcomes)
        refused = sum(counts.pop(status, 0) for status in REFUSED)
        kept = sorted(errors, key=lambda error: error.line)[: self._kept - len(self.errors)]
        return BatchOutcome(batch.rows, dict(counts), batch.failed + refused, len(errors), kept, batch.complete)

    def add(self, outcome: BatchOutcome) -> None:
        self.rows += outcome.rows
        self.counts.update(outcome.counts)
        self.failed += outcome.failed
        self.error_count += outcome.error_count
        self.errors += outcome.errors
        self.complete = outcome.complete

    @property
    def succeeded(self) -> Mapping[str, int]:
        return {status: self.counts[status] for status in (*UpsertStatus, *RowStatus) if status not in REFUSED}
