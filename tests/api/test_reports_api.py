"""Reports over HTTP; what stands in them is tested in tests/contract/test_report_scenarios.py."""

import csv
import io
from collections.abc import Mapping
from typing import Any

import pytest
from httpx import AsyncClient

from tests.api.answers import pointers, problem
from tests.api.calls import RANGE, Json, Records, accepted, done, made, new_key, new_records
from tests.api.conftest import Unchanged
from tests.conftest import ClientAs
from warehouse.auth.model import Role

BODIES: Mapping[str, Json] = {
    "stock_as_of": {},
    "movement_summary": {"from": "2026-01-01T00:00:00Z"},
    "low_stock": {},
    "stock_ageing": {},
    "abc_analysis": {"from": "2026-01-01T00:00:00Z"},
    "dead_stock": {},
}


@pytest.fixture(scope="module")
async def records(client: AsyncClient) -> Records:
    """10 came in and 2 were shipped of a product whose reorder point is 20."""
    records = await new_records(client)
    await made(client, "/v1/stock/shipments", {"lines": [records.line]})
    return records


async def report(client: AsyncClient, name: str, body: Json, **query: str) -> Any:
    response = await client.post(f"/v1/reports/{name}", params=query, json=body, headers=new_key())
    assert accepted(response)["kind"] == f"report_{name}"
    task = await done(client, response)
    return await client.get(task["result_url"])


@pytest.mark.parametrize("name", BODIES)
async def test_a_report_comes_as_json_and_as_csv(client: AsyncClient, records: Records, name: str) -> None:
    body = {**BODIES[name], "warehouse_id": records.warehouse["id"]}
    as_json = await report(client, name, body)
    assert as_json.headers["content-type"] == "application/json"
    assert as_json.headers["content-disposition"] == f'attachment; filename="{name}.json"'
    found = as_json.json()
    assert found.keys() == {"report", "parameters", "as_of", "rows", "summary"}
    assert (found["report"], found["summary"]["rows"]) == (name, len(found["rows"]))
    assert found["parameters"]["warehouse_id"] == records.warehouse["id"]
    as_csv = await report(client, name, body, format="csv")
    assert as_csv.headers["content-type"] == "text/csv; charset=utf-8"
    rows = list(csv.DictReader(io.StringIO(as_csv.content.decode("utf-8-sig"))))
    assert len(rows) == len(found["rows"])
    if name != "dead_stock":  # it went out today
        assert records.product["sku"] in [row.get("sku", records.product["sku"]) for row in rows]


async def test_a_report_tells_what_is_there(client: AsyncClient, records: Records) -> None:
    body = {"product_id": records.product["id"]}
    (row,) = (await report(client, "stock_as_of", body)).json()["rows"]
    assert (row["sku"], row["on_hand"]) == (records.product["sku"], 8)
    (row,) = (await report(client, "low_stock", {"warehouse_id": records.warehouse["id"]})).json()["rows"]
    assert (row["sku"], row["available"], row["reorder_point"]) == (records.product["sku"], 8, 20)


async def test_every_role_asks_for_reports(client_as: ClientAs, records: Records) -> None:
    for role in Role:
        found = await report(await client_as(role), "stock_as_of", {"product_id": records.product["id"]})
        assert len(found.json()["rows"]) == 1


@pytest.mark.parametrize(
    ("name", "body", "found"),
    [
        ("movement_summary", {"from": RANGE["to"], "to": RANGE["from"]}, "/to"),
        ("abc_analysis", {"from": RANGE["to"], "to": RANGE["from"]}, "/to"),
        ("abc_analysis", {**RANGE, "a_percent": 90, "b_percent": 80}, "/b_percent"),
        ("abc_analysis", {**RANGE, "by": "weight"}, "/by"),
        ("movement_summary", {}, "/from"),
        ("movement_summary", {"from": "2126-01-01T00:00:00Z"}, "/from"),
        ("movement_summary", {"from": "2026-01-01T00:00:00"}, "/from"),
        ("stock_as_of", {"as_of": "2126-01-01T00:00:00Z"}, "/as_of"),
        ("stock_as_of", {"clock": "wall"}, "/clock"),
        ("stock_ageing", {"buckets": [30, 30]}, "/buckets"),
        ("stock_ageing", {"buckets": []}, "/buckets"),
        ("low_stock", {"outflow_days": 0}, "/outflow_days"),
        ("dead_stock", {"idle_days": 1.5}, "/idle_days"),
        ("dead_stock", {"colour": "red"}, "/colour"),
    ],
)
async def test_what_makes_no_sense_is_named(
    client: AsyncClient, unchanged: Unchanged, name: str, body: Json, found: str
) -> None:
    async with unchanged():
        assert pointers(await client.post(f"/v1/reports/{name}", json=body)) == {found}


async def test_another_report_or_format_is_refused(client: AsyncClient, unchanged: Unchanged) -> None:
    async with unchanged():
        problem(await client.post("/v1/reports/fortune", json={}), 404, "not_found")
        assert pointers(await client.post("/v1/reports/low_stock?format=xlsx", json={})) == {"?format"}


async def test_a_key_is_for_one_report(client: AsyncClient) -> None:
    key = new_key()
    first = await client.post("/v1/reports/low_stock", json={"outflow_days": 3}, headers=key)
    again = await client.post("/v1/reports/low_stock", json={"outflow_days": 3}, headers=key)
    assert (again.content, again.headers["idempotent-replayed"]) == (first.content, "true")
    for path, body in (("low_stock", {"outflow_days": 4}), ("low_stock?format=csv", {"outflow_days": 3})):
        refused = await client.post(f"/v1/reports/{path}", json=body, headers=key)
        problem(refused, 422, "idempotency_key_reused")
