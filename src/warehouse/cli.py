"""The command line: `warehouse --help`."""

import asyncio
import logging
import shutil
import sys
import tempfile
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from time import monotonic
from typing import Annotated, Any, BinaryIO, NoReturn, TypeVar
from uuid import UUID

import orjson
import typer
import uvloop
from pydantic import TypeAdapter, ValidationError
from redis.exceptions import RedisError
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn
from rich.table import Column, Table
from rich.text import Text

from warehouse.app import create_app
from warehouse.auth.model import Role
from warehouse.clock import utc_now
from warehouse.container import Container
from warehouse.demo import load_demo
from warehouse.embedded import EmbeddedServerError
from warehouse.errors import WarehouseError
from warehouse.exchange.importing import ImportKind, ImportReport
from warehouse.exchange.importing import Progress as ImportProgress
from warehouse.http.fields import KeyName
from warehouse.http.logging import configure_logging
from warehouse.http.worker_health import health_served
from warehouse.ids import stable_id
from warehouse.interpreter import settle_in
from warehouse.serving import AddressTakenError, check_address, redis_for_processes
from warehouse.serving import serve as serve_application
from warehouse.settings import Settings, SettingsError, load_settings
from warehouse.storage.failures import translate
from warehouse.storage.migrations import migrate as migrate_database
from warehouse.tasks.model import TaskQueue
from warehouse.tasks.worker import run_worker

T = TypeVar("T")

DEMO_KEY_LIFE = timedelta(days=30)
SHOWN_ERRORS = 20
PIPED_WIDTH = 240
"""Where no window cuts lines off, neither does a table."""
CHECK_SECONDS = 3600.0
"""A check of a large ledger takes longer than a request may."""

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    help="An inventory backend that never oversells and never loses an update.",
    epilog="Example: warehouse demo --port 8000",
    rich_markup_mode="rich",
)
keys = typer.Typer(
    no_args_is_help=True,
    help="API keys: make, list, revoke.",
    epilog="Example: warehouse keys create --role operator --name till-3",
)
app.add_typer(keys, name="keys")

out = Console()
err = Console(stderr=True)

Host = Annotated[str, typer.Option(help="Address to listen on.")]
Port = Annotated[int, typer.Option(help="Port to listen on.", min=1, max=65535)]


def main() -> None:
    """The console script."""
    try:
        app()
    except (SettingsError, EmbeddedServerError, AddressTakenError) as error:
        _fail(str(error))
    except WarehouseError as error:
        _fail(error.detail)
    except RedisError as error:
        _fail(f"Redis does not answer. {error}")


@app.command(epilog="Example: warehouse serve --port 8000 --workers 2")
def serve(
    host: Host = "127.0.0.1",
    port: Port = 8000,
    workers: Annotated[int, typer.Option(help="Server processes.", min=1, max=64)] = 1,
) -> None:
    """Serve the API."""
    settings = _start(host, port)
    with redis_for_processes(settings):
        _require_tables(settings)
        serve_application(settings, host, port, workers)


@app.command(epilog="Example: warehouse demo --port 8000")
def demo(host: Host = "127.0.0.1", port: Port = 8000) -> None:
    """Serve the API with a grocery catalogue in it, and print a key to explore it with."""
    settings = _start(host, port)
    with redis_for_processes(settings):
        _migrate(settings)
        secret = _with_container(settings, _prepare_demo)
        serve_application(settings, host, port, 1, ready=lambda: _announce(host, port, secret))


@app.command(epilog="Example: warehouse worker --queues short --concurrency 8 --health-port 8001")
def worker(
    queues: Annotated[str, typer.Option(help="Whose tasks to do, with commas between: short, long.")] = "short,long",
    concurrency: Annotated[int | None, typer.Option(help="Tasks of each queue at once.", min=1, max=1000)] = None,
    health_host: Annotated[str, typer.Option(help="Address to answer /livez, /readyz and /metrics at.")] = "127.0.0.1",
    health_port: Annotated[int | None, typer.Option(help="Port for that; none by default.", min=1, max=65535)] = None,
) -> None:
    """Work on background tasks until told to stop; then let those that run end, for half a minute at most."""
    settings = load_settings()
    configure_logging(settings.log_level)
    if not settings.redis.url:
        _fail("WAREHOUSE_REDIS_URL: set it; without it the server runs the worker itself.")
    chosen = _queues(queues)
    if health_port is not None:
        check_address(health_host, health_port)
    _require_tables(settings)

    async def work(container: Container) -> None:
        await container.greet_redis()
        duties = container.duties(chosen, concurrency)
        settle_in()
        if health_port is None:
            return await run_worker(settings.redis.url, duties)
        async with health_served(container.checks(), health_host, health_port) as drain:
            return await run_worker(settings.redis.url, duties, drain)

    _with_container(settings, work, uvloop.run)


def _queues(text: str) -> list[TaskQueue]:
    try:
        return list(dict.fromkeys(TaskQueue(name.strip()) for name in text.split(",")))
    except ValueError:
        _fail(f"--queues: choose among {', '.join(TaskQueue)}.")


@app.command(epilog="Example: WAREHOUSE_DATABASE_URL=mysql+aiomysql://user:secret@host/warehouse warehouse migrate")
def migrate() -> None:
    """Bring the database's tables to this release."""
    err.print(f"The tables are at revision {_migrate(load_settings())}.")


@app.command("import", epilog="Example: warehouse import products products.csv.zst")
def import_file(
    kind: Annotated[ImportKind, typer.Argument(help="What the file's rows are.")],
    file: Annotated[str, typer.Argument(help="CSV or NDJSON, plain, .gz or .zst; or XLSX. - for standard input.")],
    atomic: Annotated[bool, typer.Option("--atomic", help="Take every row, or none.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Tell what would be done, and do nothing.")] = False,
    columns: Annotated[
        list[str], typer.Option("--map", help="FILE_COLUMN=COLUMN; without COLUMN it is left out. Repeatable.")
    ] = [],  # noqa: B006 (typer wants a list, and nobody changes it)
    sheet: Annotated[str | None, typer.Option(help="The sheet of a workbook; by default the first.")] = None,
) -> None:
    """Import products, movements or locations. A bad row is reported, and keeps the others out only with --atomic."""
    mapping = _mapping(columns)
    settings = load_settings()
    _require_tables(settings)

    async def run(container: Container) -> ImportReport:
        with _progress(kind) as progress:
            return await container.importer.run(
                kind, source, file, columns=mapping, sheet=sheet, atomic=atomic, dry_run=dry_run, progress=progress
            )

    with _opened(file) as source:
        report = _with_container(settings, run)
    _show(report, dry_run)
    if report.failed:
        raise typer.Exit(1)


@app.command(epilog="Example: warehouse openapi > openapi.json")
def openapi() -> None:
    """Print the OpenAPI document."""

    async def document(container: Container) -> bytes:
        return orjson.dumps(create_app(container.settings, container).openapi(), option=orjson.OPT_INDENT_2)

    sys.stdout.buffer.write(_with_container(load_settings(), document) + b"\n")


@app.command(epilog="Example: warehouse check && echo consistent")
def check() -> None:
    """Check every balance against the ledger; exit 1 where one differs."""
    settings = load_settings().with_database_timeout(CHECK_SECONDS)
    _require_tables(settings)
    report = _with_container(settings, lambda container: container.stock_queries.integrity())
    out.print(f"{report.balances} balances, {report.movements} movements, {report.drift_count} drifts.")
    for drift in report.drifts:
        typer.echo(
            f"{drift.rule}: product {drift.product_id} at {drift.location_id}, lot {drift.lot}: "
            f"stored {drift.stored}, expected {drift.expected}"
        )
    if not report.ok:
        raise typer.Exit(1)


@keys.command("create", epilog="Example: warehouse keys create --role operator --name till-3")
def create_key(
    role: Annotated[Role, typer.Option(help="What its holder may do.")],
    name: Annotated[str, typer.Option(help="Whose it is.")],
) -> None:
    """Make a key and print it, alone."""
    try:
        checked = TypeAdapter(KeyName).validate_python(name)
    except ValidationError as error:
        _fail(f"--name: {error.errors()[0]['msg']}.")
    settings = load_settings()
    _require_tables(settings)

    async def create(container: Container) -> str:
        return (await container.api_keys.issue(checked, role)).secret.text

    typer.echo(_with_container(settings, create))


@keys.command("list", epilog="Example: warehouse keys list")
def list_keys() -> None:
    """List the keys, without their secrets."""
    settings = load_settings()
    _require_tables(settings)
    found = _with_container(settings, lambda container: container.api_keys.page(None, 1000))
    table = Table(Column("id", no_wrap=True), "name", "role", "prefix", "created", "last used", "state")
    for key in found:
        state = "usable" if key.usable(utc_now()) else "revoked" if key.revoked_at else "expired"
        times = (str(moment)[:19] if moment else "" for moment in (key.created_at, key.last_used_at))
        table.add_row(str(key.id), Text(key.name), key.role, key.prefix, *times, state)
    (out if out.is_terminal else Console(width=PIPED_WIDTH)).print(table)


@keys.command("revoke", epilog="Example: warehouse keys revoke 0197a2b0-…")
def revoke_key(key_id: Annotated[str, typer.Argument(help="As in `warehouse keys list`.")]) -> None:
    """Make a key useless, within a second everywhere."""
    settings = load_settings()
    _require_tables(settings)
    try:
        identifier = UUID(key_id)
    except ValueError:
        _fail(f"{key_id} is not the id of a key; see `warehouse keys list`.")
    _with_container(settings, lambda container: container.api_keys.revoke(identifier))


def _start(host: str, port: int) -> Settings:
    settings = load_settings()
    configure_logging(settings.log_level)
    logging.getLogger("alembic").setLevel(logging.WARNING)
    check_address(host, port)
    return settings


def _require_tables(settings: Settings) -> None:
    """The embedded database is brought up to date by whoever comes; another is its operator's to migrate."""
    if not settings.database.url:
        _migrate(settings)
        return
    with _driver_errors():
        is_migrated = _with_container(settings, lambda container: container.is_migrated())
    if not is_migrated:
        _fail("The database's tables are not those of this release: run `warehouse migrate`.")


def _migrate(settings: Settings) -> str:
    with _driver_errors():
        return migrate_database(settings.database_url)


@contextmanager
def _driver_errors() -> Iterator[None]:
    """Told in the driver's words, which name the server and what it says; the services' errors need no such help."""
    try:
        yield
    except Exception as error:
        if (known := translate(error)) is None:
            raise
        _fail(f"{known.detail} {getattr(error, 'orig', error)}")


def _with_container(
    settings: Settings,
    work: Callable[[Container], Awaitable[T]],
    loop: Callable[[Coroutine[Any, Any, T]], T] = asyncio.run,
) -> T:
    """`loop` runs it: asyncio's own tells where a connection failed, uvloop's is the faster one."""

    async def run() -> T:
        container = Container(settings)
        try:
            return await work(container)
        finally:
            await container.close()

    return loop(run())


@contextmanager
def _opened(file: str) -> Iterator[BinaryIO]:
    """Standard input is put into a file first: it has to be read again when a transaction is."""
    if file == "-":
        with tempfile.TemporaryFile() as spooled:
            shutil.copyfileobj(sys.stdin.buffer, spooled)
            spooled.seek(0)
            yield spooled
        return
    try:
        source = Path(file).open("rb")  # noqa: SIM115 (closed below; here only the opening may fail)
    except OSError as error:
        _fail(f"{file}: {error.strerror}.")
    with source:
        yield source


def _mapping(columns: list[str]) -> dict[str, str]:
    """From the file's names to ours. Those of a file may have a `=` in them."""
    pairs = [text.rpartition("=") for text in columns]
    if wrong := next((text for text, (_, sign, _) in zip(columns, pairs, strict=True) if not sign), None):
        _fail(f"--map {wrong}: write FILE_COLUMN=COLUMN.")
    mapping = {theirs: ours for theirs, _, ours in pairs}
    if len(mapping) < len(pairs):
        _fail("--map: one column of the file is named twice.")
    return mapping


@contextmanager
def _progress(what: str) -> Iterator[ImportProgress]:
    """Shows how many rows are done; without a total the bar only shows that it goes on."""
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TaskProgressColumn(),
        TextColumn("{task.completed:,} rows"),
        TextColumn("{task.fields[rate]:,.0f} rows/s"),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=err) as progress:
        task = progress.add_task(what, total=None, rate=0)
        started = monotonic()

        def show(rows: int, total: int | None) -> None:
            rate = rows / max(monotonic() - started, 0.001)
            progress.update(task, completed=rows, total=total and max(rows, total), rate=rate)

        yield show


def _show(report: ImportReport, dry_run: bool) -> None:
    for error in report.errors[:SHOWN_ERRORS]:
        column = f", {error.column}" if error.column else ""
        typer.echo(f"line {error.line}{column}: {error.detail} ({error.code})", err=True)
    if report.failed > SHOWN_ERRORS:
        err.print(f"… and more: {report.failed} rows in all were not taken.")
    if dry_run:
        err.print("Nothing was written; it would have been:")
    counts = ("rows", "created", "updated", "unchanged", "posted", "repeated", "failed")
    out.print(", ".join(f"{getattr(report, name):,} {name}" for name in counts if getattr(report, name)) or "no rows")


async def _prepare_demo(container: Container) -> str:
    """Fill the database, once; a fresh admin key."""
    settings = container.settings
    loaded = settings.data_dir / f"demo-{stable_id(settings.database_url)}.loaded"
    if not loaded.exists():
        # Loading what is partly there already, as after Ctrl-C, changes nothing that is.
        with _progress("grocery demo") as progress:
            await load_demo(container.importer, progress)
        loaded.parent.mkdir(parents=True, exist_ok=True)
        loaded.touch()
    expires_at = utc_now() + DEMO_KEY_LIFE
    return (await container.api_keys.issue("make run", Role.ADMIN, expires_at)).secret.text


def _announce(host: str, port: int, secret: str) -> None:
    out.print(f"\n  Swagger UI  http://{host}:{port}/docs\n  Admin key   {secret}\n", highlight=False, soft_wrap=True)


def _fail(message: str) -> NoReturn:
    err.print(message, style="red", highlight=False, markup=False, soft_wrap=True)
    raise SystemExit(2)


if __name__ == "__main__":
    main()
