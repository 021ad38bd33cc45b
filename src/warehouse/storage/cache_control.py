"""The row by which all processes agree whether the cache may be used: see `warehouse.cache.fence`."""

from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import select, update

from warehouse.cache.fence import View
from warehouse.clock import utc_now
from warehouse.storage.connection import Connection
from warehouse.storage.database import SqlDatabase
from warehouse.storage.failures import translate
from warehouse.storage.tables import cache_control

ROW = select(cache_control.c.installation, cache_control.c.usable, cache_control.c.epoch)


class SqlCacheControl:
    def __init__(self, database: SqlDatabase) -> None:
        self._database = database

    async def read(self) -> View:
        with _translated():
            async with self._database.watch() as connection:
                return await _view(connection)

    async def switch(self, view: View, *, usable: bool) -> View:
        statement = (
            update(cache_control)
            .where(cache_control.c.epoch == view.epoch)
            .values(usable=usable, epoch=view.epoch + 1, changed_at=utc_now())
        )
        with _translated():
            async with self._database.connect(read_only=False) as connection:
                await connection.execute(statement)
                current = await _view(connection)
                await connection.commit()
                return current


async def _view(connection: Connection) -> View:
    row = (await connection.execute(ROW)).one()
    return View(row.installation, row.usable, row.epoch)


@contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except Exception as error:
        raise translate(error) or error from error
