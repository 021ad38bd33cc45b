"""Background work: an import beside raw INSERT, and what requests feel of it."""

import json
import statistics
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext

from bench.contestants import BROWSER
from bench.cores import ahead, parted
from bench.database import Database
from bench.harness import NotMeasuredError, Spread, say
from bench.heavy import Api, WarehouseWorker, raw_seconds, seconds_of, written_movements
from bench.report import Goal, GroupReport, Table, number, ratio, times
from bench.servers import Ours
from bench.stage import Stage
from bench.wire import Connection, Request, is_from_cache

FEW, MANY, QUICK_MANY = 30_000, 1_000_000, 60_000
LEAST_OF_RAW = 0.50
MOST_MEGABYTES = 50
MOST_OF_IDLE = 1.5
PACE = 200
"""Cached reads a second, over one connection, each sent at its time."""
ANYWHERE = "all wherever there is room"
PARTED = "the server, Valkey and the client on one core, the worker and MariaDB on the others"
AHEAD = "all wherever there is room, the server, Valkey and the client in the real-time class"
ENOUGH = 25
"""Reports of each kind, not to end while they are watched."""
WATCHED_SECONDS, QUICK_SECONDS = 20, 3
LEAST_CACHED = 0.99
"""Of the answers that are measured."""
PAUSES = 3
AT_ONCE = 4
REPORTS: Mapping[str, Mapping[str, object]] = {
    "movement_summary": {"from": "2020-01-01T00:00:00Z"},
    "stock_ageing": {},
    "abc_analysis": {"from": "2020-01-01T00:00:00Z"},
}

TEXT = """A file of movements is sent to `POST /v1/imports`, and a worker in a process of its own imports it into
MariaDB; then the very rows that came of it are inserted raw into another database of the same tables, a thousand a
statement and a transaction. What requests feel: cached reads of single products, 200 a second and each at its time,
while nothing else goes on, and while the worker imports the file and computes three reports at once, in
turn; with all processes wherever there is room, with a core that the worker and MariaDB do not use, and with a
scheduler that does not let requests wait for them."""


def run(stage: Stage) -> GroupReport:
    report = GroupReport("Background work", TEXT)
    rows = QUICK_MANY if stage.plan.quick else MANY
    with ExitStack() as stack:
        ours, raw = (_database(stage, stack, name) for name in ("heavy", "heavy_raw"))
        server = stack.enter_context(stage.ours(database=ours))
        api = Api(server, stage.authorized)
        location = _location(api)
        skus = [sku for (sku,) in ours.rows("SELECT sku FROM products ORDER BY id")]
        few, _ = _imported(stage, server, api, skus, location, FEW, begin=0)
        # The balances are there by then, as those of the raw insert have to be.
        many, seconds = _imported(stage, server, api, skus, location, rows, begin=FEW)
        _report_import(report, ours, raw, rows, seconds, few, many)
        _report_requests(report, stage, server, api, skus, location, rows)
    return report


def _database(stage: Stage, stack: ExitStack, name: str) -> Database:
    database = stage.copy(name)
    stack.callback(database.server.drop_database, database.name)
    return database


def _location(api: Api) -> str:
    warehouse = api.post("/v1/warehouses", json.dumps({"code": "HEAVY", "name": "Heavy"}).encode())
    api.post(f"/v1/warehouses/{warehouse['id']}/locations", json.dumps({"code": "HEAVY-1"}).encode())
    return "HEAVY-1"


def _imported(
    stage: Stage, server: Ours, api: Api, skus: Sequence[str], location: str, rows: int, begin: int
) -> tuple[float, float]:
    """The worker's peak memory in MB, and the seconds of the import."""
    file = written_movements(stage.folder / "movements.csv", skus, location, rows, begin)
    with WarehouseWorker(server, AT_ONCE) as worker:
        task = api.end_of(api.post("/v1/imports?kind=movements", file.read_bytes(), "text/csv")["id"])
        if task["progress"]["done"] != rows:
            raise NotMeasuredError(f"imported {task['progress']} of {rows}")
        say(f"  {rows:,} rows imported in {seconds_of(task):.1f} s, {worker.peak_megabytes():.0f} MB")
        return worker.peak_megabytes(), seconds_of(task)


def _report_import(
    report: GroupReport, ours: Database, raw: Database, rows: int, seconds: float, few: float, many: float
) -> None:
    for table in ("warehouses", "locations", "balances"):
        raw.run(f"INSERT IGNORE INTO {raw.name}.{table} SELECT * FROM {ours.name}.{table}")
    inserted = raw_seconds(ours, raw, "movements")
    ((count,),) = ours.rows("SELECT COUNT(*) FROM movements")
    mine, theirs = rows / seconds, count / inserted
    report.tables.append(
        Table(
            "",
            ("", "rows/s", "of raw", "peak memory of the worker"),
            [
                (f"import of {FEW:,} rows", "", "", f"{few:.0f} MB"),
                (f"import of {rows:,} rows", number(mine), ratio(mine / theirs), f"{many:.0f} MB"),
                ("raw INSERT", number(theirs), ratio(1.0), ""),
            ],
        )
    )
    measure = f"import of {rows:,} movements by a worker, of raw multi-row INSERT"
    report.goals.append(Goal.at_least(measure, LEAST_OF_RAW, Spread.of([mine / theirs]), ratio))
    measure = f"MB more at {rows:,} rows than at {FEW:,}"
    report.goals.append(Goal.at_most(measure, MOST_MEGABYTES, Spread.of([many - few]), number))


def _report_requests(
    report: GroupReport, stage: Stage, server: Ours, api: Api, skus: Sequence[str], location: str, rows: int
) -> None:
    shown = []
    for number_of_file, where in enumerate((ANYWHERE, PARTED, AHEAD), 1):
        file = written_movements(stage.folder / "movements.csv", skus, location, rows, FEW + number_of_file * rows)
        try:
            with WarehouseWorker(server, AT_ONCE) as worker, _arranged(where, stage, server, worker):
                idle, busy = _p99_idle_and_busy(stage, server, api, file.read_bytes())
        except NotMeasuredError as error:
            report.failures.append(f"cached reads, {where}: {error}")
            continue
        shown += [
            (f"{name}, {where}", ", ".join(f"{each * 1000:.2f}" for each in p99))
            for name, p99 in (("idle", idle), ("busy", busy))
        ]
        base = statistics.median(idle)
        measure = f"p99 of cached reads while {rows:,} rows are imported and three reports run, of idle; {where}"
        report.goals.append(Goal.at_most(measure, MOST_OF_IDLE, Spread.of([each / base for each in busy]), times))
    report.tables.append(Table("The 99th percentile of cached reads", ("", "ms, one after the other"), shown))


def _arranged(where: str, stage: Stage, server: Ours, worker: WarehouseWorker) -> AbstractContextManager[None]:
    asked = {server.pid, stage.valkey.pid}
    if where is PARTED:
        return parted(asked, {worker.pid, stage.mariadb.pid})
    return ahead(asked) if where is AHEAD else nullcontext()


def _p99_idle_and_busy(stage: Stage, server: Ours, api: Api, content: bytes) -> tuple[list[float], list[float]]:
    seconds = QUICK_SECONDS if stage.plan.quick else WATCHED_SECONDS
    request = Request(f"/v1/products/{stage.product_ids[0]}", {**stage.authorized, **BROWSER})
    idle = [_p99(server, request, seconds) for _ in range(2)]
    busy: list[float] = []
    imported = api.post("/v1/imports?kind=movements", content, "text/csv")["id"]
    while len(busy) < PAUSES and (not busy or api.task(imported)["status"] == "running"):
        with _reports_going_on(api):
            busy.append(_p99(server, request, seconds))
    api.end_of(imported)
    idle.append(_p99(server, request, seconds))
    return idle, busy


@contextmanager
def _reports_going_on(api: Api) -> Iterator[None]:
    """Three at once; nobody asks after them meanwhile, which would cost more than what is measured."""
    tasks = [
        api.post(f"/v1/reports/{name}", json.dumps(asked).encode())["id"]
        for _ in range(ENOUGH)
        for name, asked in REPORTS.items()
    ]
    try:
        yield
        if api.task(tasks[-1])["status"] != "queued":
            raise NotMeasuredError("the reports have ended")
    finally:
        for each in reversed(tasks):
            if api.task(each)["status"] in ("queued", "running"):
                api.post(f"/v1/tasks/{each}/cancel", b"")


def _p99(server: Ours, request: Request, seconds: int) -> float:
    """From the time at which each was to be sent."""
    taken = []
    with Connection(server.port) as connection:
        connection.open()
        begun = time.perf_counter()
        for count in range(seconds * PACE):
            due = begun + count / PACE
            while (wait := due - time.perf_counter()) > 0:
                time.sleep(wait)
            connection.send(request)
            answer = connection.receive(due)
            if answer.status != 200:
                raise NotMeasuredError(f"answered {answer.status}")
            # What is kept ends now and then, and is read anew.
            if is_from_cache(answer):
                taken.append(answer.seconds)
    if len(taken) < LEAST_CACHED * seconds * PACE:
        raise NotMeasuredError("too few answers came from the cache")
    return statistics.quantiles(taken, n=100)[98]
