"""What the cache spares the database."""

import math
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import quote
from uuid import UUID

import orjson

from bench.catalogue import PRODUCTS, sold_lines
from bench.contestants import answered
from bench.groups.catalogue import PATH as SNAPSHOT
from bench.harness import NotMeasuredError, say
from bench.report import Goal, GroupReport, Table, number
from bench.servers import Ours
from bench.stage import Stage
from bench.wire import Connection, Request, is_from_cache

SEED = 20170101
REQUESTS, QUICK_REQUESTS = 1000, 100
KINDS = {"product": 0.80, "page": 0.18, "snapshot": 0.02}
"""Shares of the reads."""
CATEGORIES = 20
WRITES = 0.05
TINY = 1e-9
PATCHED_FIELD = "description"

TEXT = f"""One client sends a sequence of {{length:,}} requests, the same to a server with its cache and to one
without (`WAREHOUSE_CACHE_ENABLED=false`), seed {SEED}. Of the reads {KINDS["product"]:.0%} are single products,
as popular as the real sales made them, {KINDS["page"]:.0%} first pages of 50 products in one of {CATEGORIES}
categories, and {KINDS["snapshot"]:.0%} the whole catalogue of {PRODUCTS:,}. A write changes a field of one
product, as popular. Each sequence is sent twice to the cache: first to an empty one, then again (its writes write
something new); the goals are for the second. Rows and SELECTs are MariaDB's own counters, `Rows_read` and
`Com_select`, and hold all that the server did meanwhile: API keys, the cache's polling, the writes' own reads."""


@dataclass(frozen=True, slots=True)
class Cost:
    rows: int
    selects: int


@dataclass(frozen=True, slots=True)
class Workload:
    """`writes` is the share of the requests that change something, `goal` of the rows that a cache is to spare;
    `kinds` are shares of the reads."""

    name: str
    writes: float
    kinds: Mapping[str, float]
    goal: float | None = None


WORKLOADS = (
    Workload("reads only", 0.0, KINDS, 0.99),
    Workload("95 % reads, 5 % writes", WRITES, KINDS, 0.95),
    Workload("single products, reads only", 0.0, {"product": 1.0}),
    Workload("single products, 95 % reads, 5 % writes", WRITES, {"product": 1.0}),
)


def run(stage: Stage) -> GroupReport:
    sequences = Sequences(stage)
    report = GroupReport("Database rows read", TEXT.format(length=sequences.length))
    rows: list[Sequence[str]] = []
    without = _costs(stage, sequences, turns=1, cache=False)
    try:
        with_cache = _costs(stage, sequences, turns=2, cache=True)
    except NotMeasuredError as error:
        say(f"  NOT MEASURED: {error}")
        report.failures.append(f"rows read with the cache: {error}")
        with_cache = {}
    for workload in WORKLOADS:
        plain, cached = without[workload.name][0], with_cache.get(workload.name)
        rows.append(_row(workload, plain, cached))
        if workload.goal is not None:
            report.goals.append(_goal(workload, plain, cached[1] if cached else None))
    head = ("", "rows without", "with, from empty", "with, warm", "spared", "SELECTs without", "with, warm", "spared")
    report.tables.append(Table("", head, rows))
    return report


def _row(workload: Workload, plain: Cost, cached: Sequence[Cost] | None) -> Sequence[str]:
    if cached is None:
        return (workload.name, number(plain.rows), "not measured", "", "", number(plain.selects), "", "")
    cold, warm = cached
    return (
        workload.name,
        number(plain.rows),
        number(cold.rows),
        number(warm.rows),
        _percent(warm.rows / plain.rows),
        number(plain.selects),
        number(warm.selects),
        _percent(warm.selects / plain.selects),
    )


def _goal(workload: Workload, plain: Cost, cached: Cost | None) -> Goal:
    measure = f"database rows read with cache, against without: {workload.name}"
    goal = workload.goal or 0.0
    if cached is None:
        return Goal(measure, _percent(1 - goal, 0), "", None)
    left = cached.rows / plain.rows
    return Goal(measure, _percent(1 - goal, 0), _percent(left), left <= 1 - goal)


def _percent(left: float, digits: int = 2) -> str:
    """What is spared, rounded down."""
    scale = 10 ** (digits + 2)
    return f"-{math.floor((1 - left) * scale + TINY) / scale:.{digits}%}".replace("%", " %")


def _costs(stage: Stage, sequences: "Sequences", *, turns: int, cache: bool) -> Mapping[str, Sequence[Cost]]:
    """By workload, of each turn. Nobody else talks to the database meanwhile."""
    costs: dict[str, Sequence[Cost]] = {}
    for workload in WORKLOADS:
        with stage.ours(cache=cache) as ours:
            stage.empty_cache()
            turned = [sequences.of(workload, turn) for turn in range(turns)]
            costs[workload.name] = [_cost(stage, ours, requests, cache=cache) for requests in turned]
        say(f"  cache {'on' if cache else 'off'}, {workload.name}: {costs[workload.name]}")
    return costs


def _cost(stage: Stage, ours: Ours, requests: Sequence[Request], *, cache: bool) -> Cost:
    counters = stage.counters
    rows, selects, hits = counters.rows_read(), counters.selects(), 0
    with Connection(ours.port) as connection:
        for request in requests:
            answer = connection.ask(request)
            answered(answer)
            hits += is_from_cache(answer)
    if bool(hits) is not cache:
        raise NotMeasuredError(f"with the cache {'on' if cache else 'off'}, {hits} answers are hits")
    return Cost(counters.rows_read() - rows, counters.selects() - selects)


class Sequences:
    """Of requests: the same whenever they are asked for, but that each turn writes something new."""

    def __init__(self, stage: Stage) -> None:
        sold = sold_lines(PRODUCTS)
        found = stage.database.rows("SELECT LOWER(HEX(id)), sku FROM products ORDER BY sku_key")
        self._ids = [UUID(hex=product_id) for product_id, _ in found]
        self._weights = [1 + sold[sku] for _, sku in found]
        categories = stage.database.rows(
            "SELECT category FROM products WHERE category IS NOT NULL GROUP BY category ORDER BY COUNT(*) DESC,"
            f" category LIMIT {CATEGORIES}"
        )
        self._categories = [category for (category,) in categories]
        self._headers = stage.authorized
        self.length = QUICK_REQUESTS if stage.plan.quick else REQUESTS

    def of(self, workload: Workload, turn: int) -> list[Request]:
        chance = random.Random(SEED)  # noqa: S311 (a benchmark's)
        texts = (f"{workload.name}, turn {turn}, step {step}" for step in range(self.length))
        return [self._request(chance, workload, text) for text in texts]

    def _request(self, chance: random.Random, workload: Workload, text: str) -> Request:
        (product_id,) = chance.choices(self._ids, self._weights)
        product = f"/v1/products/{product_id}"
        if chance.random() < workload.writes:
            body = orjson.dumps({PATCHED_FIELD: text})
            return Request(product, {**self._headers, "If-Match": "*"}, "PATCH", body)
        (kind,) = chance.choices(list(workload.kinds), list(workload.kinds.values()))
        if kind == "product":
            return Request(product, self._headers)
        if kind == "page":
            category = quote(chance.choice(self._categories), safe="")
            return Request(f"/v1/products?limit=50&category={category}", self._headers)
        return Request(SNAPSHOT, {**self._headers, "Accept-Encoding": "zstd"})
