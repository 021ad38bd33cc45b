"""`warehouse import` into MariaDB beside the same rows inserted raw: `python -m bench.imports FOLDER [RUNS]`.

FOLDER holds the grocery data, products.csv.zst and movements.csv.zst. Each run takes a fresh database on one server
with production's durability: it imports the products, one location a store, an opening receipt for everything that is
sold, and the sales; then a second database of the same tables gets the very rows that came of products and sales by
multi-row INSERT, as many rows a statement and a transaction as the import takes. Prints rows a second, their ratio and
the importing process's peak memory, as medians with their spread.
"""

import csv
import io
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pymysql
import zstandard
from sqlalchemy.engine import make_url

from tests.servers import MariaDb
from warehouse.storage.migrations import migrate

BATCH = 1000
MEGABYTE = 1024


def main() -> None:
    data, runs = Path(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 3
    figures: dict[str, list[tuple[float, float, float]]] = {"products": [], "movements": []}
    with tempfile.TemporaryDirectory() as folder, MariaDb(durable=True) as server:
        files = prepared(data, Path(folder))
        for run in range(runs):
            one_run(server, files, run, figures)
    for kind, measured in figures.items():
        report(kind, measured)


def one_run(
    server: MariaDb, files: dict[str, Path], run: int, figures: dict[str, list[tuple[float, float, float]]]
) -> None:
    ours, raw = f"ours_{run}", f"raw_{run}"
    for name in (ours, raw):
        server.create_database(name)
        migrate(server.url(name))
    imported("locations", files["locations"], server.url(ours))
    figures["products"].append(compared(server, ours, raw, "products", files["products"]))
    copied(server, ours, raw, "warehouses", "locations")
    imported("movements", files["opening"], server.url(ours))
    before = count(server, ours, "movements")
    copied(server, ours, raw, "balances")
    figures["movements"].append(compared(server, ours, raw, "movements", files["movements"], skip=before))
    for name in (ours, raw):
        server.drop_database(name)


def compared(server: MariaDb, ours: str, raw: str, kind: str, file: Path, skip: int = 0) -> tuple[float, float, float]:
    """Rows a second of the import and of the raw insert, and the import's peak memory in MB."""
    seconds, peak = imported(kind, file, server.url(ours))
    rows = fetched(server, ours, kind, skip)
    raw_seconds = inserted(server, raw, kind, rows)
    assert count(server, raw, kind) == len(rows)
    return len(rows) / seconds, len(rows) / raw_seconds, peak


def imported(kind: str, file: Path, url: str) -> tuple[float, float]:
    """Seconds of the whole command, and its peak memory in MB."""
    environment = {**os.environ, "WAREHOUSE_DATABASE_URL": url}
    begun = time.perf_counter()
    process = subprocess.Popen([sys.executable, "-m", "warehouse", "import", kind, str(file)], env=environment)
    _, status, usage = os.wait4(process.pid, 0)
    seconds = time.perf_counter() - begun
    if os.waitstatus_to_exitcode(status) != 0:
        raise SystemExit(f"importing {kind} failed")
    return seconds, usage.ru_maxrss / MEGABYTE


def inserted(server: MariaDb, database: str, table: str, rows: Sequence[Sequence[Any]]) -> float:
    with connected(server, database) as connection, connection.cursor() as cursor:
        places = ",".join(["%s"] * len(rows[0]))
        begun = time.perf_counter()
        for start in range(0, len(rows), BATCH):
            cursor.executemany(f"INSERT INTO {table} VALUES ({places})", rows[start : start + BATCH])
            connection.commit()
        return time.perf_counter() - begun


def fetched(server: MariaDb, database: str, table: str, skip: int) -> Sequence[Sequence[Any]]:
    with connected(server, database) as connection, connection.cursor() as cursor:
        cursor.execute(f"SELECT * FROM {table} ORDER BY id LIMIT 10000000 OFFSET {skip}")
        return list(cursor.fetchall())


def copied(server: MariaDb, source: str, target: str, *tables: str) -> None:
    with connected(server, target) as connection, connection.cursor() as cursor:
        for table in tables:
            cursor.execute(f"INSERT INTO {target}.{table} SELECT * FROM {source}.{table}")
        connection.commit()


def count(server: MariaDb, database: str, table: str) -> int:
    with connected(server, database) as connection, connection.cursor() as cursor:
        cursor.execute(f"SELECT COUNT(*) FROM {table}")
        (number,) = cursor.fetchone() or (0,)
        return int(number)


def connected(server: MariaDb, database: str) -> "pymysql.Connection[Any]":
    url = make_url(server.url(database))
    return pymysql.connect(
        host=url.host, port=url.port or 3306, user=url.username, password=url.password or "", database=database
    )


def prepared(data: Path, folder: Path) -> dict[str, Path]:
    """The data's own files, a location for each store, and opening receipts that cover what is sold."""
    sold: Counter[tuple[str, str]] = Counter()
    for row in rows_of(data / "movements.csv.zst"):
        sold[row["sku"], row["location"]] += int(row["qty"])
    stores = sorted({store for _, store in sold})
    locations = [["warehouse", "warehouse_name", "code", "name"], *(["STORES", "Stores", s, s] for s in stores)]
    opening: list[list[str]] = [["timestamp", "type", "sku", "location", "qty", "reference"]]
    opening += [["2017-01-01T00:00:00Z", "receipt", sku, at, str(q), "opening"] for (sku, at), q in sold.items()]
    files = {"products": data / "products.csv.zst", "movements": data / "movements.csv.zst"}
    for name, rows in (("locations", locations), ("opening", opening)):
        files[name] = folder / f"{name}.csv"
        with files[name].open("w", newline="") as file:
            csv.writer(file).writerows(rows)
    return files


def rows_of(file: Path) -> Iterator[dict[str, str]]:
    with file.open("rb") as compressed:
        reader = zstandard.ZstdDecompressor().stream_reader(compressed)
        yield from csv.DictReader(io.TextIOWrapper(reader, encoding="utf-8", newline=""))


def report(kind: str, measured: Sequence[tuple[float, float, float]]) -> None:
    ours, raw, peaks = zip(*measured, strict=True)
    ratios = [mine / theirs for mine, theirs, _ in measured]
    print(  # noqa: T201 (it is a script, and this is what it is for)
        f"{kind}: import {statistics.median(ours):,.0f} rows/s ({min(ours):,.0f}-{max(ours):,.0f}), "
        f"raw {statistics.median(raw):,.0f} rows/s ({min(raw):,.0f}-{max(raw):,.0f}), "
        f"ratio {statistics.median(ratios):.2f} ({min(ratios):.2f}-{max(ratios):.2f}), "
        f"peak memory {max(peaks):.0f} MB"
    )


if __name__ == "__main__":
    main()
