"""Lists as files: each format, every filter of the list, and what an export may not be asked."""

import csv
import io
import json
from collections.abc import Callable, Mapping
from typing import Any
from uuid import uuid4

import pyarrow.parquet
import pytest
from httpx import AsyncClient

from tests.api.answers import pointers, problem
from tests.api.calls import Records, accepted, done, made, new_code, new_key, new_product, new_records
from tests.api.conftest import Unchanged
from tests.conftest import ClientAs
from warehouse.auth.model import Role
from warehouse.exchange.reading import open_table
from warehouse.exchange.tables import ReadingLimits, Row

Rows = list[dict[str, Any]]
LISTS = {"products": "/v1/products", "stock": "/v1/stock", "movements": "/v1/stock/movements"}
KEYS = {"products": ("id",), "stock": ("product_id", "location_id", "lot"), "movements": ("id",)}


def from_csv(content: bytes) -> Rows:
    return list(csv.DictReader(io.StringIO(content.decode("utf-8-sig"))))


def from_ndjson(content: bytes) -> Rows:
    return [json.loads(line) for line in content.splitlines()]


def from_xlsx(content: bytes) -> Rows:
    table = open_table(io.BytesIO(content), "export.xlsx", ReadingLimits())
    return [dict(row.values) for row in table if isinstance(row, Row)]


def from_parquet(content: bytes) -> Rows:
    rows: Rows = pyarrow.parquet.read_table(io.BytesIO(content)).to_pylist()
    return rows


FORMATS: Mapping[str, tuple[str, Callable[[bytes], Rows]]] = {
    "csv": ("text/csv; charset=utf-8", from_csv),
    "ndjson": ("application/x-ndjson", from_ndjson),
    "xlsx": ("application/vnd.openxmlformats-officedocument.spreadsheetml.sheet", from_xlsx),
    "parquet": ("application/vnd.apache.parquet", from_parquet),
}


@pytest.fixture(scope="module")
async def records(client: AsyncClient) -> Records:
    """With two lots, and products of which one is low and one is not."""
    records = await new_records(client)
    lines = [{**records.lot_line, "lot": f"L-{number}"} for number in range(2)]
    await made(client, "/v1/stock/receipts", {"reference": "PO-" + records.product["sku"], "lines": lines})
    return records


async def exported(client: AsyncClient, kind: str, **query: str) -> Rows:
    """The rows of an export as NDJSON, in the order of their keys."""
    response = await client.post("/v1/exports", params={"kind": kind, "format": "ndjson", **query})
    task = await done(client, response)
    rows = from_ndjson((await client.get(task["result_url"])).content)
    assert task["progress"]["done"] == task["progress"]["total"] == len(rows)
    return sorted_rows(kind, rows)


def sorted_rows(kind: str, rows: Rows) -> Rows:
    return sorted(rows, key=lambda row: [str(row[name]) for name in KEYS[kind]])


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize("kind", LISTS)
async def test_a_list_is_written_in_each_format(client: AsyncClient, records: Records, kind: str, form: str) -> None:
    query = {"q": records.product["sku"]} if kind == "products" else {"sku": records.product["sku"]}
    response = await client.post("/v1/exports", params={"kind": kind, "format": form, **query}, headers=new_key())
    task = await done(client, response)
    assert (task["kind"], task["result_url"]) == (f"export_{kind}", f"/v1/tasks/{task['id']}/result")
    result = await client.get(task["result_url"])
    media_type, rows_of = FORMATS[form]
    assert result.headers["content-type"] == media_type
    assert result.headers["content-disposition"].startswith(f'attachment; filename="{kind}-20')
    assert result.headers["content-disposition"].endswith(f'Z.{form}"')
    (row,) = rows_of(result.content)
    assert row["sku"] == records.product["sku"]


class TestFilters:
    @pytest.mark.parametrize(
        ("kind", "query"),
        [
            ("products", {}),
            ("products", {"q": "{sku}"}),
            ("products", {"status": "archived"}),
            ("products", {"category": "Bakery"}),
            ("products", {"tracking": "lot", "status": "active"}),
            ("stock", {}),
            ("stock", {"product_id": "{product}"}),
            ("stock", {"sku": "{tracked_sku}", "lot": "L-1"}),
            ("stock", {"warehouse_id": "{warehouse}", "low": "true"}),
            ("stock", {"location_id": "{location}", "low": "false"}),
            ("movements", {}),
            ("movements", {"product_id": "{product}"}),
            ("movements", {"sku": "{tracked_sku}"}),
            ("movements", {"warehouse_id": "{warehouse}"}),
            ("movements", {"location_id": "{location}"}),
            ("movements", {"command_id": "{command}"}),
            ("movements", {"reference": "PO-{sku}"}),
            ("movements", {"occurred_from": "2026-01-01T00:00:00Z", "sku": "{sku}"}),
            ("movements", {"occurred_to": "2026-01-01T00:00:00+01:00", "sku": "{sku}"}),
        ],
    )
    async def test_an_export_is_the_list_with_the_same_filters(
        self, client: AsyncClient, records: Records, kind: str, query: dict[str, str]
    ) -> None:
        await new_product(client, category="Bakery", status="archived")
        values = {
            "sku": records.product["sku"],
            "tracked_sku": records.tracked["sku"],
            "product": records.product["id"],
            "warehouse": records.warehouse["id"],
            "location": records.location["id"],
            "command": records.receipt["command_id"],
        }
        given = {name: value.format(**values) for name, value in query.items()}
        rows = await whole_list(client, LISTS[kind], given)
        assert await exported(client, kind, **given) == sorted_rows(kind, rows)

    @pytest.mark.parametrize(
        ("kind", "query", "names"),
        [
            ("products", {"sku": "A"}, {"?sku"}),
            ("products", {"low": "true", "lot": "A"}, {"?low", "?lot"}),
            ("stock", {"q": "A"}, {"?q"}),
            ("stock", {"occurred_from": "2026-01-01T00:00:00Z"}, {"?occurred_from"}),
            ("movements", {"lot": "A", "status": "active"}, {"?lot", "?status"}),
        ],
    )
    async def test_a_filter_of_another_list_is_named(
        self, client: AsyncClient, unchanged: Unchanged, kind: str, query: dict[str, str], names: set[str]
    ) -> None:
        async with unchanged():
            refused = await client.post("/v1/exports", params={"kind": kind, **query})
            assert pointers(refused) == names
            assert {error["code"] for error in refused.json()["errors"]} == {"not_for_kind"}

    async def test_what_matches_nothing_is_a_file_without_rows(self, client: AsyncClient) -> None:
        for form, (_, rows_of) in FORMATS.items():
            query = {"kind": "stock", "format": form, "product_id": str(uuid4())}
            task = await done(client, await client.post("/v1/exports", params=query))
            assert rows_of((await client.get(task["result_url"])).content) == []


async def whole_list(client: AsyncClient, path: str, query: dict[str, str]) -> Rows:
    rows: Rows = []
    page = await client.get(path, params={**query, "limit": "1000"})
    while True:
        rows += page.json()["data"]
        if not page.json()["has_more"]:
            return rows
        page = await client.get(page.links["next"]["url"])


async def test_every_role_exports(client_as: ClientAs, records: Records) -> None:
    for role in Role:
        client = await client_as(role)
        assert len(await exported(client, "stock", product_id=records.product["id"])) == 1


@pytest.mark.parametrize("query", ["", "kind=", "kind=tasks", "kind=stock&format=pdf", "kind=stock&format="])
async def test_another_kind_or_format_is_named(client: AsyncClient, unchanged: Unchanged, query: str) -> None:
    async with unchanged():
        found = pointers(await client.post(f"/v1/exports?{query}"))
        assert found == ({"?format"} if "format" in query else {"?kind"})


async def test_a_key_is_for_one_export(client: AsyncClient) -> None:
    key = new_key()
    query = {"kind": "stock", "sku": new_code()}
    first = await client.post("/v1/exports", params=query, headers=key)
    for other in ({**query, "sku": "x"}, {**query, "format": "ndjson"}, {**query, "kind": "movements"}):
        problem(await client.post("/v1/exports", params=other, headers=key), 422, "idempotency_key_reused")
    again = await client.post("/v1/exports", params=query, headers=key)
    assert accepted(again) == accepted(first)


async def test_cells_that_a_spreadsheet_would_run_are_made_harmless(client: AsyncClient) -> None:
    word = new_code("word").replace("-", "")
    await new_product(client, name=f"=HYPERLINK(1) {word}")
    task = await done(client, await client.post("/v1/exports", params={"kind": "products", "q": word}))
    (row,) = from_csv((await client.get(task["result_url"])).content)
    assert row["name"] == f"'=HYPERLINK(1) {word}"
