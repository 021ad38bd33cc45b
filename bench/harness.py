"""Contestants take turns; medians, spreads and ratios come out."""

import statistics
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from bench.load import LoadError


class NotMeasuredError(Exception):
    """The contestant did something else than what is to be measured; the text says what."""


@dataclass(frozen=True, slots=True)
class Plan:
    """`rounds` of every comparison, `seconds` of load for each contestant in a round."""

    rounds: int = 5
    seconds: int = 3
    quick: bool = False

    @classmethod
    def smoke(cls) -> "Plan":
        return cls(rounds=2, seconds=1, quick=True)


@dataclass(frozen=True, slots=True)
class Sample:
    """One turn: `value` in the contest's unit; the CPU shares are of one core; `reads` are SELECTs a request."""

    value: float
    server_cpu: float | None = None
    generator_cpu: float | None = None
    reads: float | None = None


class Contestant(Protocol):
    name: str

    def check(self) -> None:
        """Raises `NotMeasuredError` where it does not do what is to be measured."""

    def warm_up(self) -> None: ...

    def measure(self) -> Sample:
        """Raises `NotMeasuredError`, `LoadError`."""
        ...


@dataclass(frozen=True, slots=True)
class Spread:
    """A median and its extremes."""

    median: float
    low: float
    high: float

    @classmethod
    def of(cls, values: Sequence[float]) -> "Spread":
        return cls(statistics.median(values), min(values), max(values))

    def inverse(self) -> "Spread":
        return Spread(1 / self.median, 1 / self.high, 1 / self.low)


@dataclass(slots=True)
class Figures:
    """Every turn of one contestant; or why there is none."""

    name: str
    samples: list[Sample] = field(default_factory=list)
    failure: str | None = None

    @property
    def value(self) -> Spread | None:
        return None if self.failure else Spread.of([sample.value for sample in self.samples])

    def over(self, other: "Figures") -> Spread | None:
        """The ratio of the two in each round, so that what slows a whole round down does not count."""
        if self.failure or other.failure:
            return None
        return Spread.of([a.value / b.value for a, b in zip(self.samples, other.samples, strict=True)])

    def median_of(self, part: Callable[[Sample], float | None]) -> float | None:
        values = [value for sample in self.samples if (value := part(sample)) is not None]
        return statistics.median(values) if values and not self.failure else None


def contest(contestants: Sequence[Contestant], rounds: int) -> Mapping[str, Figures]:
    """Round robin, each round begun by another; who fails once is out."""
    figures = {each.name: Figures(each.name) for each in contestants}
    for each in contestants:
        _try(figures[each.name], each, _prepare)
    for number in range(rounds):
        for offset in range(len(contestants)):
            each = contestants[(number + offset) % len(contestants)]
            _try(figures[each.name], each, _turn)
        say(f"  round {number + 1} of {rounds}")
    for each in contestants:
        say(_told(figures[each.name]))
    return figures


def _prepare(_: Figures, contestant: Contestant) -> None:
    contestant.warm_up()
    contestant.check()


def _turn(figures: Figures, contestant: Contestant) -> None:
    contestant.check()
    sample = contestant.measure()
    contestant.check()
    figures.samples.append(sample)


def _try(figures: Figures, contestant: Contestant, step: Callable[[Figures, Contestant], None]) -> None:
    if figures.failure:
        return
    try:
        step(figures, contestant)
    except (NotMeasuredError, LoadError, OSError, ValueError) as error:
        figures.failure = str(error) or type(error).__name__
        say(f"  NOT MEASURED: {contestant.name}: {figures.failure}")


def _told(figures: Figures) -> str:
    value = figures.value
    told = figures.failure if value is None else f"{value.median:.4g} ({value.low:.4g} to {value.high:.4g})"
    return f"  {figures.name}: {told}"


def say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()
