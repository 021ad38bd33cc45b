"""What a database's error means to the service."""

import asyncio

from sqlalchemy.exc import DBAPIError, IntegrityError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from warehouse.errors import TransactionConflict, Unavailable, WarehouseError

MYSQL_CONFLICTS = {1020, 1205, 1213}
"""Record changed since the last read, lock wait time-out, deadlock."""
POSTGRESQL_CONFLICTS = {"40001", "40P01", "55P03"}
"""Serialization failure, deadlock detected, lock not available."""
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
    if error.connection_invalidated or isinstance(error, OperationalError | InterfaceError):
        return Unavailable("The database does not answer.")
    return None


def is_lock_timeout(error: DBAPIError) -> bool:
    """Somebody held a row for longer than we wait."""
    arguments = getattr(error.orig, "args", ()) or (None,)
    return arguments[0] == 1205 or getattr(error.orig, "sqlstate", None) == "55P03"


def _is_conflict(error: DBAPIError) -> bool:
    original = error.orig
    state = getattr(original, "sqlstate", None)
    if state in POSTGRESQL_CONFLICTS:
        return True
    arguments = getattr(original, "args", ())
    if not arguments:
        return False
    return arguments[0] in MYSQL_CONFLICTS or str(arguments[0]).startswith(SQLITE_CONFLICTS)


def violated(error: IntegrityError | OperationalError) -> str:
    """The database's words, in which the name of the violated constraint stands."""
    return str(error.orig)
