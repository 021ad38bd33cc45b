"""The whole catalogue: 30,000 products in one answer."""

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from typing import Any, Literal

import orjson

from bench.catalogue import PRODUCTS
from bench.contestants import Duration, Expectation, all_of, answered, is_encoded, is_hit, is_no_hit
from bench.harness import Figures, NotMeasuredError, contest
from bench.report import Bar, Goal, GroupReport, duration_table, times
from bench.servers import Bare, Gunicorn, Uvicorn, started
from bench.stage import Stage
from bench.wire import Answer, Request, asked
from tests.process import Process

PATH = "/v1/products/snapshot"
ZSTD = {"Accept-Encoding": "zstd"}
GZIP = {"Accept-Encoding": "gzip"}
REPEATS = 10
MOST_OF_BARE = 2.0
LEAST_FASTER = {
    ("ours, cached", "Flask, uncached"): 100.0,
    ("ours, cached", "Flask, cached"): 10.0,
    ("ours, first", "Flask, uncached"): 5.0,
}
BARS: Mapping[str, tuple[str, Literal["ours", "peer", "limit"]]] = {
    "Flask, uncached": ("Flask, uncached", "peer"),
    "Flask, cached": ("Flask, cached", "peer"),
    "ours, first": ("Warehouse, uncached", "ours"),
    "ours, cached": ("Warehouse, cached", "ours"),
    "bare ASGI": ("bare ASGI", "limit"),
}

TEXT = f"""Milliseconds from one request to the last byte of its answer, on one connection, for all {PRODUCTS:,}
products (fields and rows are everybody's the same). *First* is with an empty cache: it reads the database, encodes,
compresses and fills the cache. Ours and the bare ASGI application, which sends the same bytes, answer with zstd.
Flask sends plain JSON, under gunicorn with two workers. The two middlewares stand before an application that has
the plain JSON ready: what they take is compression alone, with their default settings."""


def run(stage: Stage) -> GroupReport:
    report = GroupReport("The whole catalogue", TEXT)
    with ExitStack() as stack:
        contestants = _contestants(stage, stack)
        figures = contest(contestants, stage.plan.rounds)
    sizes = {each.name: each.sizes[-1] for each in contestants if each.sizes}
    report.tables.append(duration_table(figures, "bare ASGI", "", sizes))
    report.note_failures(figures.values())
    report.goals += _goals(figures)
    report.bars = [Bar(label, spread, kind) for name, (label, kind) in BARS.items() if (spread := figures[name].value)]
    return report


def _goals(figures: Mapping[str, Figures]) -> list[Goal]:
    of_bare = figures["ours, cached"].over(figures["bare ASGI"])
    goals = [Goal.at_most("cached whole catalogue of 30,000, zstd: time of bare ASGI's", MOST_OF_BARE, of_bare, times)]
    for (ours, theirs), least in LEAST_FASTER.items():
        faster = figures[theirs].over(figures[ours])
        goals.append(Goal.at_least(f"whole catalogue: {ours}, faster than {theirs}", least, faster, times))
    return goals


def _contestants(stage: Stage, stack: ExitStack) -> Sequence[Duration]:
    ours = stack.enter_context(stage.ours())
    request = Request(PATH, {**stage.authorized, **ZSTD})
    plain = Request(PATH, stage.authorized)
    asked(ours.port, request)
    answer = asked(ours.port, request)
    bare = stack.enter_context(Bare(stage.recorded([(request, answer)])))
    flask = started(stack, Gunicorn("flask_stack", stage.peers_settings("mysql+pymysql")))
    uncompressed = asked(ours.port, plain)
    same = SameProducts(uncompressed)
    ready = stage.recorded([(plain, uncompressed)], encoded=False)
    middlewares = {
        name: started(stack, Uvicorn("compressed", {**ready, "BENCH_MIDDLEWARE": name}))
        for name in ("starlette", "starlette-compress")
    }

    def emptied(server: Process) -> None:
        """And what is not of the catalogue is warm again: the connection to the database, the key."""
        stage.empty_cache()
        asked(server.port, Request(f"/v1/products/{stage.product_ids[0]}", stage.authorized))

    def encoded(encoding: str) -> Expectation:
        return lambda answer: is_encoded(answer, encoding)

    return [
        Duration("bare ASGI", bare, Request(PATH, ZSTD), same, REPEATS),
        Duration("ours, cached", ours, request, all_of(same, is_hit, encoded("zstd")), REPEATS),
        Duration("ours, first", ours, request, all_of(same, is_no_hit), before=emptied, warms=False),
        Duration("Flask, cached", flask, Request("/cached/products"), same, repeats=3),
        Duration("Flask, uncached", flask, Request("/products"), same, warms=False),
        Duration(
            "starlette's GZipMiddleware",
            middlewares["starlette"],
            Request(PATH, GZIP),
            all_of(same, encoded("gzip")),
        ),
        Duration(
            "starlette-compress, zstd",
            middlewares["starlette-compress"],
            Request(PATH, ZSTD),
            all_of(same, encoded("zstd")),
        ),
    ]


class SameProducts:
    """Expects the very products of a first answer, whatever their order and however times are written."""

    def __init__(self, first: Answer) -> None:
        self._products = _by_sku(first)
        self._known: set[int] = set()
        if (found := len(self._products)) != PRODUCTS:
            raise NotMeasuredError(f"there are {found} products, not {PRODUCTS}")

    def __call__(self, answer: Answer) -> None:
        answered(answer)
        fingerprint = hash(answer.body)
        if fingerprint in self._known:
            return
        if _by_sku(answer) != self._products:
            raise NotMeasuredError("answers other products")
        self._known.add(fingerprint)


def _by_sku(answer: Answer) -> dict[str, dict[str, Any]]:
    answered(answer)
    products: list[dict[str, Any]] = orjson.loads(answer.decoded())["data"]
    return {each["sku"]: {**each, "created_at": None, "updated_at": None} for each in products}
