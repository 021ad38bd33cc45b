"""A page of stock in a small and in a large table, at its beginning and at its end."""

from collections.abc import Mapping
from contextlib import ExitStack
from uuid import UUID

import orjson

from bench.contestants import NO_CACHE, Expectation, Latency, all_of, is_no_hit
from bench.database import Database, fill_balances
from bench.groups.page import ROWS, is_page
from bench.harness import Figures, NotMeasuredError, Spread, contest, say
from bench.report import Goal, GroupReport, duration_table, times
from bench.stage import Stage
from bench.wire import Answer, Request
from warehouse.http.pagination import PageScope, encode_cursor
from warehouse.stock.model import BalanceFilter

LOCATIONS = 34
"""Storage locations in which each product lies: with 30,000 products, a million balances."""
SMALL, LARGE, QUICK_LARGE = 10_000, 1_000_000, 50_000
MOST_APART = 1.5
SCOPE = PageScope("stock", (UUID, UUID, str), filters=BalanceFilter())

TEXT = """Milliseconds until a page of 50 balances is there, over one connection, asked not to come from the cache:
the median under wrk. One server process for each of the two tables, which differ in their number of rows alone."""


def run(stage: Stage) -> GroupReport:
    report = GroupReport("A page of stock in a small and in a large table", TEXT)
    sizes = (SMALL, QUICK_LARGE if stage.plan.quick else LARGE)
    with ExitStack() as stack:
        contestants = [each for rows in sizes for each in _contestants(stage, stack, rows)]
        figures = contest(contestants, stage.plan.rounds)
    report.tables.append(duration_table(figures, contestants[0].name, ""))
    report.note_failures(figures.values())
    measure = f"page of stock at {sizes[0]:,} and at {sizes[1]:,} balances, first and last page: slowest of fastest"
    report.goals.append(Goal.at_most(measure, MOST_APART, _apart(figures), times))
    return report


def _apart(figures: Mapping[str, Figures]) -> Spread | None:
    """The slowest of a round against its fastest."""
    if any(each.failure for each in figures.values()):
        return None
    rounds = zip(*(each.samples for each in figures.values()), strict=True)
    values = [[sample.value for sample in turn] for turn in rounds]
    return Spread.of([max(each) / min(each) for each in values])


def _contestants(stage: Stage, stack: ExitStack, rows: int) -> list[Latency]:
    say(f"  filling {rows:,} balances")
    database = stage.copy(f"depth_{rows}")
    stack.callback(database.server.drop_database, database.name)
    fill_balances(database, rows, LOCATIONS)
    ours = stack.enter_context(stage.ours(database=database))
    headers = {**stage.authorized, **NO_CACHE}
    first = f"/v1/stock?limit={ROWS}"

    def contestant(name: str, path: str, *, has_more: bool) -> Latency:
        expects = all_of(is_page, is_no_hit, _has_more(has_more))
        return Latency(
            f"{rows:,} rows, {name} page", ours, Request(path, headers), expects, stage.plan.seconds, stage.wrk
        )

    return [
        contestant("first", first, has_more=True),
        contestant("last", f"{first}&cursor={_last_cursor(database)}", has_more=False),
    ]


def _last_cursor(database: Database) -> str:
    order = "product_id DESC, location_id DESC, lot DESC"
    statement = f"SELECT product_id, location_id, lot FROM balances ORDER BY {order} LIMIT 1 OFFSET {ROWS}"
    ((product_id, location_id, lot),) = database.rows(statement)
    return encode_cursor((UUID(bytes=product_id), UUID(bytes=location_id), lot), SCOPE)


def _has_more(expected: bool) -> Expectation:
    def check(answer: Answer) -> None:
        if orjson.loads(answer.decoded())["has_more"] is not expected:
            raise NotMeasuredError("is not the page that was meant")

    return check
