"""`python -m tests.contract.exporting URL FORMAT`: exports all movements, and says what memory that took."""

import asyncio
import sys
from pathlib import Path

import orjson

from warehouse.exchange.exporting import Criteria, Exporter, ExportFormat, ExportRequest
from warehouse.exchange.sql_exports import SqlSnapshotFactory
from warehouse.settings import DatabaseSettings
from warehouse.stock.model import MovementFilter
from warehouse.storage.database import SqlDatabase


async def main(url: str, form: ExportFormat) -> None:
    database = SqlDatabase(url, DatabaseSettings())
    exporter = Exporter(SqlSnapshotFactory(database))

    async def export(criteria: Criteria) -> tuple[int, int]:
        size = 0
        async with exporter.open(ExportRequest(criteria, form)) as export:
            async for piece in export.pieces:
                size += len(piece)
        return export.rows, size

    await export(MovementFilter(reference="Order 0"))
    before = peak()
    rows, size = await export(MovementFilter())
    await database.close()
    sys.stdout.buffer.write(orjson.dumps({"rows": rows, "size": size, "grown": peak() - before}))


def peak() -> int:
    """Bytes of memory that this process has had at most so far, as Linux tells it."""
    [kilobytes] = [line.split()[1] for line in Path("/proc/self/status").read_text().splitlines() if "VmHWM" in line]
    return int(kilobytes) * 1024


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], ExportFormat(sys.argv[2])))
