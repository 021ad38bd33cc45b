"""What was written and read, and whether a read may have seen what it saw.

A counted thing has versions: 1, 2, 3 and so on, one written after the other. A read is legal if it sees at least the
last version that was acknowledged before it began, and at most the last that was begun before it ended. All of it
happens in one thread, so what is counted at a moment is what had happened by then.
"""

import time
from collections import Counter, defaultdict, deque
from collections.abc import Awaitable, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

STALE_IF_ERROR = "stale-if-error"
"""The word of reads that say themselves that they are old."""
REMEMBERED = 12
"""The last writes of each thing, to tell of where a read was wrong."""
SHOWN = 10


class Fate(StrEnum):
    """What came of a write. One in doubt may have taken effect, or do so yet."""

    ACKNOWLEDGED = "acknowledged"
    IN_DOUBT = "in doubt"
    REFUSED = "refused"


@dataclass
class Write:
    """One request. `where` is the server that it went to, `told` what was answered."""

    version: int
    where: str
    begun: float
    ended: float | None = None
    told: str = ""
    fate: Fate | None = None

    def __str__(self) -> str:
        if self.ended is None:
            return f"write {self.version}: {self.where}, {self.begun:.3f} and still under way"
        return f"write {self.version}: {self.where}, {self.begun:.3f} to {self.ended:.3f}: {self.told}, {self.fate}"


class Things:
    """`names` are those of the things; each has version 0 to begin with."""

    def __init__(self, names: Sequence[str]) -> None:
        self.names = names
        self.acknowledged = [0] * len(names)
        self.begun = [0] * len(names)
        self.writes: list[deque[Write]] = [deque(maxlen=REMEMBERED) for _ in names]


@dataclass
class Begun:
    """A read of the things from `first` on, with what had been acknowledged of each when it began."""

    things: Things
    first: int
    floors: Sequence[int]
    at: float
    phase: str
    """What goes wrong meanwhile, or did when it began."""


@dataclass
class Reads:
    """Of one endpoint. `caches` counts them by the word of their Cache-Status."""

    checked: int = 0
    failed: int = 0
    caches: Counter[str] = field(default_factory=Counter)


class History:
    def __init__(self) -> None:
        self.reads: defaultdict[str, Reads] = defaultdict(Reads)
        self.values = 0
        """Versions that were checked: a page has many."""
        self.writes: Counter[Fate] = Counter()
        self.stale = 0
        self.impossible = 0
        """Reads of what nobody has written, or that lack something."""
        self.violations: list[str] = []
        """The first of either kind, in words."""
        self.failures: Counter[str] = Counter()
        """Answers to reads that were none, by phase and reason."""
        self.turned_away = 0
        """Reads that were told to come again, and did."""
        self.phase = ""
        self.phases: defaultdict[str, Phase] = defaultdict(Phase)
        self.slowest_write = 0.0

    @property
    def checked(self) -> int:
        return sum(each.checked for each in self.reads.values())

    @property
    def failed(self) -> int:
        return sum(each.failed for each in self.reads.values())

    @property
    def written(self) -> int:
        return sum(self.writes.values())

    async def during(self, phase: str, work: Awaitable[None]) -> None:
        self.phase, begun = phase, time.monotonic()
        await work
        self.phases[phase].seconds += time.monotonic() - begun

    def begin_read(self, things: Things, first: int, count: int, now: float) -> Begun:
        return Begun(things, first, things.acknowledged[first : first + count], now, self.phase)

    def end_read(
        self, endpoint: str, read: Begun, versions: Sequence[int | None], *, cache: str, where: str, now: float
    ) -> None:
        """`versions` is what was seen, in the order of the things; None where one was missing."""
        reads, phase = self.reads[endpoint], self.phases[read.phase]
        reads.checked += 1
        reads.caches[cache] += 1
        phase.reads += 1
        phase.slowest_read = max(phase.slowest_read, now - read.at)
        self.values += len(read.floors)
        for offset, floor in enumerate(read.floors):
            seen = versions[offset] if offset < len(versions) else None
            oldest = 0 if cache == STALE_IF_ERROR else floor
            if seen is None or not oldest <= seen <= read.things.begun[read.first + offset]:
                self._blame(endpoint, read, offset, seen, f"of the {where}, a {cache}", now)
                return

    def fail_read(self, endpoint: str, read: Begun, reason: str, now: float) -> None:
        self.reads[endpoint].failed += 1
        phase = self.phases[read.phase]
        phase.failed += 1
        phase.slowest_read = max(phase.slowest_read, now - read.at)
        self.failures[f"{read.phase}: {endpoint}: {reason}"] += 1

    def next_version(self, things: Things, which: int) -> int:
        """That of the write that is about to be sent, once or more often."""
        things.begun[which] += 1
        return things.begun[which]

    def begin_write(self, things: Things, which: int, version: int, where: str, now: float) -> Write:
        write = Write(version, where, now)
        things.writes[which].append(write)
        return write

    def end_write(self, things: Things, which: int, write: Write, fate: Fate, told: str, now: float) -> None:
        write.ended, write.fate, write.told = now, fate, told
        self.writes[fate] += 1
        seconds, phase = now - write.begun, self.phases[self.phase]
        phase.slowest_write = max(phase.slowest_write, seconds)
        self.slowest_write = max(self.slowest_write, seconds)
        if fate is Fate.ACKNOWLEDGED:
            things.acknowledged[which] = max(things.acknowledged[which], write.version)

    def _blame(self, endpoint: str, read: Begun, offset: int, seen: int | None, told: str, now: float) -> None:
        which, floor = read.first + offset, read.floors[offset]
        ceiling = read.things.begun[which]
        is_stale = seen is not None and seen < floor
        if is_stale:
            self.stale += 1
        else:
            self.impossible += 1
        if (self.stale if is_stale else self.impossible) <= SHOWN:
            story = "\n    ".join(map(str, read.things.writes[which]))
            self.violations.append(
                f"{'STALE' if is_stale else 'IMPOSSIBLE'} {read.things.names[which]} by {endpoint} {told}, "
                f"{read.at:.3f} to {now:.3f}, in phase {read.phase!r}: saw {seen}, not {floor} to {ceiling}"
                f"\n    {story}"
            )


@dataclass
class Phase:
    """Counted for what began in it."""

    seconds: float = 0.0
    reads: int = 0
    failed: int = 0
    slowest_read: float = 0.0
    slowest_write: float = 0.0
