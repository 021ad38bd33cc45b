"""The engines of one database: for transactions, for single reads, for snapshots, and one to watch it."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from enum import Enum
from typing import Any

import orjson
from sqlalchemy import event
from sqlalchemy.engine import make_url
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine
from sqlalchemy.pool import ConnectionPoolEntry

from warehouse.policies import HEAVY_SECONDS, Policies
from warehouse.resilience import Policy, detached
from warehouse.settings import DatabaseSettings
from warehouse.storage.connection import Calls, Connection
from warehouse.storage.dialects import MYSQL_NAMES

RECYCLE = 300
"""Seconds after which an idle connection is not trusted any more."""

GRACE = 1.0
"""How many seconds longer a statement may take than it may wait for a lock: so a lock that does not come is told as
what it is, a conflict, and not as a database that does not answer."""

SNAPSHOTS = 4
"""So many at once."""

LONGEST_LIST = 1_048_576
"""Of what is answered as one JSON list; MariaDB would cut the rest off."""

LONGEST_CONNECT = 10.0
"""Seconds to wait for a connection to be made, however long its statements may take."""


class _Use(Enum):
    WRITES = "READ COMMITTED"
    READS = "AUTOCOMMIT"
    SNAPSHOTS = "REPEATABLE READ"


class SqlDatabase:
    """Opens connections; `close()` it at the end.

    Transactions run at READ COMMITTED (on SQLite one at a time, begun with its write lock). Reads run in autocommit,
    so that each statement is one round trip and sees the newest committed state. A snapshot is a transaction whose
    statements all see one moment, that of the first of them; they may take long.
    """

    def __init__(self, url: str, settings: DatabaseSettings, policies: Policies | None = None) -> None:
        by = policies or Policies(settings.timeout)
        self.dialect = make_url(url).get_backend_name()
        self._writes = _Pool(url, self.dialect, settings, by.database_writes, _Use.WRITES)
        self._reads = _Pool(url, self.dialect, settings, by.database_reads, _Use.READS)
        # A connection of its own: what is watched has to be seen most of all when all the others are taken.
        watching = settings.model_copy(update={"pool_size": 1})
        self._watch = _Pool(url, self.dialect, watching, by.database_watch, _Use.READS)
        patient = settings.model_copy(update={"pool_size": SNAPSHOTS, "timeout": HEAVY_SECONDS})
        self._snapshots = _Pool(url, self.dialect, patient, by.database_heavy, _Use.SNAPSHOTS)

    def connect(self, *, read_only: bool) -> contextlib.AbstractAsyncContextManager[Connection]:
        return (self._reads if read_only else self._writes).connection()

    def watch(self) -> contextlib.AbstractAsyncContextManager[Connection]:
        """For short reads that may not wait for others."""
        return self._watch.connection()

    def snapshot(self) -> contextlib.AbstractAsyncContextManager[Connection]:
        """For reading much, all of it as of one moment. Nothing can be written."""
        return self._snapshots.connection()

    async def ping(self) -> None:
        """Raises what the driver raises where the database does not answer."""
        async with self.connect(read_only=True) as connection:
            await connection.exec_driver_sql("SELECT 1")

    async def close(self) -> None:
        await self._writes.engine.dispose()
        await self._reads.engine.dispose()
        await self._watch.engine.dispose()
        await self._snapshots.engine.dispose()


class _Pool:
    """An engine, and a queue for its connections: waiting in it says nothing of the database, and counts nowhere."""

    def __init__(self, url: str, dialect: str, settings: DatabaseSettings, policy: Policy, use: _Use) -> None:
        self.engine = _engine(url, dialect, settings, use)
        self._calls = Calls(self.engine, policy, stands_alone=use is _Use.READS)
        one_writer = dialect == "sqlite" and use is _Use.WRITES
        self._places = asyncio.Semaphore(1 if one_writer else settings.pool_size)

    @contextlib.asynccontextmanager
    async def connection(self) -> AsyncIterator[Connection]:
        await self._places.acquire()
        try:
            connection = await self._calls.open()
        except BaseException:
            self._places.release()
            raise
        try:
            yield Connection(connection, self._calls)
        finally:
            # Whoever is cancelled here still gives it back, and has no time-out but the policy's for that.
            await asyncio.shield(detached(self._close(connection)))

    async def _close(self, connection: AsyncConnection) -> None:
        try:
            await self._calls.close(connection)
        finally:
            self._places.release()


def _engine(url: str, dialect: str, settings: DatabaseSettings, use: _Use) -> AsyncEngine:
    options: dict[str, Any] = {
        "pool_size": settings.pool_size,
        "max_overflow": 0,
        "pool_recycle": RECYCLE,
        # By itself the pool would roll back after each use. Reads run in autocommit, where there is nothing to roll
        # back, and a transaction that was not committed is rolled back where its connection is closed.
        "pool_reset_on_return": None,
        "skip_autocommit_rollback": use is _Use.READS,
        "json_serializer": _compact,
        "json_deserializer": orjson.loads,
    }
    if dialect == "sqlite":
        return _sqlite_engine(url, settings, options, use)
    options["isolation_level"] = use.value
    options["connect_args"] = _connect_arguments(dialect, settings, use)
    engine = create_async_engine(url, **options)
    if dialect in MYSQL_NAMES:
        event.listen(engine.sync_engine, "connect", _bound_mysql_statements(settings.timeout, use))
    return engine


def _compact(value: Any) -> str:
    return orjson.dumps(value).decode()


def _connect_arguments(dialect: str, settings: DatabaseSettings, use: _Use) -> dict[str, Any]:
    seconds, connect = settings.timeout, min(settings.timeout, LONGEST_CONNECT)
    if dialect == "postgresql":
        options = {"lock_timeout": f"{int(seconds * 1000)}", "statement_timeout": f"{int((seconds + GRACE) * 1000)}"}
        if use is _Use.SNAPSHOTS:
            options["default_transaction_read_only"] = "on"
        return {"timeout": connect, "server_settings": {**options, "timezone": "UTC"}}
    return {"connect_timeout": max(1, round(connect)), "charset": "utf8mb4"}


def _bound_mysql_statements(seconds: float, use: _Use) -> Any:
    """The driver has no read time-out: let the server end what takes too long."""

    def bound(connection: DBAPIConnection, _: ConnectionPoolEntry) -> None:
        cursor = connection.cursor()
        cursor.execute("SELECT VERSION()")
        (version,) = cursor.fetchone() or ("",)
        lock = max(1, round(seconds))
        limit = lock + GRACE
        statement = (
            f"max_statement_time = {limit}" if "MariaDB" in version else f"max_execution_time = {int(limit * 1000)}"
        )
        strict = "sql_mode = 'STRICT_ALL_TABLES,NO_ENGINE_SUBSTITUTION,ERROR_FOR_DIVISION_BY_ZERO'"
        lists = f"group_concat_max_len = {LONGEST_LIST}"
        cursor.execute(
            f"SET SESSION innodb_lock_wait_timeout = {lock}, {statement}, {strict}, {lists}, time_zone = '+00:00'"
        )
        if use is _Use.SNAPSHOTS:
            # Who reads a stream may also have to wait for those that it is written to.
            cursor.execute(f"SET SESSION net_write_timeout = {lock}")
            cursor.execute("SET SESSION TRANSACTION READ ONLY")
        if use is _Use.SNAPSHOTS and "MariaDB" in version:
            # Else it groups anew for each row that it joins with the groups: well for a few, but not for all of them.
            cursor.execute("SET SESSION optimizer_switch = 'split_materialized=off'")
        cursor.close()

    return bound


_SQLITE_BEGIN = {_Use.WRITES: "BEGIN IMMEDIATE", _Use.SNAPSHOTS: "BEGIN"}


def _sqlite_engine(url: str, settings: DatabaseSettings, options: dict[str, Any], use: _Use) -> AsyncEngine:
    # Writers take turns in our own queue, which is fair, rather than in SQLite's busy loop, which is not.
    options["pool_size"] = 1 if use is _Use.WRITES else settings.pool_size
    options["pool_recycle"] = -1
    engine = create_async_engine(url, connect_args={"isolation_level": None}, **options)

    def prepare(connection: DBAPIConnection, _: ConnectionPoolEntry) -> None:
        cursor = connection.cursor()
        for pragma in (
            "journal_mode = WAL",
            f"busy_timeout = {int(settings.timeout * 1000)}",
            "synchronous = FULL",
            "foreign_keys = ON",
            "temp_store = MEMORY",
            "cache_size = -65536",
            f"query_only = {use is _Use.SNAPSHOTS}",
        ):
            cursor.execute(f"PRAGMA {pragma}")
        cursor.close()

    event.listen(engine.sync_engine, "connect", prepare)
    if begin := _SQLITE_BEGIN.get(use):
        event.listen(engine.sync_engine, "begin", lambda connection: connection.exec_driver_sql(begin))
    return engine
