"""Another client of the database, which wants what the servers want."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from uuid import UUID

from pymysql.cursors import Cursor
from sqlalchemy.engine import make_url

from tests.api.calls import Json
from tests.faults.database.experiment import Experiment, until
from tests.faults.database.stage import operator

LOCK = "SELECT on_hand FROM balances WHERE product_id = %s AND location_id = %s FOR UPDATE"
WAITING = (
    "SELECT variable_value FROM information_schema.global_status WHERE variable_name = 'innodb_row_lock_current_waits'"
)
COUNTED = "SELECT count FROM information_schema.innodb_metrics WHERE name = %s"
HEAVY = "INSERT INTO rival SELECT seq FROM seq_1_to_2000"
"""The database gives up the transaction that has changed less."""


class Rival:
    """A transaction with many changes."""

    def __init__(self, running: Experiment, cursor: Cursor) -> None:
        self._product = running.load.records.product
        self._cursor = cursor

    async def lock(self, location: Json) -> None:
        """What of the product lies there. Beside the event loop: whom it waits for is served by that."""
        await asyncio.to_thread(
            self._cursor.execute, LOCK, [UUID(each["id"]).bytes for each in (self._product, location)]
        )


@asynccontextmanager
async def rival(running: Experiment) -> AsyncIterator[Rival]:
    """Rolled back in the end."""
    with operator(running.stage.database) as connection, connection.cursor() as cursor:
        connection.select_db(make_url(running.stage.database_url).database)
        cursor.execute("CREATE TABLE IF NOT EXISTS rival (number INT)")
        cursor.execute("SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED")
        connection.begin()
        cursor.execute(HEAVY)
        try:
            yield Rival(running, cursor)
        finally:
            connection.rollback()


async def waited_for(running: Experiment) -> None:
    """Until a server waits for a lock."""
    with operator(running.stage.database) as connection, connection.cursor() as cursor:
        await until(lambda: _number(cursor, WAITING) > 0)


def counted(running: Experiment, metric: str) -> int:
    """By InnoDB since it started: `lock_timeouts` or `lock_deadlocks`."""
    with operator(running.stage.database) as connection, connection.cursor() as cursor:
        return _number(cursor, COUNTED, metric)


def _number(cursor: Cursor, statement: str, *arguments: str) -> int:
    cursor.execute(statement, arguments)
    [(number,)] = cursor.fetchall()
    return int(number)
