"""Everything, or one group: `python -m bench [--quick] [--only GROUP]`.

A full run writes docs/benchmarks.md and its chart. With --quick or --only they go to var/bench, and the document is
printed.
"""

import argparse
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import pymysql

from bench.chart import chart
from bench.groups import catalogue, compression, depth, heavy, page, product, rows, stampede, writes
from bench.harness import NotMeasuredError, Plan, say
from bench.load import LoadError
from bench.machine import facts
from bench.report import GroupReport, document
from bench.servers import ROOT
from bench.stage import Stage
from tests.process import ServerError

GROUPS: Mapping[str, Callable[[Stage], GroupReport]] = {
    "product": product.run,
    "catalogue": catalogue.run,
    "compression": compression.run,
    "page": page.run,
    "depth": depth.run,
    "rows": rows.run,
    "stampede": stampede.run,
    "writes": writes.run,
    "heavy": heavy.run,
}
DOCS = ROOT / "docs"
TRIALS = ROOT / "var" / "bench"
DOCUMENT, CHART = "benchmarks.md", "benchmarks.svg"
FAULTS = (NotMeasuredError, LoadError, ServerError, subprocess.SubprocessError, pymysql.MySQLError, OSError)
"""What ends a group, and not the others."""
TITLE = "Time to answer 30,000 products"


def main() -> None:
    options = _options()
    plan = Plan.smoke() if options.quick else Plan()
    begun = time.monotonic()
    with Stage(plan) as stage:
        # First: where a program is missing, nothing that was measured is lost.
        about = facts(stage)
        reports = [_run(name, stage) for name in GROUPS if name in (options.only or GROUPS)]
    bars = [bar for report in reports for bar in report.bars]
    text = document(reports, about, CHART if bars else None, plan)
    is_trial = options.quick or options.only
    _write(TRIALS if is_trial else DOCS, text, chart(TITLE, bars) if bars else None)
    if is_trial:
        say(text)
    say(f"took {time.monotonic() - begun:.0f} s")
    sys.exit(any(report.failures for report in reports))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench", description="Measure the service beside its peers.")
    parser.add_argument("--quick", action="store_true", help="a smoke run: two rounds of a second, smaller tables")
    parser.add_argument("--only", action="append", choices=list(GROUPS), help="this group; may be given again")
    return parser.parse_args()


def _run(name: str, stage: Stage) -> GroupReport:
    say(f"{name}")
    begun = time.monotonic()
    try:
        report = GROUPS[name](stage)
    except FAULTS as error:
        say(f"  NOT MEASURED: {name}: {error}")
        report = GroupReport(name.capitalize(), "Could not be measured.", failures=[f"{name}: {error}"])
    say(f"  {time.monotonic() - begun:.0f} s")
    return report


def _write(folder: Path, text: str, drawing: str | None) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / DOCUMENT).write_text(text)
    if drawing:
        (folder / CHART).write_text(drawing)


if __name__ == "__main__":
    main()
