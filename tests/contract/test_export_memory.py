"""Exports of many rows, each in a process of its own."""

import asyncio
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import orjson
import pytest
from sqlalchemy import text

import warehouse
from tests.conftest import ROOT
from tests.contract.ledger import Ledger
from tests.contract.test_snapshots import numbers
from tests.servers import Servers
from warehouse.exchange.exporting import ExportFormat
from warehouse.settings import DatabaseSettings
from warehouse.storage.database import SqlDatabase
from warehouse.storage.migrations import migrate
from warehouse.storage.sql import SqlUnitOfWorkFactory

DIGITS = 5
TIMES = 2
ROWS = TIMES * 10**DIGITS + 1
MEGABYTE = 10**6
LIMITS: Mapping[ExportFormat, int] = {
    ExportFormat.CSV: 25 * MEGABYTE,
    ExportFormat.NDJSON: 25 * MEGABYTE,
    ExportFormat.XLSX: 25 * MEGABYTE,
    # A group of rows is in memory, as its reader will have it.
    ExportFormat.PARQUET: 100 * MEGABYTE,
}

# Like the one that is there, in every respect but what is unique.
COPIES = """
    INSERT INTO movements (id, command_id, line, product_id, location_id, lot, warehouse_id, delta, kind, reason,
        reference, actor, occurred_at, recorded_at)
    SELECT UNHEX(MD5(CONCAT(:time, '-', n))), UNHEX(MD5(CONCAT(:time, '+', n))), 1, product_id, location_id, lot,
        warehouse_id, n, kind, 'sold', CONCAT('Order ', n), actor, occurred_at, recorded_at
    FROM movements, ({numbers}) AS numbers WHERE line = 1 AND reason IS NULL
"""


@pytest.fixture(scope="module")
async def full(servers: Servers) -> str:
    """A database with many movements."""
    url = servers.fresh_database("mariadb")
    await asyncio.to_thread(migrate, url)
    database = SqlDatabase(url, DatabaseSettings())
    await Ledger.over(SqlUnitOfWorkFactory(database)).stocked(1)
    copies = text(COPIES.format(numbers=numbers(DIGITS)))
    for time in range(TIMES):
        async with database.connect(read_only=False) as connection:
            await connection.exec_driver_sql("SET SESSION max_statement_time = 0")
            await connection.raw.execute(copies, {"time": time})
            await connection.commit()
    await database.close()
    return url


@pytest.mark.parametrize("form", ExportFormat)
async def test_memory_stays_flat(full: str, form: ExportFormat) -> None:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "tests.contract.exporting",
        full,
        form,
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(Path(warehouse.__file__).parents[1])},
        stdout=subprocess.PIPE,
    )
    output, _ = await process.communicate()
    told = orjson.loads(output)
    assert told["rows"] == ROWS
    assert told["grown"] < LIMITS[form]
    if form in (ExportFormat.CSV, ExportFormat.NDJSON):
        assert told["size"] > 2 * LIMITS[form]
