"""What a group of comparisons found, and the document that is made of all of them."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from bench.harness import Figures, Plan, Sample, Spread

CPU: tuple[Callable[[Sample], float | None], ...] = (
    lambda sample: sample.server_cpu,
    lambda sample: sample.generator_cpu,
)
HOW = """Written by `make bench`, which starts every server itself; do not edit. Contestants take turns, {rounds}
rounds of {seconds} s each after a warm-up, each round begun by another. A figure is the median of the rounds,
followed by the least and the most; a ratio is taken within each round. Servers, database, Valkey and the load
generator share the machine: with two cores, one server process runs on the one, wrk and the rest on the other. Each
contestant's answers are checked before and after each turn: status, content, where they came from."""


@dataclass(frozen=True, slots=True)
class Goal:
    """`measured` is empty, and `met` None, where it could not be measured."""

    measure: str
    goal: str
    measured: str
    met: bool | None

    @classmethod
    def at_least(cls, measure: str, least: float, ratio: Spread | None, show: Callable[[float], str]) -> "Goal":
        met = None if ratio is None else ratio.median >= least
        return cls(measure, f"≥ {show(least)}", _spread(ratio, show), met)

    @classmethod
    def at_most(cls, measure: str, most: float, ratio: Spread | None, show: Callable[[float], str]) -> "Goal":
        met = None if ratio is None else ratio.median <= most
        return cls(measure, f"≤ {show(most)}", _spread(ratio, show), met)

    @property
    def verdict(self) -> str:
        return "not measured" if self.met is None else "met" if self.met else "**not met**"


@dataclass(frozen=True, slots=True)
class Table:
    caption: str
    head: Sequence[str]
    rows: Sequence[Sequence[str]]


@dataclass(frozen=True, slots=True)
class Bar:
    """`spread` is of seconds."""

    label: str
    spread: Spread
    kind: Literal["ours", "peer", "limit"]


@dataclass(slots=True)
class GroupReport:
    title: str
    text: str
    tables: list[Table] = field(default_factory=list)
    goals: list[Goal] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)
    check: str = ""
    bars: list[Bar] = field(default_factory=list)
    """For the chart."""

    def note_failures(self, figures: Iterable[Figures]) -> None:
        self.failures += [f"{each.name}: {each.failure}" for each in figures if each.failure]


def throughput_table(figures: Mapping[str, Figures], base: str, caption: str) -> Table:
    """Requests a second, and the ratio to `base`."""
    head = ("", "requests/s", f"of {base}", "CPU a request", "SELECTs a request", "CPU of server", "CPU of wrk")
    return Table(caption, head, [_throughput_row(each, figures[base]) for each in figures.values()])


def _throughput_row(figures: Figures, base: Figures) -> Sequence[str]:
    if figures.failure:
        return (figures.name, f"not measured: {figures.failure}", "", "", "", "", "")
    reads = figures.median_of(lambda sample: sample.reads)
    return (
        figures.name,
        _spread(figures.value, number),
        _spread(figures.over(base), ratio),
        _cpu_each(figures),
        "" if reads is None else f"{reads:.2f}",
        *_cpu(figures),
    )


def duration_table(
    figures: Mapping[str, Figures], base: str, caption: str, sizes: Mapping[str, int] | None = None
) -> Table:
    """Milliseconds, how many times those of `base`, and megabytes where they are given."""
    with_sizes = sizes is not None
    head = ("", "ms", f"times {base}", *(["MB sent"] if with_sizes else []))
    rows = []
    for each in figures.values():
        row = [each.name, f"not measured: {each.failure}", ""]
        if not each.failure:
            row = [each.name, _spread(each.value, milliseconds), _spread(each.over(figures[base]), times)]
        if sizes is not None:
            row.append(f"{sizes[each.name] / 1e6:.2f}" if each.name in sizes else "")
        rows.append(row)
    return Table(caption, head, rows)


def _cpu(figures: Figures) -> tuple[str, str]:
    shares = (figures.median_of(part) for part in CPU)
    server, generator = ("" if share is None else f"{share:.0%}" for share in shares)
    return server, generator


def _spread(spread: Spread | None, show: Callable[[float], str]) -> str:
    if spread is None:
        return ""
    if show is ratio and spread.median < DECIMAL:
        show = one_in
    return f"{show(spread.median)} ({show(spread.low)} to {show(spread.high)})"


def _cpu_each(figures: Figures) -> str:
    """Of the server alone: it tells less of what else the machine was doing."""
    seconds = figures.median_of(lambda sample: None if sample.server_cpu is None else sample.server_cpu / sample.value)
    return "" if seconds is None else f"{seconds * 1e6:,.0f} µs"


def number(value: float) -> str:
    return f"{value:,.0f}"


def ratio(value: float) -> str:
    """Large ones as decimals, small ones as one in so many."""
    return f"{value:.2f}" if value >= DECIMAL else one_in(value)


def one_in(value: float) -> str:
    return f"1/{1 / value:,.{0 if value < DECIMAL else 1}f}"


def times(value: float) -> str:
    return f"{value:.2f} x" if value < 10 else f"{value:,.0f} x"


def milliseconds(value: float) -> str:
    """Of seconds."""
    shown = value * 1000
    return f"{shown:,.0f}" if shown >= 100 else f"{shown:.1f}" if shown >= 10 else f"{shown:.2f}"


DECIMAL = 0.1
"""Ratios from here on are decimals."""
BUSY = 0.95
"""The share of a core from which on a server can do no more."""


def generator_check(bare: Figures) -> str:
    """Whether wrk could have sent more than the fastest contestant took."""
    server, generator = (bare.median_of(part) for part in CPU)
    if server is None or generator is None:
        return ""
    shares = f"the bare application used {server:.0%} of a core, wrk {generator:.0%}"
    if server >= BUSY:
        return f"The generator was not the limit: {shares}."
    return f"**The generator, or another program, may have been the limit: {shares}.**"


def document(reports: Sequence[GroupReport], facts: Sequence[str], chart: str | None, plan: Plan) -> str:
    """Markdown. `chart` is the file beside it."""
    goals = [goal for report in reports for goal in report.goals]
    parts = [
        "# Benchmarks",
        HOW.format(rounds=plan.rounds, seconds=plan.seconds),
        "\n".join(f"- {fact}" for fact in facts),
        "## Goals",
        _markdown(
            Table(
                "",
                ("measure", "goal", "measured: median (least to most)", ""),
                [(goal.measure, goal.goal, goal.measured, goal.verdict) for goal in goals],
            )
        ),
    ]
    if chart:
        parts.append(f"![Time to answer 30,000 products, for each contestant]({chart})")
    for report in reports:
        parts += [f"## {report.title}", report.text]
        parts += [report.check] if report.check else []
        for table in report.tables:
            parts += [f"{table.caption}:", _markdown(table)] if table.caption else [_markdown(table)]
    failures = [failure for report in reports for failure in report.failures]
    if failures:
        parts += ["## Not measured", "\n".join(f"- {failure}" for failure in failures)]
    return "\n\n".join(parts) + "\n"


def _markdown(table: Table) -> str:
    align = ["---", *["---:"] * (len(table.head) - 1)]
    lines = [table.head, align, *table.rows]
    return "\n".join(f"| {' | '.join(cell.replace('|', '/') for cell in line)} |" for line in lines)
