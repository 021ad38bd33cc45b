"""What the database can tell of the load on it."""

from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager

import pymysql
from pymysql.cursors import Cursor

from tests.servers import DatabaseServer


@contextmanager
def administrator(database: DatabaseServer) -> Iterator[Cursor]:
    """On a connection of its own."""
    address = database.address
    with (
        closing(
            pymysql.connect(
                host=address.host or "", port=address.port or 0, user=address.username, password=address.password or ""
            )
        ) as connection,
        connection.cursor() as cursor,
    ):
        yield cursor


def selects(database: DatabaseServer) -> int:
    """How many it has been sent since its start."""
    with administrator(database) as cursor:
        cursor.execute("SHOW GLOBAL STATUS LIKE 'Com_select'")
        ((_, count),) = cursor.fetchall()
        return int(count)


def waiting(database: DatabaseServer) -> Sequence[str]:
    """The statements that wait for a lock on a table, or for leave to commit."""
    with administrator(database) as cursor:
        cursor.execute("SELECT info FROM information_schema.processlist WHERE state LIKE 'Waiting for % lock'")
        return [statement for (statement,) in cursor.fetchall()]
