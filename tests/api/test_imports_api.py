"""Files into the database over HTTP: how they come, what becomes of them, and what is not taken."""

import asyncio
import gzip
import io
import zipfile
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import asdict
from uuid import UUID

import orjson
import pytest
import zstandard
from fastapi import FastAPI
from httpx import AsyncClient, Response
from starlette.types import Message

from tests.api.answers import pointers, problem
from tests.api.calls import Json, accepted, done, ended, form, new_code, new_key, new_location, new_records
from tests.api.conftest import MAX_UPLOAD, RunTask, Unchanged, blobs
from tests.conftest import ClientAs
from tests.unit.exchange.workbooks import DATE, SHEET, STRINGS, header, number, row, sheet, text, workbook
from warehouse.auth.model import Role
from warehouse.commands.model import Answer, Command
from warehouse.container import Container
from warehouse.errors import Invalid
from warehouse.exchange.asking import ImportAsked
from warehouse.ids import new_id
from warehouse.tasks.model import Task, TaskDraft, TaskQueue
from warehouse.tasks.running import Handler, Running, TaskKind, TaskRunner

XLSX = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"
GZIPPED: Mapping[str, Callable[[bytes], bytes]] = {".gz": gzip.compress, ".zst": lambda data: zstandard.compress(data)}


def products(*skus: str) -> bytes:
    return "\n".join(["sku,name", *(f"{sku},Rye bread" for sku in skus)]).encode()


async def send(client: AsyncClient, content: bytes, name: str = "products.csv", **query: str) -> Response:
    query = {"kind": "products", **query}
    return await client.post("/v1/imports", params=query, files={"file": (name, content)}, headers=new_key())


async def send_raw(client: AsyncClient, content: bytes, media_type: str = "text/csv", **headers: str) -> Response:
    given = {"Content-Type": media_type, **headers}
    return await client.post("/v1/imports?kind=products", content=content, headers=given)


async def result_of(client: AsyncClient, response: Response) -> Json:
    """What became of a file, whether or not all of it was taken."""
    task = await ended(client, accepted(response))
    assert task["result_url"] is not None, task
    found: Json = (await client.get(task["result_url"])).json()
    return found


async def error_of(client: AsyncClient, response: Response) -> Json:
    """Why a file was not read at all."""
    task = await ended(client, accepted(response))
    assert (task["status"], task["result_url"]) == ("failed", None), task
    error: Json = task["error"]
    return error


async def exists(client: AsyncClient, sku: str) -> bool:
    return (await client.get(f"/v1/products/by-sku/{sku}")).status_code == 200


class TestFiles:
    async def test_a_form_becomes_a_task_that_is_followed_to_its_result(self, client: AsyncClient) -> None:
        skus = [new_code() for _ in range(3)]
        response = await send(client, products(*skus))
        assert response.headers["location"] == f"/v1/tasks/{accepted(response)['id']}"
        assert response.headers["retry-after"] == "1"
        assert accepted(response)["kind"] == "import_products"
        task = await done(client, response)
        assert (task["progress"]["done"], task["progress"]["total"]) == (3, 3)
        result = (await client.get(task["result_url"])).json()
        assert (result["kind"], result["rows"], result["created"], result["failed"]) == ("products", 3, 3, 0)
        assert all([await exists(client, sku) for sku in skus])

    @pytest.mark.parametrize("suffix", GZIPPED)
    async def test_a_compressed_file_is_taken(self, client: AsyncClient, suffix: str) -> None:
        sku = new_code()
        packed = GZIPPED[suffix](products(sku))
        assert (await result_of(client, await send(client, packed, f"products.csv{suffix}")))["created"] == 1
        # Named by nobody, it is known by what it begins with.
        raw = await send_raw(client, packed, "application/octet-stream")
        assert (await result_of(client, raw))["unchanged"] == 1
        assert await exists(client, sku)

    async def test_a_body_that_was_compressed_on_its_way_is_taken(self, client: AsyncClient) -> None:
        response = await send_raw(client, gzip.compress(products(new_code())), **{"Content-Encoding": "gzip"})
        assert (await result_of(client, response))["created"] == 1

    async def test_lines_of_json_are_taken_by_name_and_without(self, client: AsyncClient) -> None:
        for number_, headers in enumerate([{}, {"Content-Disposition": 'attachment; filename="p.ndjson"'}]):
            lines = [{"sku": new_code(), "name": "Rye bread"}, {"sku": new_code(), "name": "Ünï"}]
            content = b"\n".join(map(orjson.dumps, lines))
            response = await send_raw(client, content, "application/x-ndjson", **headers)
            assert (await result_of(client, response))["created"] == 2, number_

    async def test_a_workbook_is_taken_by_the_sheet(self, client: AsyncClient) -> None:
        book = workbook(sheet(header("sku", "name"), row(text(new_code()), text("Rye bread"))))
        assert (await result_of(client, await send(client, book, "stock.xlsx", sheet="Stock")))["created"] == 1
        assert (await result_of(client, await send_raw(client, book, XLSX)))["unchanged"] == 1
        assert (await error_of(client, await send(client, book, "stock.xlsx", sheet="Other")))["code"] == "invalid"

    async def test_columns_are_called_what_they_mean(self, client: AsyncClient) -> None:
        sku = new_code()
        content = f"Art,Text,note\n{sku},Rye bread,x\n".encode()
        query = {"kind": "products", "map": ["Art=sku", "Text=name", "note="]}
        file = {"file": ("p.csv", content)}
        result = await result_of(client, await client.post("/v1/imports", params=query, files=file))
        assert (result["created"], result["errors"]) == (1, [])
        assert await exists(client, sku)

    @pytest.mark.parametrize("maps", [["sku"], ["=sku"], ["a=sku", "a=name"], [""], ["x" * 513]])
    async def test_a_mapping_that_is_none_is_named(
        self, client: AsyncClient, unchanged: Unchanged, maps: list[str]
    ) -> None:
        async with unchanged():
            query = {"kind": "products", "map": maps}
            refused = await client.post("/v1/imports", params=query, files=form("p.csv", "sku"))
            assert all(pointer.startswith("?map") for pointer in pointers(refused))

    async def test_operators_import_movements_and_nothing_else(
        self, client: AsyncClient, client_as: ClientAs, unchanged: Unchanged
    ) -> None:
        records, operator = await new_records(client), await client_as(Role.OPERATOR)
        content = (
            "timestamp,type,sku,warehouse,location,qty\n"
            f"2026-01-02T03:04:05Z,receipt,{records.product['sku']},{records.warehouse['code']},"
            f"{records.location['code']},5\n"
        )
        result = await result_of(operator, await send(operator, content.encode(), kind="movements"))
        assert (result["posted"], result["failed"]) == (1, 0)
        summary = (await client.get(f"/v1/stock/summary/{records.product['id']}")).json()
        assert summary["on_hand"] == 15

        async def never() -> AsyncIterator[bytes]:
            raise AssertionError("the body was read")
            yield b""

        for kind in ("products", "locations"):
            async with unchanged():
                headers = {"Content-Type": "text/csv"}
                refused = await operator.post(f"/v1/imports?kind={kind}", content=never(), headers=headers)
                problem(refused, 403, "forbidden")

    async def test_places_are_imported(self, client: AsyncClient) -> None:
        code = new_code("W")
        content = f"warehouse,warehouse_name,code,kind\n{code},Harbour,,\n{code},,A-1,storage\n"
        assert (await result_of(client, await send(client, content.encode(), kind="locations")))["created"] == 2


class TestKeys:
    async def test_a_repeated_upload_is_one_task_and_is_not_kept(
        self, client: AsyncClient, container: Container
    ) -> None:
        content, key = products(new_code()), new_key()
        first = await client.post("/v1/imports?kind=products", files={"file": ("p.csv", content)}, headers=key)
        task = await done(client, first)
        before = blobs(container)
        again = await client.post("/v1/imports?kind=products", files={"file": ("p.csv", content)}, headers=key)
        assert (again.status_code, again.content) == (202, first.content)
        assert again.headers["idempotent-replayed"] == "true"
        assert again.headers["location"] == f"/v1/tasks/{task['id']}"
        assert blobs(container) == before

    async def test_another_file_or_option_under_the_key_is_refused(
        self, client: AsyncClient, container: Container
    ) -> None:
        content, key = products(new_code()), new_key()
        first = await client.post("/v1/imports?kind=products", files={"file": ("p.csv", content)}, headers=key)
        await done(client, first)
        before = blobs(container)
        for query, other in (("kind=products", content + b"\n"), ("kind=products&atomic=true", content)):
            refused = await client.post(f"/v1/imports?{query}", files={"file": ("p.csv", other)}, headers=key)
            problem(refused, 422, "idempotency_key_reused")
        assert blobs(container) == before


class TestBadRows:
    async def test_a_bad_row_is_told_and_the_others_go_in(self, client: AsyncClient) -> None:
        good = new_code()
        content = f"sku,name,reorder_point\n{good},Rye bread,5\n=1+1,,x\n".encode()
        task = await done(client, await send(client, content))
        result = (await client.get(task["result_url"])).json()
        assert (result["created"], result["failed"], result["complete"]) == (1, 1, True)
        assert [(error["line"], error["column"]) for error in result["errors"]] == [(3, "reorder_point")]
        listed = await client.get(f"/v1/tasks/{task['id']}/errors")
        assert listed.headers["content-type"] == "text/csv; charset=utf-8"
        assert listed.headers["content-disposition"] == 'attachment; filename="errors.csv"'
        head, line = listed.text.splitlines()
        assert (head, line.split(",")[:2]) == ("line,column,code,detail", ["3", "reorder_point"])

    async def test_an_atomic_import_with_a_bad_row_takes_nothing_and_says_why(self, client: AsyncClient) -> None:
        good = new_code()
        content = f"sku,name,reorder_point\n{good},Rye bread,5\n{new_code()},Oat bread,x\n".encode()
        task = await ended(client, accepted(await send(client, content, atomic="true")))
        assert (task["status"], task["error"]["code"]) == ("failed", "invalid")
        assert "1 of 2 rows" in task["error"]["detail"]
        result = (await client.get(task["result_url"])).json()
        assert (result["created"], result["failed"], result["errors"][0]["line"]) == (0, 1, 3)
        assert "3,reorder_point," in (await client.get(f"/v1/tasks/{task['id']}/errors")).text
        assert not await exists(client, good)

    async def test_an_atomic_import_without_one_takes_all(self, client: AsyncClient) -> None:
        skus = [new_code() for _ in range(3)]
        assert (await result_of(client, await send(client, products(*skus), atomic="true")))["created"] == 3

    async def test_what_was_refused_whole_is_looked_at_anew_when_it_is_done_again(self, client: AsyncClient) -> None:
        records = await new_records(client)
        code = new_code("L")
        content = (
            "timestamp,type,sku,warehouse,location,qty\n"
            f"2026-01-02T03:04:05Z,receipt,{records.product['sku']},{records.warehouse['code']},{code},5\n"
        )
        response = await send(client, content.encode(), kind="movements", atomic="true")
        task = await ended(client, accepted(response))
        assert task["status"] == "failed"
        refused = await client.get(task["result_url"])
        await new_location(client, records.warehouse, code=code)
        retried = await client.post(f"/v1/tasks/{task['id']}/retry")
        assert (accepted(retried)["result_url"], accepted(retried)["error"]) == (None, None)
        again = await done(client, retried)
        result = await client.get(again["result_url"])
        assert (result.json()["posted"], result.json()["errors"]) == (1, [])
        assert result.headers["etag"] != refused.headers["etag"]
        assert (await client.get(f"/v1/tasks/{task['id']}/errors")).text.splitlines() == ["line,column,code,detail"]

    async def test_a_rehearsal_tells_and_writes_nothing(self, client: AsyncClient, unchanged: Unchanged) -> None:
        content = products(new_code(), new_code())
        response = await send(client, products(new_code()), dry_run="true")
        async with unchanged():
            await ended(client, accepted(response))
        result = await result_of(client, response)
        assert (result["created"], result["rows"]) == (1, 1)
        assert (await result_of(client, await send(client, content)))["created"] == 2


class TestDoneInPart:
    async def test_what_is_done_is_not_done_again(
        self, client: AsyncClient, container: Container, run_task: RunTask
    ) -> None:
        skus = [new_code() for _ in range(2500)]
        task = await self._handed_in(client, container, products(*skus))
        runner = TaskRunner(container.uow, {"import_products": TaskKind(_broken_off(container), 60)})
        await runner.run(UUID(task["id"]), 0)
        assert await exists(client, skus[999])
        assert not await exists(client, skus[1000])
        again = accepted(await client.post(f"/v1/tasks/{task['id']}/retry"))
        result = (await client.get((await run_task(again))["result_url"])).json()
        assert (result["rows"], result["created"], result["unchanged"]) == (2500, 2500, 0)
        assert await exists(client, skus[-1])

    @staticmethod
    async def _handed_in(client: AsyncClient, container: Container, content: bytes) -> Json:
        """In the short queue, where nobody takes it."""

        async def chunks() -> AsyncIterator[bytes]:
            yield content

        def answer(task: Task) -> Answer:
            return Answer(202, b"")

        draft = TaskDraft("import_products", TaskQueue.SHORT, asdict(ImportAsked("products.csv")))
        command = Command(new_id(), "test", None, b"", answer, lambda refusal: Answer(409, b""))
        await container.uploads.submit(draft, chunks(), lambda blob: command)
        found: Json = (await client.get(f"/v1/tasks/{draft.id}")).json()
        return found


def _broken_off(container: Container) -> Handler:
    """Fails as soon as the first batch is done."""
    kinds = container.exchange().kinds()

    class Stopping(Running):
        def report(self, done: int, total: int | None = None) -> None:
            raise Invalid("No further.")

    async def handler(running: Running) -> None:
        await kinds["import_products"].handler(Stopping(running.task))

    return handler


class TestHostileFiles:
    async def test_a_workbook_with_formulas_merged_cells_and_dates_as_numbers(self, client: AsyncClient) -> None:
        sku, other = new_code(), new_code()
        formula = f'<c t="str"><f>CONCATENATE("{other}","")</f><v>{other}</v></c>'
        book = workbook(
            sheet(
                header("sku", "name", "best_before", "reorder_point"),
                row(text(sku), text("Rye bread"), number(45658, DATE), number("7.0")),
                row(formula, text("Oat bread"), number(45658), "<c><f>1/0</f></c>"),
                after='<mergeCells count="1"><mergeCell ref="B2:B3"/></mergeCells>',
            )
        )
        task = await done(client, await send(client, book, "stock.xlsx"))
        result = (await client.get(task["result_url"])).json()
        assert result["rows"] == result["created"] + result["failed"] == 2
        read = (await client.get(f"/v1/products/by-sku/{sku}")).json()
        assert (read["reorder_point"], read["attributes"]["best_before"]) == (7, "2025-01-01")

    async def test_a_bomb_of_a_workbook_is_refused(self, client: AsyncClient) -> None:
        content = io.BytesIO()
        with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as bomb, bomb.open(SHEET, "w") as part:
            for _ in range(256):
                part.write(bytes(1024 * 1024))
        error = await error_of(client, await send(client, content.getvalue(), "stock.xlsx"))
        assert error["code"] in ("invalid", "payload_too_large")
        book = io.BytesIO(workbook(sheet(header("sku", "name"))))
        with zipfile.ZipFile(book, "a", zipfile.ZIP_DEFLATED) as bomb, bomb.open(STRINGS, "w") as part:
            for _ in range(256):
                part.write(b"<si/>" * 200_000)
        error = await error_of(client, await send(client, book.getvalue(), "stock.xlsx"))
        assert error["code"] in ("invalid", "payload_too_large")

    async def test_a_million_columns_are_too_many(self, client: AsyncClient) -> None:
        names = ",".join(f"c{number_}" for number_ in range(1_000_000)).encode()
        error = await error_of(client, await send(client, b"sku,name," + names + b"\nA,B\n"))
        assert error["code"] in ("invalid", "payload_too_large")

    async def test_a_header_that_comes_twice_is_refused(self, client: AsyncClient) -> None:
        error = await error_of(client, await send(client, b"sku,name,sku\nA,B,C\n"))
        assert "sku" in error["detail"]
        assert error["errors"]

    @pytest.mark.parametrize(
        ("name", "content"),
        [
            ("p.csv", b"colour\nred\n"),
            ("p.csv", b"\xff\xfe\x00"),
            ("p.xlsx", b"sku,name\n"),
            ("p.csv", b"\n\n"),
            ("p.csv.gz", gzip.compress(bytes(1024))[:40]),
            ("p.exe", b"MZ\x90\x00\x03\x00\x00\x00"),
        ],
    )
    async def test_what_is_no_table_fails_and_says_so(
        self, client: AsyncClient, unchanged: Unchanged, name: str, content: bytes
    ) -> None:
        response = await send(client, content, name)
        async with unchanged():
            error = await error_of(client, response)
        assert (error["code"], bool(error["detail"]), bool(error["errors"])) == ("invalid", True, True)


class TestUploads:
    async def test_a_body_beyond_the_limit_is_refused_while_it_comes_and_nothing_kept(
        self, client: AsyncClient, container: Container, unchanged: Unchanged
    ) -> None:
        """Two gigabytes are announced, or come without being announced."""
        sent = 0

        async def chunks() -> AsyncIterator[bytes]:
            nonlocal sent
            for _ in range(2048):
                sent += 1024 * 1024
                yield bytes(1024 * 1024)

        before = blobs(container)
        async with unchanged():
            for headers in ({}, {"Content-Length": str(2 * 1024**3)}):
                sent = 0
                given = {"Content-Type": "text/csv", **headers}
                refused = await client.post("/v1/imports?kind=products", content=chunks(), headers=given)
                problem(refused, 413, "payload_too_large")
                assert sent <= 2 * MAX_UPLOAD
        assert blobs(container) == before

    async def test_a_bomb_on_its_way_is_refused_and_nothing_kept(
        self, client: AsyncClient, container: Container, unchanged: Unchanged
    ) -> None:
        bomb = gzip.compress(bytes(1024 * 1024)) * 64
        before = blobs(container)
        async with unchanged():
            problem(await send_raw(client, bomb, **{"Content-Encoding": "gzip"}), 413, "payload_too_large")
        assert blobs(container) == before

    async def test_an_upload_that_breaks_off_leaves_nothing(
        self, client: AsyncClient, app: FastAPI, container: Container, unchanged: Unchanged
    ) -> None:
        before = blobs(container)
        pieces: list[Message] = [
            {"type": "http.request", "body": products(new_code()), "more_body": True},
            {"type": "http.disconnect"},
        ]
        async with unchanged():
            await asyncio.wait_for(_raw(app, client, pieces), 10)
        assert blobs(container) == before

    @pytest.mark.parametrize(
        ("files", "data", "found"),
        [
            ({"other": ("p.csv", b"sku\n")}, None, "/other"),
            ({"file": ("p.csv", b"")}, None, "/file"),
            ([("file", ("p.csv", b"sku\n")), ("file", ("q.csv", b"sku\n"))], None, "/file"),
            ({"file": ("p.csv", b"sku\n")}, {"colour": "red"}, "/colour"),
            ({"file": (None, b"sku\n")}, None, "/file"),
        ],
    )
    async def test_a_form_that_is_none_is_refused_and_nothing_kept(
        self,
        client: AsyncClient,
        container: Container,
        unchanged: Unchanged,
        files: Json,
        data: Json | None,
        found: str,
    ) -> None:
        before = blobs(container)
        async with unchanged():
            assert pointers(await client.post("/v1/imports?kind=products", files=files, data=data)) == {found}
        assert blobs(container) == before

    @pytest.mark.parametrize("body", [b"", b"--x", b"--x\r\n\r\n\r\n--x--", b"--y\r\n", b"\x00" * 100])
    async def test_what_is_no_form_is_malformed(
        self, client: AsyncClient, container: Container, unchanged: Unchanged, body: bytes
    ) -> None:
        before = blobs(container)
        async with unchanged():
            headers = {"Content-Type": "multipart/form-data; boundary=x"}
            refused = await client.post("/v1/imports?kind=products", content=body, headers=headers)
            problem(refused, 400, "malformed_request")
        assert blobs(container) == before

    async def test_an_empty_body_is_no_file(self, client: AsyncClient, unchanged: Unchanged) -> None:
        async with unchanged():
            assert pointers(await send_raw(client, b"")) == {""}

    @pytest.mark.parametrize("kind", ["", "nonsense", "stock"])
    async def test_another_kind_is_named(self, client: AsyncClient, unchanged: Unchanged, kind: str) -> None:
        async with unchanged():
            assert pointers(await send(client, b"sku\n", kind=kind)) == {"?kind"}


async def _raw(app: FastAPI, client: AsyncClient, pieces: list[Message]) -> list[Message]:
    """What the application sends to a client that does as it likes."""
    sent: list[Message] = []

    async def receive() -> Message:
        return pieces.pop(0)

    async def send(message: Message) -> None:
        sent.append(message)

    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": "POST",
        "scheme": "http",
        "path": "/v1/imports",
        "raw_path": b"/v1/imports",
        "query_string": b"kind=products",
        "root_path": "",
        "headers": [
            (b"authorization", client.headers["authorization"].encode()),
            (b"content-type", b"text/csv"),
        ],
        "client": ("127.0.0.1", 1),
        "server": ("127.0.0.1", 80),
        "state": {},
    }
    await app(scope, receive, send)
    return sent
