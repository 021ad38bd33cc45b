"""Tasks as they are served: real processes, the worker inside them, the embedded Valkey, and clients that misbehave."""

import csv
import io
import json
import os
import select
import socket
import time
from collections.abc import Callable, Iterator
from http.client import HTTPResponse
from pathlib import Path

import httpx
import pytest

from tests.api.calls import Json, new_code
from tests.api.streams import events
from tests.conftest import FreshDatabase
from tests.process import TLS
from tests.servers import HOST, Backend
from tests.serving import WarehouseServer, check
from warehouse.auth.model import Role

SECONDS = 60
MIB = 1024 * 1024
MAX_UPLOAD = 4 * MIB
SETTINGS = {"LIMITS_UPLOAD_BYTES": str(MAX_UPLOAD), "LIMITS_STREAMS": "1"}


@pytest.fixture(scope="module")
def served(backend: Backend, fresh_database: FreshDatabase) -> Iterator[WarehouseServer]:
    with WarehouseServer(fresh_database(backend), workers=1, settings=SETTINGS) as served:
        yield served
        check(served.database_url)


@pytest.fixture(scope="module")
def http(served: WarehouseServer) -> Iterator[httpx.Client]:
    headers = {"Authorization": f"Bearer {served.key(Role.ADMIN)}"}
    with httpx.Client(base_url=served.url, headers=headers, trust_env=False, verify=TLS, timeout=SECONDS) as http:
        yield http


def kept(served: WarehouseServer) -> set[Path]:
    return {path for path in (served.folder / "var" / "blobs").rglob("*") if path.is_file()}


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + SECONDS
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def ended(http: httpx.Client, response: httpx.Response) -> Json:
    """The last event of the task that a request became; before it come others, in order."""
    assert response.status_code == 202, response.text
    with http.stream("GET", f"{response.headers['location']}/events") as stream:
        assert stream.headers["content-type"].startswith("text/event-stream")
        seen = list(events(stream.iter_lines()))
    assert [event.name for event in seen] == ["progress"] * (len(seen) - 1) + ["end"]
    assert [event.id for event in seen] == sorted({event.id for event in seen})
    return seen[-1].data


def test_a_file_goes_in_is_followed_and_comes_out_again(http: httpx.Client) -> None:
    skus = [new_code() for _ in range(3000)]
    lines = ["sku,name,category,reorder_point", *(f"{sku},Rye bread,{skus[0]},5" for sku in skus), "X,Y,,many"]
    file = {"file": ("products.csv", "\n".join(lines).encode(), "text/csv")}
    task = ended(http, http.post("/v1/imports?kind=products", files=file))
    assert (task["status"], task["progress"]["done"], task["progress"]["total"]) == ("succeeded", 3001, 3001)
    result = http.get(task["result_url"]).json()
    assert (result["created"], result["failed"]) == (3000, 1)
    (error,) = csv.DictReader(io.StringIO(http.get(f"/v1/tasks/{task['id']}/errors").text))
    assert (error["line"], error["column"]) == ("3002", "reorder_point")

    export = ended(http, http.post("/v1/exports", params={"kind": "products", "category": skus[0]}))
    whole = http.get(export["result_url"], headers={"Accept-Encoding": "identity"})
    assert len(list(csv.DictReader(io.StringIO(whole.text)))) == 3000
    rest = http.get(export["result_url"], headers={"Range": "bytes=1000-", "If-Range": whole.headers["etag"]})
    assert (rest.status_code, rest.content) == (206, whole.content[1000:])
    packed = http.get(export["result_url"], headers={"Accept-Encoding": "zstd"})
    assert packed.headers["content-encoding"] == "zstd"
    assert packed.content == whole.content
    bare = http.head(export["result_url"], headers={"Accept-Encoding": "identity"})
    assert (bare.status_code, bare.headers["content-length"]) == (200, str(len(whole.content)))

    report = ended(http, http.post("/v1/reports/low_stock", json={}))
    assert http.get(report["result_url"]).json()["summary"]["rows"] >= 3000


def test_a_batch_that_is_not_waited_for_is_done(http: httpx.Client) -> None:
    body = {"products": [{"sku": new_code(), "name": "Rye bread"}]}
    task = ended(http, http.post("/v1/products/batch", json=body, headers={"Prefer": "respond-async"}))
    assert http.get(task["result_url"]).json()["created"] == 1


class TestUploads:
    @pytest.fixture(autouse=True)
    def _nothing_is_left(self, served: WarehouseServer, http: httpx.Client) -> Iterator[None]:
        before, tasks = kept(served), http.get("/v1/tasks?limit=1000").json()["data"]
        yield
        wait_until(lambda: kept(served) == before)
        assert http.get("/v1/tasks?limit=1000").json()["data"] == tasks
        assert http.get("/readyz").status_code == 200

    @pytest.mark.parametrize("framing", [f"Content-Length: {2048 * MIB}", "Transfer-Encoding: chunked"])
    def test_two_gigabytes_are_refused_while_they_come(
        self, served: WarehouseServer, http: httpx.Client, framing: str
    ) -> None:
        piece = os.urandom(MIB)
        if "chunked" in framing:
            piece = b"%x\r\n%s\r\n" % (len(piece), piece)
        with socket.create_connection((HOST, served.port), timeout=SECONDS) as connection:
            connection.sendall(head(http, framing))
            sent = 0
            while not select.select([connection], [], [], 0)[0]:
                connection.sendall(piece)
                sent += MIB
            answer = HTTPResponse(connection)
            answer.begin()
            assert (answer.status, json.load(answer)["code"]) == (413, "payload_too_large")
        assert sent < 64 * MIB

    def test_an_upload_that_is_cancelled_leaves_nothing(self, served: WarehouseServer, http: httpx.Client) -> None:
        before = kept(served)
        with socket.create_connection((HOST, served.port), timeout=SECONDS) as connection:
            connection.sendall(head(http, f"Content-Length: {3 * MIB}") + bytes(2 * MIB))
            # A part of it is there before its client leaves.
            wait_until(lambda: kept(served) != before)


def head(http: httpx.Client, framing: str) -> bytes:
    lines = [
        "POST /v1/imports?kind=products HTTP/1.1",
        f"Host: {HOST}",
        f"Authorization: {http.headers['authorization']}",
        "Content-Type: text/csv",
        framing,
    ]
    return "\r\n".join([*lines, "", ""]).encode()


class TestStreams:
    def test_a_client_that_leaves_makes_room_for_the_next(self, http: httpx.Client) -> None:
        """There is one place."""
        task = http.post("/v1/exports?kind=stock").json()
        path = f"/v1/tasks/{task['id']}/events"
        waiting = _never_done(http)
        with http.stream("GET", f"{waiting}/events") as stream:
            seen = events(stream.iter_lines())
            first = next(seen)
            assert first.data["status"] in ("queued", "running")
            refused = http.get(path)
            assert (refused.status_code, refused.json()["code"]) == (503, "overloaded")
            assert int(refused.headers["retry-after"]) > 0
        wait_until(lambda: http.get(path).status_code == 200)
        assert http.post(f"{waiting}/cancel").status_code == 200

    def test_an_unknown_task_is_a_problem_and_no_stream(self, http: httpx.Client) -> None:
        refused = http.get(f"/v1/tasks/{'0' * 32}/events", headers={"Accept": "text/event-stream"})
        assert (refused.status_code, refused.json()["code"]) == (404, "not_found")
        assert refused.headers["content-type"] == "application/problem+json"

    def test_a_stream_that_is_asked_for_by_head_ends(self, http: httpx.Client) -> None:
        waiting = _never_done(http)
        bare = http.head(f"{waiting}/events")
        assert (bare.status_code, bare.content) == (200, b"")
        http.post(f"{waiting}/cancel")


def _never_done(http: httpx.Client) -> str:
    """The address of a task that lasts longer than the test looks: many rows, all in one transaction."""
    lines = [json.dumps({"sku": new_code(), "name": "Rye bread"}) for _ in range(40_000)]
    headers = {"Content-Type": "application/x-ndjson"}
    response = http.post("/v1/imports?kind=products", content="\n".join(lines).encode(), headers=headers)
    return response.headers["location"]
