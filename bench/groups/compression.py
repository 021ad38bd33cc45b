"""A page of 50 products, compressed."""

from contextlib import ExitStack

from bench.contestants import NO_CACHE, Expectation, Throughput, all_of, is_encoded
from bench.groups.page import is_page
from bench.harness import contest
from bench.load import Load
from bench.report import GroupReport, generator_check, throughput_table
from bench.servers import Absent, Bare, Uvicorn, started
from bench.stage import Stage
from bench.wire import Request, asked
from tests.process import Process

PATH = "/v1/products?limit=50"
ENCODINGS = ("gzip", "zstd")
PEERS = {"starlette's GZipMiddleware": ("starlette", "gzip"), "starlette-compress": ("starlette-compress", "zstd")}

TEXT = """wrk, one thread and 32 connections, asks for the first page of 50 products; one server process each. The
middlewares, with their default settings, stand before a bare ASGI application that has the plain JSON ready: they
do nothing but compress it. Ours, asked not to answer from the cache, reads the page from the database, encodes and
compresses it. (The whole catalogue behind the same middlewares is in the table above.)"""


def run(stage: Stage) -> GroupReport:
    report = GroupReport("A page of products, compressed", TEXT)
    with ExitStack() as stack:
        figures = contest(_contestants(stage, stack), stage.plan.rounds)
    report.tables.append(throughput_table(figures, "bare ASGI, plain", ""))
    report.note_failures(figures.values())
    report.check = generator_check(figures["bare ASGI, plain"])
    return report


def _contestants(stage: Stage, stack: ExitStack) -> list[Throughput]:
    ours = stack.enter_context(stage.ours())
    plain = Request(PATH, stage.authorized)
    ready = stage.recorded([(plain, asked(ours.port, plain))], encoded=False)
    bare = stack.enter_context(Bare(ready))

    def contestant(name: str, server: Process | Absent, request: Request, encoding: str) -> Throughput:
        expects = all_of(is_page, _encoded(encoding))
        return Throughput(name, server, Load([request]), expects, stage.plan.seconds, stage.wrk)

    contestants = [contestant("bare ASGI, plain", bare, Request(PATH), "identity")]
    for name, (middleware, encoding) in PEERS.items():
        peer = started(stack, Uvicorn("compressed", {**ready, "BENCH_MIDDLEWARE": middleware}))
        contestants.append(contestant(f"{name}, {encoding}", peer, Request(PATH, _accepting(encoding)), encoding))
    for encoding in ENCODINGS:
        request = Request(PATH, {**stage.authorized, **NO_CACHE, **_accepting(encoding)})
        contestants.append(contestant(f"ours, uncached, {encoding}", ours, request, encoding))
    return contestants


def _accepting(encoding: str) -> dict[str, str]:
    return {"Accept-Encoding": encoding}


def _encoded(encoding: str) -> Expectation:
    return lambda answer: is_encoded(answer, encoding)
