"""One product by its id."""

from contextlib import ExitStack
from uuid import UUID

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
from bench.servers import Absent, Bare, Gunicorn, Uvicorn, started
from bench.stage import Stage
from bench.wire import Answer, Connection, Request
from tests.process import Process

FASTAPI_PEERS = {
    "FastAPI + cashews": "fastapi_cashews",
    "FastAPI + aiocache": "fastapi_aiocache",
    "FastAPI + fastapi-cache2": "fastapi_cache2",
}
LEAST_OF_BARE = 0.40
LEAST_OF_UNLIMITED = 0.90

TEXT = """wrk, one thread and 32 connections, asks for 100 products in turn. One server process each, except for
gunicorn's two. *Ours* is `warehouse serve` as it is shipped, with every middleware on, and a quota
that is not used up; the client sends an API key
and accepts compression. The bare ASGI application, on the same uvicorn, uvloop and httptools, sends the bodies that
ours sends. The peers read the same rows through SQLAlchemy's ORM and answer the same fields; FastAPI's have no
authentication and no other middleware. What is cached is in Valkey for everybody."""


def run(stage: Stage) -> GroupReport:
    report = GroupReport("One product by id", TEXT)
    with ExitStack() as stack:
        figures = contest(_contestants(stage, stack), stage.plan.rounds)
    report.tables.append(throughput_table(figures, "bare ASGI", ""))
    report.note_failures(figures.values())
    report.check = generator_check(figures["bare ASGI"])
    share = figures["ours, cached"].over(figures["bare ASGI"])
    measure = "cached GET of one product, the whole production stack, of bare ASGI"
    report.goals.append(Goal.at_least(measure, LEAST_OF_BARE, share, ratio))
    share = figures["ours, cached"].over(figures["ours, cached, without rate limits"])
    measure = "cached GET of one product with rate limits, of the same without"
    report.goals.append(Goal.at_least(measure, LEAST_OF_UNLIMITED, share, ratio))
    return report


def _contestants(stage: Stage, stack: ExitStack) -> list[Throughput]:
    ours = stack.enter_context(stage.ours())
    unlimited = stack.enter_context(stage.ours(limits=False))
    # One that reads the database in between is slower at what is cached, too: that would be laid at the limits' door.
    reading = stack.enter_context(stage.ours())
    paths = [f"/v1/products/{each}" for each in stage.product_ids]
    headers = {**stage.authorized, **BROWSER}
    cached = [Request(path, headers) for path in paths]
    uncached = [Request(path, {**headers, **NO_CACHE}) for path in paths]
    with Connection(ours.port) as connection:
        answers = [(request, connection.ask(request)) for request in cached]
    bare = stack.enter_context(Bare(stage.recorded(answers)))
    right = _is_product(stage.product_ids[0])

    def contestant(
        name: str, server: Process | Absent, requests: list[Request], expects: Expectation, reads: Reads
    ) -> Throughput:
        load = Load(requests)
        return Throughput(name, server, load, expects, stage.plan.seconds, stage.wrk, stage.counters, reads)

    contestants = [
        contestant("bare ASGI", bare, [Request(path) for path in paths], answered, FROM_CACHE),
        contestant("ours, cached", ours, cached, all_of(right, is_hit), FROM_CACHE),
        contestant("ours, cached, without rate limits", unlimited, cached, all_of(right, is_hit), FROM_CACHE),
        contestant("ours, uncached", reading, uncached, all_of(right, is_no_hit), FROM_DATABASE),
    ]
    plain = [Request(f"/products/{each}") for each in stage.product_ids]
    for name, module in FASTAPI_PEERS.items():
        peer = started(stack, Uvicorn(module, stage.peers_settings("mysql+aiomysql")))
        contestants.append(contestant(name, peer, plain, right, FROM_CACHE))
    flask = started(stack, Gunicorn("flask_stack", stage.peers_settings("mysql+pymysql")))
    by_flask = [Request(f"/cached/products/{each}") for each in stage.product_ids]
    contestants.append(contestant("Flask + Flask-Caching, 2 processes", flask, by_flask, right, FROM_CACHE))
    contestants.append(contestant("Flask, uncached, 2 processes", flask, plain, right, FROM_DATABASE))
    return contestants


def _is_product(product_id: UUID) -> Expectation:
    def check(answer: Answer) -> None:
        answered(answer)
        if (said := orjson.loads(answer.decoded())["id"]) != str(product_id):
            raise NotMeasuredError(f"answers product {said}, not {product_id}")

    return check
