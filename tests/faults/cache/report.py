"""The figures of a run, for people."""

from collections.abc import Iterator

from tests.faults.cache.history import Fate, History


def table(history: History, fences: float) -> str:
    return "\n".join((*_reads(history), *_totals(history, fences), *_phases(history), *_wrongs(history)))


def _reads(history: History) -> Iterator[str]:
    words = sorted({word for reads in history.reads.values() for word in reads.caches})
    yield f"{'reads':<12}{'checked':>10}{'failed':>8}" + "".join(f"{word:>16}" for word in words)
    for name, reads in sorted(history.reads.items()):
        caches = "".join(f"{reads.caches[word]:>16,}" for word in words)
        yield f"{name:<12}{reads.checked:>10,}{reads.failed:>8,}{caches}"


def _totals(history: History, fences: float) -> Iterator[str]:
    reads, writes = history.checked, history.written
    seconds = sum(phase.seconds for phase in history.phases.values())
    yield (
        f"{reads:,} reads of {history.values:,} versions checked in {seconds:.0f} s ({reads / seconds:,.0f} a second): "
        f"{history.stale} stale, {history.impossible} impossible, {history.failed} failed, "
        f"{history.turned_away} turned away"
    )
    fates = ", ".join(f"{history.writes[fate]:,} {fate}" for fate in Fate)
    share = writes / max(1, writes + reads)
    yield f"{writes:,} writes ({share:.0%}): {fates}; the slowest {history.slowest_write:.2f} s; {fences:.0f} fences"


def _phases(history: History) -> Iterator[str]:
    yield f"{'phase':<12}{'seconds':>9}{'reads':>10}{'failed':>8}{'slowest read':>14}{'slowest write':>15}"
    for name, phase in history.phases.items():
        yield (
            f"{name:<12}{phase.seconds:>9.1f}{phase.reads:>10,}{phase.failed:>8,}"
            f"{phase.slowest_read:>12.2f} s{phase.slowest_write:>13.2f} s"
        )


def _wrongs(history: History) -> Iterator[str]:
    for reason, count in history.failures.most_common(10):
        yield f"failed: {count} in {reason}"
    yield from history.violations
