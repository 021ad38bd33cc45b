"""A thousand clients ask for one product at once, which is in no cache."""

import resource
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass

from bench.contestants import answered
from bench.database import Database
from bench.harness import NotMeasuredError, Spread, say
from bench.report import Goal, GroupReport, Table, number
from bench.servers import Ours
from bench.stage import Stage
from bench.wire import Answer, Connection, Request

CLIENTS = 1000
PROCESSES = 2
MOST_READS = 2
ACCEPT_SECONDS = 4.0
"""The server closes a connection that says nothing for 5 s."""

TEXT = f"""{CLIENTS:,} connections to {PROCESSES} server processes are open; then each sends the same GET of a
product that nobody has asked for before, before any answer is read. *Reads of the product* are the rows read of the
table of products by the server's own statistics (`userstat`): by primary key a read is a row. *SELECTs* are all the
database saw (`Com_select`), less those it saw in the same stampede once more, when the product was cached: those
are for API keys and the cache's own state."""


@dataclass(frozen=True, slots=True)
class Stampede:
    """`seconds` until all had their answers; `said` counts their Cache-Status; `balance` is how many clients each
    process had."""

    reads: int
    selects: int
    background: int
    seconds: float
    said: Mapping[str, int]
    balance: Sequence[int]


def run(stage: Stage) -> GroupReport:
    report = GroupReport("A stampede on one cold key", TEXT)
    _allow_files(CLIENTS + 200)
    database = stage.database
    try:
        with ExitStack() as stack:
            ours = stack.enter_context(stage.ours(workers=PROCESSES))
            database.run("SET GLOBAL userstat = 1")
            stack.callback(database.run, "SET GLOBAL userstat = 0")
            cold = _never_read(database, stage.plan.rounds)
            stampedes = [_stampede(stage, ours, each) for each in cold]
    except (NotMeasuredError, OSError) as error:
        report.failures.append(f"stampede: {error}")
        report.goals.append(_goal(None))
        say(f"  NOT MEASURED: stampede: {error}")
        return report
    report.goals.append(_goal(Spread.of([each.reads for each in stampedes])))
    report.tables.append(_table(stampedes))
    return report


def _goal(reads: Spread | None) -> Goal:
    measure = f"database reads under a stampede of {CLIENTS:,} on one cold key, {PROCESSES} processes"
    met = None if reads is None else reads.high <= MOST_READS
    measured = "" if reads is None else f"{reads.median:.0f} ({reads.low:.0f} to {reads.high:.0f})"
    return Goal(measure, f"≤ {MOST_READS}", measured, met)


def _table(stampedes: Sequence[Stampede]) -> Table:
    head = (
        "stampede",
        "reads of the product",
        "SELECTs",
        "SELECTs when cached",
        "all answered after",
        "Cache-Status",
        "clients",
    )
    rows = [
        (
            str(position),
            number(each.reads),
            number(each.selects - each.background),
            number(each.background),
            f"{each.seconds * 1000:.0f} ms",
            ", ".join(f"{count} {status}" for status, count in each.said.items()),
            " + ".join(map(str, each.balance)),
        )
        for position, each in enumerate(stampedes, start=1)
    ]
    return Table("", head, rows)


def _stampede(stage: Stage, ours: Ours, product: str) -> Stampede:
    request = Request(f"/v1/products/{product}", stage.authorized)
    counters, database = stage.counters, stage.database
    with ExitStack() as stack:
        clients = [stack.enter_context(Connection(ours.port)) for _ in range(CLIENTS)]
        for client in clients:
            client.open()
        balance = _accepted(ours)
        rows, selects = _products_read(database), counters.selects()
        seconds, answers = _all_at_once(clients, request)
        read, selected = _products_read(database) - rows, counters.selects() - selects
        _all_at_once(clients, request)
        background = counters.selects() - selects - selected
    said = Counter(_status(each) for each in answers)
    found = Stampede(read, selected, background, seconds, said, balance)
    say(f"  {found}")
    return found


def _accepted(ours: Ours) -> Sequence[int]:
    """How many clients each process has, once they all are somebody's."""
    deadline = time.monotonic() + ACCEPT_SECONDS
    while sum(balance := ours.connections()) < CLIENTS:
        if time.monotonic() > deadline:
            raise NotMeasuredError(f"{balance} clients are connected, not {CLIENTS}")
        time.sleep(0.02)
    if not all(balance):
        raise NotMeasuredError("one process has all the clients")
    return sorted(balance)


def _all_at_once(clients: Sequence[Connection], request: Request) -> tuple[float, Sequence[Answer]]:
    """Seconds from the first sending to the last answer, and the answers."""
    begun = time.perf_counter()
    for client in clients:
        client.send(request)
    answers = [client.receive(begun) for client in clients]
    seconds = time.perf_counter() - begun
    for answer in answers:
        answered(answer)
    return seconds, answers


def _status(answer: Answer) -> str:
    """Without the cache's name."""
    return answer.headers.get("cache-status", "none").partition(";")[2].strip() or "none"


def _never_read(database: Database, number_of: int) -> list[str]:
    """Ids from the end of the catalogue, which no other comparison asks for one by one."""
    rows = database.rows(f"SELECT HEX(id) FROM products ORDER BY sku_key DESC LIMIT {number_of} OFFSET 7")
    return [f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}".lower() for (text,) in rows]


def _products_read(database: Database) -> int:
    statement = (
        "SELECT COALESCE(SUM(ROWS_READ), 0) FROM information_schema.TABLE_STATISTICS"
        f" WHERE TABLE_SCHEMA = '{database.name}' AND TABLE_NAME = 'products'"
    )
    ((rows,),) = database.rows(statement)
    return int(rows)


def _allow_files(number_of: int) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < number_of:
        raise NotMeasuredError(f"this account may open {hard} files, and {number_of} are needed")
    if soft < number_of:
        resource.setrlimit(resource.RLIMIT_NOFILE, (number_of, hard))
