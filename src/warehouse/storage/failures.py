"""What a database's error means to the service."""

import asyncio
import math

from sqlalchemy.exc import DBAPIError, IntegrityError, InterfaceError, OperationalError, StatementError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from warehouse.errors import Code, ConnectionLost, TransactionConflict, Unavailable, WarehouseError
from warehouse.resilience import CircuitOpenError, DeadlineExceeded, ResilienceError, RetryExhaustedError

MYSQL_CONFLICTS = {1020, 1205, 1213}
"""Record changed since the last read, lock wait time-out, deadlock."""
MYSQL_LOST = {1927, 2006, 2013, 2014, 2055, 4031}
"""The connection was killed, is gone, broke in the middle, lost its place, broke, or was idle for too long."""
LOST_UNDER_THE_DRIVER = ("closed=True", "Transport does not expose socket instance")
"""uvloop's words where a connection has been closed under the writer, and aiomysql's where it was closed as soon as it
was made; no driver translates them."""
MYSQL_TOO_LONG = {1969, 3024}
"""The statement took longer than it may, and the server ended it."""
POSTGRESQL_TOO_LONG = "57014"
POSTGRESQL_CONFLICTS = {"40001", "40P01", "55P03"}
"""Serialization failure, deadlock detected, lock not available."""
POSTGRESQL_OUTAGES = {"08", "28", "3D", "53", "57", "58"}
"""Classes of errors: no connection, not let in, no such database, no resources, an operator's hand, a broken system."""
SQLITE_CONFLICTS = ("database is locked", "database table is locked", "database schema is locked")


def translate(error: BaseException) -> WarehouseError | None:
    """None where the error is a bug of ours and not a failure of the database."""
    match error:
        case RetryExhaustedError():
            return translate(error.__cause__) if error.__cause__ else _no_answer()
        case CircuitOpenError():
            return _no_answer(retry_after=math.ceil(error.retry_after))
        case DeadlineExceeded():
            return Unavailable("The request was not done in time.", code=Code.TIMEOUT)
        case DBAPIError():
            return _translate_driver(error)
        case StatementError() if error.orig is not None:
            return translate(error.orig)
        case ResilienceError() | PoolTimeout() | OSError() | asyncio.TimeoutError():
            return _no_answer()
    return ConnectionLost("The connection to the database broke.") if is_lost(error) else None


def is_lost(error: BaseException) -> bool:
    """The connection broke, and with it the transaction, unless that was just being committed. A new one may do."""
    if isinstance(error, DBAPIError):
        return error.connection_invalidated or (not _state(error) and _number(error) in MYSQL_LOST)
    if isinstance(error, StatementError) and error.orig is not None:
        # In which SQLAlchemy puts what it meets on its way to another connection and does not know.
        return is_lost(error.orig)
    return isinstance(error, RuntimeError) and any(words in str(error) for words in LOST_UNDER_THE_DRIVER)


def is_no_outage(error: Exception) -> bool:
    """It says nothing of the database's health: it answered, be it that others were first, or that we asked wrongly."""
    if isinstance(error, DBAPIError) and _took_too_long(error):
        return True
    translated = translate(error)
    return translated is None or (isinstance(translated, TransactionConflict) and not is_lost(error))


def _no_answer(retry_after: int = 1) -> Unavailable:
    return Unavailable("The database does not answer.", retry_after=retry_after)


def _translate_driver(error: DBAPIError) -> WarehouseError | None:
    if _is_conflict(error):
        return TransactionConflict("Others are changing the same records; try again.")
    if is_lost(error):
        return ConnectionLost("The connection to the database broke.")
    if isinstance(error, IntegrityError):
        return None
    outage = isinstance(error, OperationalError | InterfaceError) or _state(error)[:2] in POSTGRESQL_OUTAGES
    return _no_answer() if outage else None


def _took_too_long(error: DBAPIError) -> bool:
    return _number(error) in MYSQL_TOO_LONG or _state(error) == POSTGRESQL_TOO_LONG


def is_lock_timeout(error: DBAPIError) -> bool:
    """Somebody held a row for longer than we wait."""
    return _number(error) == 1205 or _state(error) == "55P03"


def refers_to_nothing(error: DBAPIError) -> bool:
    """A row names another that is not there (any more). SQLite, which has one writer at a time, never says so of one
    that was there when the transaction looked."""
    return _number(error) == 1452 or _state(error) == "23503"


def _is_conflict(error: DBAPIError) -> bool:
    if _state(error) in POSTGRESQL_CONFLICTS:
        return True
    number = _number(error)
    return number in MYSQL_CONFLICTS or str(number).startswith(SQLITE_CONFLICTS)


def _number(error: DBAPIError) -> object:
    """MySQL's code of the error; what SQLite says instead."""
    return next(iter(getattr(error.orig, "args", ())), None)


def _state(error: DBAPIError) -> str:
    """PostgreSQL's code of the error."""
    return getattr(error.orig, "sqlstate", None) or ""


def violated(error: IntegrityError | OperationalError) -> str:
    """The database's words, in which the name of the violated constraint stands."""
    return str(error.orig)
