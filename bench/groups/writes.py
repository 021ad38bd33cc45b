"""Commands that change stock."""

import asyncio
from contextlib import ExitStack
from typing import Any

import orjson
import uvloop

from bench.commands import CONCURRENT, CommandRate, Raw, Service, places, recorded_commands
from bench.contestants import Throughput, answered
from bench.harness import contest
from bench.load import Load
from bench.report import Goal, GroupReport, Table, ratio, throughput_table
from bench.servers import Bare
from bench.stage import Stage
from bench.wire import Request, asked
from tests.process import Process

SPREAD_OVER = 1000
"""Balances."""
LEAST_OF_BARE = 1 / 40
LEAST_OF_RAW = 0.50

TEXT = f"""Over HTTP: wrk, one thread and 32 connections, one server process, each request one unit of one of
{SPREAD_OVER:,} products under an idempotency key of its own. The bare ASGI application reads the body and sends the
bytes that ours sends. Every commit is on the disk before it is answered.

Without HTTP: shipping one unit (the key, the balance, the movement, the recorded answer: one transaction),
{CONCURRENT} at a time in one process, beside the very statements that it sends, recorded from it and sent by
aiomysql alone over {CONCURRENT} connections, with fresh keys and ids."""


def run(stage: Stage) -> GroupReport:
    report = GroupReport("Stock commands", TEXT)
    _over_http(stage, report)
    _without_http(stage, report)
    return report


def _over_http(stage: Stage, report: GroupReport) -> None:
    with ExitStack() as stack:
        figures = contest(_contestants(stage, stack), stage.plan.rounds)
    for name in ("ship", "reserve"):
        base = f"bare ASGI, {name}"
        some = {each: figures[each] for each in (base, f"ours, {name}")}
        report.tables.append(throughput_table(some, base, f"{name.capitalize()} one unit"))
        share = figures[f"ours, {name}"].over(figures[base])
        report.goals.append(Goal.at_least(f"{name} one unit over HTTP, of bare ASGI", LEAST_OF_BARE, share, ratio))
    report.note_failures(figures.values())


def _contestants(stage: Stage, stack: ExitStack) -> list[Throughput]:
    ours = stack.enter_context(stage.ours())
    contestants = []
    for name, path in (("ship", "/v1/stock/shipments"), ("reserve", "/v1/reservations")):
        requests = [Request(path, stage.authorized, "POST", body) for body in _bodies(stage)]
        once = Request(path, {**stage.authorized, "Idempotency-Key": f"bench-{name}"}, "POST", requests[0].body)
        answer = asked(ours.port, once)
        answered(answer, 201)
        bare = stack.enter_context(Bare(stage.recorded([(once, answer)])))
        contestants += [
            _contestant(stage, f"bare ASGI, {name}", bare, requests),
            _contestant(stage, f"ours, {name}", ours, requests),
        ]
    return contestants


def _contestant(stage: Stage, name: str, server: Process, requests: list[Request]) -> Throughput:
    load = Load(requests, unique_keys=True)
    return Throughput(name, server, load, answered, stage.plan.seconds, stage.wrk, stage.counters, probes=False)


def _bodies(stage: Stage) -> list[bytes]:
    found = stage.database.rows(
        "SELECT p.sku, LOWER(HEX(b.location_id)) FROM balances b JOIN products p ON p.id = b.product_id"
        f" ORDER BY b.product_id LIMIT {SPREAD_OVER}"
    )
    return [orjson.dumps({"lines": [_line(sku, location_id)]}) for sku, location_id in found]


def _line(sku: str, location_id: str) -> dict[str, Any]:
    dashed = f"{location_id[:8]}-{location_id[8:12]}-{location_id[12:16]}-{location_id[16:20]}-{location_id[20:]}"
    return {"sku": sku, "location_id": dashed, "quantity": 1}


def _without_http(stage: Stage, report: GroupReport) -> None:
    at = places(stage.database)
    service = Service(stage.database.url, stage.valkey.url())
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        transactions = runner.run(recorded_commands(service, at))
    raw = Raw(stage.database.url, transactions)

    def movements() -> int:
        ((count,),) = stage.database.rows("SELECT COUNT(*) FROM movements")
        return int(count)

    contestants = [
        CommandRate("raw aiomysql", raw.running, at, stage.plan.seconds, movements),
        CommandRate("ours", service.running, at, stage.plan.seconds, movements),
    ]
    try:
        figures = contest(contestants, stage.plan.rounds)
    finally:
        for each in contestants:
            each.close()
    statements = [text for text, _, _ in transactions[at[0]]]
    table = throughput_table(figures, "raw aiomysql", f"Ship one unit without HTTP, {len(statements)} statements")
    head = ("", "commands/s", "of raw aiomysql", "CPU a command", "", "CPU of process", "")
    report.tables.append(Table(table.caption, head, table.rows))
    report.note_failures(figures.values())
    share = figures["ours"].over(figures["raw aiomysql"])
    measure = "stock command against raw aiomysql running the same statements"
    report.goals.append(Goal.at_least(measure, LEAST_OF_RAW, share, ratio))
