"""The measured database: what is in it, and what it says of itself."""

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pymysql
from sqlalchemy.engine import make_url

from bench.catalogue import written_catalogue, written_locations
from bench.servers import RoomyMariaDb, warehouse

PLENTY = 1_000_000
"""On hand of every balance: nothing runs out."""


class Database:
    """One database on the server."""

    def __init__(self, server: RoomyMariaDb, name: str) -> None:
        self.server = server
        self.name = name

    @property
    def url(self) -> str:
        return self.server.url(self.name)

    @contextmanager
    def connection(self) -> Iterator["pymysql.Connection[Any]"]:
        url = make_url(self.url)
        with pymysql.connect(
            host=url.host,
            port=url.port or 3306,
            user=url.username,
            password=url.password or "",
            database=url.database,
            autocommit=True,
        ) as connection:
            yield connection

    def rows(self, statement: str, parameters: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        with self.connection() as connection, connection.cursor() as cursor:
            cursor.execute(statement, parameters)
            return list(cursor.fetchall())

    def run(self, *statements: str) -> None:
        """In one session."""
        with self.connection() as connection, connection.cursor() as cursor:
            for statement in statements:
                cursor.execute(statement)


class Counters:
    """The server's own, since its start. A SHOW is not a SELECT, and reads no rows."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def selects(self) -> int:
        return self._status("Com_select")

    def rows_read(self) -> int:
        return self._status("Rows_read")

    def _status(self, name: str) -> int:
        ((_, value),) = self._database.rows(f"SHOW GLOBAL STATUS LIKE '{name}'")
        return int(value)


def load_catalogue(database: Database, redis_url: str, products: int) -> None:
    """Ours, by its own command line: the first products of the demo, and the demo's locations."""
    database.server.create_database(database.name)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        warehouse(database.url, redis_url, "migrate", folder=folder)
        for kind, file in (
            ("products", written_catalogue(folder, products)),
            ("locations", written_locations(folder)),
        ):
            warehouse(database.url, redis_url, "import", kind, str(file), folder=folder)


def copy_catalogue(source: Database, target: Database) -> None:
    """Into fresh tables of ours."""
    target.server.create_database(target.name)
    with tempfile.TemporaryDirectory() as folder:
        warehouse(target.url, "", "migrate", folder=Path(folder))
    tables = ("products", "warehouses", "locations", "api_keys")
    target.run(
        "SET foreign_key_checks = 0",
        *(f"INSERT INTO {target.name}.{table} SELECT * FROM {source.name}.{table}" for table in tables),
    )


def fill_balances(database: Database, rows: int, locations: int) -> None:
    """So many balances, of the first products at so many storage locations each; without a history."""
    places = f"SELECT id, warehouse_id FROM locations WHERE kind = 'storage' ORDER BY id LIMIT {locations}"
    goods = f"SELECT id FROM products ORDER BY id LIMIT {-(-rows // locations)}"
    database.run(
        "SET foreign_key_checks = 0, unique_checks = 0",
        "INSERT INTO balances (product_id, location_id, lot, warehouse_id, on_hand, reserved, below_zero_allowed,"
        " version, updated_at)"
        f" SELECT p.id, l.id, '', l.warehouse_id, {PLENTY}, 0, 0, 1, UTC_TIMESTAMP(6)"
        f" FROM ({goods}) p CROSS JOIN ({places}) l ORDER BY p.id, l.id LIMIT {rows}",
        "ANALYZE TABLE balances",
    )
    ((found,),) = database.rows("SELECT COUNT(*) FROM balances")
    assert found == rows, f"{found} balances, not {rows}"


def fill_peers(source: Database, target: Database) -> None:
    """The same rows in a table as SQLAlchemy would make it for the peers' model."""
    target.server.create_database(target.name)
    target.run(
        "CREATE TABLE products (id UUID PRIMARY KEY, sku VARCHAR(64) NOT NULL UNIQUE, name VARCHAR(255) NOT NULL,"
        " description TEXT, category VARCHAR(128), unit VARCHAR(16) NOT NULL, barcodes JSON NOT NULL,"
        " reorder_point INT, tracking VARCHAR(16) NOT NULL, negative_stock VARCHAR(16) NOT NULL,"
        " attributes JSON NOT NULL, status VARCHAR(16) NOT NULL, version INT NOT NULL,"
        " created_at DATETIME(6) NOT NULL, updated_at DATETIME(6) NOT NULL)",
        "INSERT INTO products SELECT LOWER(HEX(id)), sku, name, description, category, unit, barcodes, reorder_point,"
        f" tracking, negative_stock, attributes, status, version, created_at, updated_at FROM {source.name}.products",
        "ANALYZE TABLE products",
    )
