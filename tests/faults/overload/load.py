"""What a load was answered, in figures."""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from statistics import median, quantiles
from typing import Self

from tests.faults.overload.client import LOST, Answer

SETTLING_PART = 0.2
"""Of its time, at its begin, is not looked at for the goodput: queues fill meanwhile."""
SLICE_SECONDS = 1.0


@dataclass(frozen=True)
class Load:
    """The answers to what was due within so many `seconds`."""

    answers: Sequence[Answer]
    seconds: float

    @cached_property
    def goodput(self) -> float:
        """Good answers a second."""
        return sum(self.goodputs.values())

    @cached_property
    def goodputs(self) -> Mapping[str, float]:
        """By the kind of the request."""
        end = min(each.due for each in self.answers) + self.seconds
        begin = end - self.seconds * (1 - SETTLING_PART)
        counts = Counter(each.kind for each in self.answers if each.is_good and begin <= each.ended < end)
        return {kind: count / (end - begin) for kind, count in counts.items()}

    @cached_property
    def good(self) -> Self:
        return self._those([each for each in self.answers if each.is_good])

    @cached_property
    def refused(self) -> Self:
        return self._those([each for each in self.answers if each.is_refusal])

    @cached_property
    def others(self) -> Self:
        """Late ones, errors, and what was not answered."""
        return self._those([each for each in self.answers if not each.is_good and not each.is_refusal])

    @property
    def median(self) -> float:
        """Seconds from when a request was due to the end of its answer."""
        return median(each.seconds for each in self.answers)

    @property
    def slices(self) -> Sequence[Self]:
        """By the second in which they were due."""
        begun = min(each.due for each in self.answers)
        slices = defaultdict(list)
        for answer in self.answers:
            slices[int((answer.due - begun) / SLICE_SECONDS)].append(answer)
        return [type(self)(slices[number], SLICE_SECONDS) for number in sorted(slices)]

    @property
    def times(self) -> str:
        return in_ms([each.seconds for each in self.answers])

    @property
    def lag(self) -> str:
        """How late the client was."""
        return in_ms([each.sent - each.due for each in self.answers if each.status != LOST])

    @property
    def statuses(self) -> str:
        counts = Counter(each.status for each in self.answers)
        return ", ".join(f"{count:,} x {status}" for status, count in sorted(counts.items()))

    def _those(self, answers: Sequence[Answer]) -> Self:
        return type(self)(answers, self.seconds)


def in_ms(seconds: Sequence[float]) -> str:
    """Their median and 99th percentile."""
    if len(seconds) < 2:
        return "nothing"
    return f"{median(seconds) * 1000:.1f} ms (p99 {quantiles(seconds, n=100)[98] * 1000:.1f} ms)"
