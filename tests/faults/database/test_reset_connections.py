"""A database's address at which every connection is reset as soon as it is made, as by a proxy with nothing behind."""

import asyncio
import socket
from collections.abc import Sequence

import uvloop
from sqlalchemy.exc import StatementError

from tests.faults.proxy import RESET
from tests.servers import HOST
from warehouse.errors import ConnectionLost, Unavailable
from warehouse.settings import DatabaseSettings
from warehouse.storage.database import SqlDatabase
from warehouse.storage.failures import is_lost, translate
from warehouse.storage.sql import SqlUnitOfWorkFactory

ATTEMPTS = 300


def test_it_is_unavailable_whenever_the_reset_is_noticed() -> None:
    assert uvloop.run(_errors()) == [Unavailable] * ATTEMPTS


def test_it_is_lost_as_well_where_sqlalchemy_meets_it_with_a_statement() -> None:
    error = StatementError("on its way", "SELECT 1", {}, RuntimeError("Transport does not expose socket instance"))
    assert is_lost(error)
    assert isinstance(translate(error), ConnectionLost)


async def _errors() -> Sequence[type[BaseException] | None]:
    with socket.create_server((HOST, 0), backlog=ATTEMPTS) as listener:
        accepting = asyncio.create_task(asyncio.to_thread(_reset_all, listener))
        url = f"mysql+aiomysql://nobody@{HOST}:{listener.getsockname()[1]}/nothing"
        errors = [await _error(url) for _ in range(ATTEMPTS)]
        listener.shutdown(socket.SHUT_RDWR)
        await accepting
        return errors


async def _error(url: str) -> type[BaseException] | None:
    """By which it is told that it cannot be connected to."""
    database = SqlDatabase(url, DatabaseSettings())
    try:
        async with SqlUnitOfWorkFactory(database)(read_only=True):
            return None
    except Exception as error:  # noqa: BLE001 (which one is what is asked)
        return Unavailable if isinstance(error, Unavailable) else type(error)
    finally:
        await database.close()


def _reset_all(listener: socket.socket) -> None:
    while True:
        try:
            connection, _ = listener.accept()
        except OSError:
            return
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
        connection.close()
