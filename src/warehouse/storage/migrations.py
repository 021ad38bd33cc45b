"""Brings a database's tables to what this release expects."""

import asyncio
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection as SyncConnection
from sqlalchemy import make_url, text
from sqlalchemy.ext.asyncio import create_async_engine

from warehouse.storage.connection import Connection
from warehouse.storage.dialects import MYSQL_NAMES

PACKAGE = Path(__file__).resolve().parents[1]
LOCK_NAME = "warehouse.migrate"
LOCK_NUMBER = 0x5741524548
LOCK_SECONDS = 300


def migrate(url: str) -> str:
    """Apply every migration that is missing, one process at a time. Returns the revision reached."""
    return asyncio.run(_migrate(url))


async def is_current(connection: Connection) -> bool:
    """Whether the tables are those of this release."""
    return await connection.run_sync(_revision) == _head()


def alembic_config() -> Config:
    """In a checkout the top-level alembic/, in an installed wheel the copy that travels inside it."""
    installed, checkout = PACKAGE / "_alembic", PACKAGE.parents[1] / "alembic"
    config = Config()
    config.set_main_option("script_location", str(installed if installed.is_dir() else checkout).replace("%", "%%"))
    return config


async def _migrate(url: str) -> str:
    database = make_url(url).database
    if make_url(url).get_backend_name() == "sqlite" and database:
        Path(database).parent.mkdir(parents=True, exist_ok=True)
    engine = create_async_engine(url)
    try:
        async with engine.connect() as connection:
            await connection.run_sync(_upgrade)
            await connection.commit()
    finally:
        await engine.dispose()
    return _head()


def _upgrade(connection: SyncConnection) -> None:
    dialect = connection.dialect.name
    if dialect in MYSQL_NAMES:
        got = connection.scalar(text("SELECT GET_LOCK(:name, :seconds)"), {"name": LOCK_NAME, "seconds": LOCK_SECONDS})
        if got != 1:
            raise TimeoutError("another process has been migrating this database for too long")
    elif dialect == "postgresql":
        connection.execute(text("SELECT pg_advisory_xact_lock(:number)"), {"number": LOCK_NUMBER})
    else:
        connection.exec_driver_sql("PRAGMA busy_timeout = 60000")
        connection.exec_driver_sql("PRAGMA journal_mode = WAL")
        # The driver begins no transaction for DDL; this one is the lock, and makes the upgrade all or nothing.
        connection.exec_driver_sql("BEGIN IMMEDIATE")
    config = alembic_config()
    config.attributes["connection"] = connection
    command.upgrade(config, "head")
    if dialect in MYSQL_NAMES:
        connection.execute(text("SELECT RELEASE_LOCK(:name)"), {"name": LOCK_NAME})


def _revision(connection: SyncConnection) -> str | None:
    return MigrationContext.configure(connection).get_current_revision()


def _head() -> str:
    return ScriptDirectory.from_config(alembic_config()).get_current_head() or ""
