"""What was answered during a run, and what came of it."""

import statistics
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from httpx import HTTPError, Response

RESULTS = frozenset({200, 201, 409})
BROKEN = 0
"""The status of what was never answered."""


@dataclass(frozen=True, slots=True)
class Answered:
    """`at` is when it was asked, in seconds of the event loop; `code` the problem's, or how it broke."""

    at: float
    seconds: float
    path: str
    is_read: bool
    status: int
    code: str
    cache: str
    retry_after: str

    @property
    def is_result(self) -> bool:
        return self.status in RESULTS

    @property
    def is_refusal(self) -> bool:
        """It says that the service is not available, and when to try again."""
        return self.status == 503 and self.retry_after.isdigit()


def answered(at: float, now: float, path: str, is_read: bool, answer: Response | HTTPError) -> Answered:
    if isinstance(answer, HTTPError):
        return Answered(at, now - at, path, is_read, BROKEN, type(answer).__name__, "", "")
    code = "" if answer.is_success else answer.json().get("code", "no problem document")
    cache, retry_after = (answer.headers.get(name, "") for name in ("cache-status", "retry-after"))
    return Answered(at, now - at, path, is_read, answer.status_code, code, cache, retry_after)


@dataclass
class Figures:
    """Of a run. Times are in seconds."""

    experiment: str
    seed: int
    answers: list[Answered] = field(default_factory=list)
    faults: int = 0
    acknowledged: int = 0
    lost: list[str] = field(default_factory=list)
    """Keys of commands that were acknowledged and have no effect, or less than they were answered."""
    duplicated: list[str] = field(default_factory=list)
    """Keys of commands with more effect than they were answered."""
    oversold: int = 0
    recovery: float = 0.0

    @property
    def wrong(self) -> Sequence[Answered]:
        """Answers that are neither a result nor a 503 that says when to try again."""
        return [each for each in self.answers if not each.is_result and not each.is_refusal]

    @property
    def refused(self) -> Sequence[Answered]:
        return [each for each in self.answers if each.status == 503]

    @property
    def slowest(self) -> float:
        return max((each.seconds for each in self.answers), default=0.0)

    def between(self, begin: float, end: float) -> Sequence[Answered]:
        """Those that were asked and answered then."""
        return [each for each in self.answers if begin <= each.at and each.at + each.seconds <= end]

    def writes(self, begin: float, end: float) -> Sequence[Answered]:
        return [each for each in self.between(begin, end) if not each.is_read]

    def reads(self, begin: float, end: float, start: str = "/") -> Sequence[Answered]:
        """Of paths that begin so."""
        return [each for each in self.between(begin, end) if each.is_read and each.path.startswith(start)]

    def percentile(self, percent: int) -> float:
        """Of the answers' times; with fewer than two of them that of the slowest."""
        if len(self.answers) < 2:
            return self.slowest
        return statistics.quantiles((each.seconds for each in self.answers), n=100)[percent - 1]

    def __str__(self) -> str:
        kinds = Counter(f"{each.status} {each.code}" for each in self.answers if not each.is_result)
        stale = sum("stale-if-error" in each.cache for each in self.answers)
        told = ", ".join(f"{count} x {kind}" for kind, count in kinds.most_common()) or "none refused"
        return (
            f"{self.experiment}: WAREHOUSE_TEST_SEED={self.seed}: {len(self.answers)} requests ({told}; {stale} stale "
            f"if error), {self.faults} faults, {self.acknowledged} acknowledged, {len(self.lost)} lost, "
            f"{len(self.duplicated)} duplicated, {self.oversold} oversold, p99 {self.percentile(99):.2f} s, "
            f"slowest {self.slowest:.2f} s, recovery {self.recovery:.2f} s"
        )
