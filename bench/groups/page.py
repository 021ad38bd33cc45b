"""A page of 50 balances."""

from contextlib import ExitStack

import orjson

from bench.contestants import (
    BROWSER,
    FROM_CACHE,
    FROM_DATABASE,
    NO_CACHE,
    Expectation,
    Reads,
    Throughput,
    all_of,
    answered,
    is_hit,
    is_no_hit,
)
from bench.harness import NotMeasuredError, contest
from bench.load import Load
from bench.report import Goal, GroupReport, generator_check, ratio, throughput_table
from bench.servers import Bare
from bench.stage import BALANCES, Stage
from bench.wire import Answer, Request, asked
from tests.process import Process

PATH = "/v1/stock?limit=50"
ROWS = 50
LEAST_CACHED = 1 / 4
LEAST_UNCACHED = 1 / 30

TEXT = f"""wrk, one thread and 32 connections, asks for the first page of {BALANCES:,} balances; one server process
each. The client accepts compression. *Uncached* is asked with `Cache-Control: no-cache`. The bare ASGI application
sends the body that ours sends."""


def run(stage: Stage) -> GroupReport:
    report = GroupReport("A page of 50 balances", TEXT)
    with ExitStack() as stack:
        figures = contest(_contestants(stage, stack), stage.plan.rounds)
    report.tables.append(throughput_table(figures, "bare ASGI", ""))
    report.note_failures(figures.values())
    report.check = generator_check(figures["bare ASGI"])
    for name, least in (("ours, cached", LEAST_CACHED), ("ours, uncached", LEAST_UNCACHED)):
        share = figures[name].over(figures["bare ASGI"])
        report.goals.append(Goal.at_least(f"page of 50 balances, {name}, of bare ASGI", least, share, ratio))
    return report


def _contestants(stage: Stage, stack: ExitStack) -> list[Throughput]:
    ours = stack.enter_context(stage.ours())
    cached = Request(PATH, {**stage.authorized, **BROWSER})
    uncached = Request(PATH, {**cached.headers, **NO_CACHE})
    asked(ours.port, cached)
    bare = stack.enter_context(Bare(stage.recorded([(cached, asked(ours.port, cached))])))

    def contestant(name: str, server: Process, request: Request, expects: Expectation, reads: Reads) -> Throughput:
        load = Load([request])
        checks = all_of(is_page, expects)
        return Throughput(name, server, load, checks, stage.plan.seconds, stage.wrk, stage.counters, reads)

    return [
        contestant("bare ASGI", bare, Request(PATH), answered, FROM_CACHE),
        contestant("ours, cached", ours, cached, is_hit, FROM_CACHE),
        contestant("ours, uncached", ours, uncached, is_no_hit, FROM_DATABASE),
    ]


def is_page(answer: Answer) -> None:
    answered(answer)
    if (found := len(orjson.loads(answer.decoded())["data"])) != ROWS:
        raise NotMeasuredError(f"answers {found} rows, not {ROWS}")
