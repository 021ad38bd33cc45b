"""What a database's error means to the service."""

import asyncio

from sqlalchemy.exc import DBAPIError, IntegrityError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from warehouse.errors import TransactionConflict, Unavailable, WarehouseError

MYSQL_CONFLICTS = {1020, 1205, 1213}
"""Record changed since the last read, lock wait time-out, deadlock."""
POSTGRESQL_CONFLICTS = {"40001", "40P01", "55P03"}
"""Serialization failure, deadlock detected, lock not available."""
POSTGRESQL_OUTAGES = {"08", "28", "3D", "53", "57", "58"}
"""Classes of errors: no connection, not let in, no such database, no resources, an operator's hand, a broken system."""
SQLITE_CONFLICTS = ("database is locked", "database table is locked", "database schema is locked")


def translate(error: BaseException) -> WarehouseError | None:
    """None where the error is a bug of ours and not a failure of the database."""
    if isinstance(error, DBAPIError):
        return _translate_driver(error)
    if isinstance(error, PoolTimeout | OSError | asyncio.TimeoutError):
        return Unavailable("The database does not answer.")
    return None


def _translate_driver(error: DBAPIError) -> WarehouseError | None:
    if _is_conflict(error):
        return TransactionConflict("Others are changing the same records; try again.")
    if isinstance(error, IntegrityError):
        return None
    outage = isinstance(error, OperationalError | InterfaceError) or _state(error)[:2] in POSTGRESQL_OUTAGES
    return Unavailable("The database does not answer.") if outage or error.connection_invalidated else None


def is_lock_timeout(error: DBAPIError) -> bool:
    """Somebody held a row for longer than we wait."""
    arguments = getattr(error.orig, "args", ()) or (None,)
    return arguments[0] == 1205 or _state(error) == "55P03"


def refers_to_nothing(error: DBAPIError) -> bool:
    """A row names another that is not there (any more). SQLite, which has one writer at a time, never says so of one
    that was there when the transaction looked."""
    arguments = getattr(error.orig, "args", ()) or (None,)
    return arguments[0] == 1452 or _state(error) == "23503"


def _is_conflict(error: DBAPIError) -> bool:
    if _state(error) in POSTGRESQL_CONFLICTS:
        return True
    arguments = getattr(error.orig, "args", ())
    if not arguments:
        return False
    return arguments[0] in MYSQL_CONFLICTS or str(arguments[0]).startswith(SQLITE_CONFLICTS)


def _state(error: DBAPIError) -> str:
    """PostgreSQL's code of the error."""
    return getattr(error.orig, "sqlstate", None) or ""


def violated(error: IntegrityError | OperationalError) -> str:
    """The database's words, in which the name of the violated constraint stands."""
    return str(error.orig)
