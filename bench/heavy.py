"""What the measurement of background work needs: a worker, files of movements, and tasks that are waited for."""

import csv
import json
import sys
import time
from collections.abc import Mapping, Sequence
from datetime import datetime
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import Any

from bench.database import Database
from bench.harness import NotMeasuredError
from bench.servers import Ours
from tests.process import Process
from tests.servers import HOST
from warehouse.settings import PREFIX

POLL_SECONDS = 0.2
TASK_SECONDS = 1800
BATCH = 1000
"""Rows of one statement and one transaction of the raw INSERT; the import's batch."""
START = 1_700_000_000
COLUMNS = ("timestamp", "type", "sku", "location", "qty", "reference")


class WarehouseWorker(Process):
    """`warehouse worker` beside a server, with the same database, Valkey and folder of blobs."""

    name = "worker"
    not_ready = (OSError, HTTPException)

    def __init__(self, server: Ours, concurrency: int) -> None:
        self._server = server
        self._concurrency = concurrency

    def initialise(self) -> None:
        """It has nothing of its own."""

    def command(self) -> Sequence[str]:
        settings = {"DATABASE_URL": self._server.database_url, "DATA_DIR": str(self._server.folder / "var")}
        settings |= {"REDIS_URL": self._server.extra["REDIS_URL"], "LOG_LEVEL": "warning"}
        variables = [f"{PREFIX}{name}={value}" for name, value in settings.items()]
        options = [f"--concurrency={self._concurrency}", f"--health-port={self.port}"]
        return ["env", *variables, sys.executable, "-m", "warehouse", "worker", *options]

    def ping(self) -> None:
        connection = HTTPConnection(HOST, self.port, timeout=5)
        try:
            connection.request("GET", "/readyz")
            if connection.getresponse().status != 200:
                raise ConnectionError("not ready")
        finally:
            connection.close()

    def peak_megabytes(self) -> float:
        """The most memory that it has had."""
        status = Path(f"/proc/{self.pid}/status").read_text()
        (line,) = [each for each in status.splitlines() if each.startswith("VmHWM")]
        return int(line.split()[1]) / 1024


class Api:
    """The server's tasks, one request after the other."""

    def __init__(self, server: Ours, headers: Mapping[str, str]) -> None:
        self._server = server
        self._headers = headers

    def post(self, path: str, body: bytes, media_type: str = "application/json") -> Any:
        return self._ask("POST", path, body, {"Content-Type": media_type})

    def task(self, task_id: str) -> Any:
        return self._ask("GET", f"/v1/tasks/{task_id}")

    def end_of(self, task_id: str) -> Any:
        """The task once it has ended. Raises `NotMeasuredError` where that is not well, or takes too long."""
        deadline = time.monotonic() + TASK_SECONDS
        while (task := self.task(task_id))["status"] in ("queued", "running"):
            if time.monotonic() > deadline:
                raise NotMeasuredError(f"{task['kind']} does not end")
            time.sleep(POLL_SECONDS)
        if task["status"] != "succeeded":
            raise NotMeasuredError(f"{task['kind']}: {task['error']}")
        return task

    def _ask(self, method: str, path: str, body: bytes | None = None, headers: Mapping[str, str] | None = None) -> Any:
        connection = HTTPConnection(HOST, self._server.port, timeout=120)
        try:
            connection.request(method, path, body, {**self._headers, **(headers or {})})
            answer = connection.getresponse()
            content = answer.read()
            if answer.status >= 300:
                raise NotMeasuredError(f"{method} {path}: {answer.status} {content[:200]!r}")
            return json.loads(content)
        finally:
            connection.close()


def written_movements(file: Path, skus: Sequence[str], location: str, rows: int, begin: int = 0) -> Path:
    """Receipts of products in turn, each at a second of its own from the number `begin` on."""
    with file.open("w", newline="") as out:
        writer = csv.writer(out)
        writer.writerow(COLUMNS)
        for number in range(begin, begin + rows):
            moment = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(START + number))
            writer.writerow((moment, "receipt", skus[number % len(skus)], location, 1 + number % 9, f"load-{number}"))
    return file


def seconds_of(task: Mapping[str, Any]) -> float:
    """From the start of the attempt to its end."""
    begun, ended = (_moment(task[name]) for name in ("started_at", "finished_at"))
    return ended - begun


def raw_seconds(source: Database, target: Database, table: str) -> float:
    """What it takes to insert the table's rows into another database, by INSERT statements of many rows."""
    total, last = 0.0, b""
    with source.connection() as reading, target.connection() as writing:
        writing.autocommit(False)
        with reading.cursor() as read, writing.cursor() as write:
            while rows := _next_rows(read, table, last):
                last = rows[-1][0]
                places = ",".join(["%s"] * len(rows[0]))
                begun = time.perf_counter()
                write.executemany(f"INSERT INTO {table} VALUES ({places})", rows)
                writing.commit()
                total += time.perf_counter() - begun
    return total


def _next_rows(cursor: Any, table: str, last: bytes) -> Sequence[Sequence[Any]]:
    cursor.execute(f"SELECT * FROM {table} WHERE id > %s ORDER BY id LIMIT {BATCH}", (last,))
    rows: Sequence[Sequence[Any]] = cursor.fetchall()
    return rows


def _moment(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()
