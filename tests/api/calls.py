"""A request of each operation that the service answers with success."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any
from uuid import uuid4

from httpx import AsyncClient, Response

from tests.api.document import OPERATIONS, Operation

Json = dict[str, Any]
TASK_SECONDS = 60


@dataclass(frozen=True)
class Call:
    """A request of an operation. `ids` are the values of the path's parameters."""

    operation: Operation
    ids: Mapping[str, str] = field(default_factory=dict)
    json: Any = None
    files: Any = None
    headers: Mapping[str, str] = field(default_factory=dict)
    query: Mapping[str, str] = field(default_factory=dict)

    @property
    def path(self) -> str:
        return self.operation.path.format(**self.ids)

    async def send(self, client: AsyncClient, **changes: Any) -> Response:
        """With `changes` to what httpx is given: `content`, `headers`, `params`… (a text goes out as it is)."""
        options = {"headers": self.headers, "params": self.query or None, **changes}
        if "content" not in changes:
            given = {"json": self.json, "files": self.files}
            options |= {name: value for name, value in given.items() if value is not None}
        path = self.path
        if isinstance(options["params"], str):
            # httpx would decode and encode it, and so mend it.
            path = f"{path}?{options.pop('params')}"
        return await client.request(self.operation.method, path, **options)

    def but(self, **changes: Any) -> "Call":
        return replace(self, **changes)

    def with_new_key(self) -> "Call":
        """Another command, where it is one."""
        if "Idempotency-Key" not in self.headers:
            return self
        return replace(self, headers={**self.headers, **new_key()})


def new_key() -> dict[str, str]:
    return {"Idempotency-Key": str(uuid4())}


def new_code(start: str = "C") -> str:
    return f"{start}-{uuid4().hex[:12]}"


async def made(client: AsyncClient, path: str, body: Json) -> Json:
    """What a POST makes."""
    response = await client.post(path, json=body, headers=new_key())
    assert response.status_code == 201, response.text
    answer: Json = response.json()
    return answer


@dataclass(frozen=True)
class Records:
    """A product without and one with lots, two locations of a warehouse, and 10 of the product at the first."""

    product: Json
    tracked: Json
    warehouse: Json
    location: Json
    other_location: Json
    receipt: Json

    @property
    def line(self) -> Json:
        return {"sku": self.product["sku"], "location_id": self.location["id"], "quantity": 2}

    @property
    def lot_line(self) -> Json:
        return {"sku": self.tracked["sku"], "location_id": self.location["id"], "lot": "L-1", "quantity": 2}


async def new_product(client: AsyncClient, **fields: Any) -> Json:
    return await made(client, "/v1/products", {"sku": new_code("SKU"), "name": "Rye bread", **fields})


async def new_warehouse(client: AsyncClient, **fields: Any) -> Json:
    return await made(client, "/v1/warehouses", {"code": new_code("W"), "name": "Harbour", **fields})


async def new_location(client: AsyncClient, warehouse: Json, **fields: Any) -> Json:
    return await made(client, f"/v1/warehouses/{warehouse['id']}/locations", {"code": new_code("L"), **fields})


async def new_records(client: AsyncClient) -> Records:
    product, tracked = await new_product(client, reorder_point=20), await new_product(client, tracking="lot")
    warehouse = await new_warehouse(client)
    location, other = await new_location(client, warehouse), await new_location(client, warehouse)
    received = {"sku": product["sku"], "location_id": location["id"], "quantity": 10}
    return Records(
        product, tracked, warehouse, location, other, await made(client, "/v1/stock/receipts", {"lines": [received]})
    )


async def new_reservation(client: AsyncClient, records: Records) -> Json:
    return await made(client, "/v1/reservations", {"lines": [records.line]})


async def new_task(client: AsyncClient) -> Json:
    """One that waits: nobody does the tasks of the short queue."""
    body = {"products": [{"sku": new_code("SKU"), "name": "Rye bread"}]}
    response = await client.post("/v1/products/batch", json=body, headers={"Prefer": "respond-async"})
    return accepted(response)


def accepted(response: Response) -> Json:
    """The task that a request became."""
    assert response.status_code == 202, response.text
    task: Json = response.json()
    return task


async def read_task(client: AsyncClient, task: Json) -> Json:
    response = await client.get(f"/v1/tasks/{task['id']}")
    assert response.status_code == 200, response.text
    read: Json = response.json()
    return read


async def looked_at(client: AsyncClient, task: Json, until: Callable[[Json], bool]) -> Json:
    """The task when it is as it should be."""
    async with asyncio.timeout(TASK_SECONDS):
        while True:
            task = await read_task(client, task)
            if until(task):
                return task
            await asyncio.sleep(0.02)


async def ended(client: AsyncClient, task: Json) -> Json:
    """The task when it has ended."""
    return await looked_at(client, task, lambda task: task["status"] not in ("queued", "running"))


async def done(client: AsyncClient, response: Response) -> Json:
    """The task that a request became, when it has succeeded."""
    task = await ended(client, accepted(response))
    assert task["status"] == "succeeded", task
    return task


async def new_call(client: AsyncClient, name: str) -> Call:
    """A request of the operation, with all that it stands on. `client` needs an admin's key."""
    return Call(OPERATIONS[name], **await _MAKERS[name](client))


async def new_list(client: AsyncClient, name: str) -> Call:
    """A request of a list with at least four records in it."""
    return Call(OPERATIONS[name], **await _LISTS[name](client))


Given = dict[str, Any]
"""The fields of a `Call`, but for its operation."""
_Maker = Callable[[AsyncClient], Awaitable[Given]]
_MAKERS: dict[str, _Maker] = {}


def _makes(maker: _Maker) -> _Maker:
    """The function is named after its operation."""
    _MAKERS[maker.__name__] = maker
    return maker


def _command(body: Json, **ids: str) -> Given:
    return {"ids": ids, "json": body, "headers": new_key()}


def _list(**query: str) -> Given:
    return {"query": query}


def _change(record: Json, body: Json | None, parameter: str) -> Given:
    return {"ids": {parameter: record["id"]}, "json": body, "headers": {"If-Match": "*"}}


@_makes
async def list_products(client: AsyncClient) -> Given:
    product = await new_product(client)
    return _list(q=product["sku"])


@_makes
async def get_product(client: AsyncClient) -> Given:
    return {"ids": {"product_id": (await new_product(client))["id"]}}


@_makes
async def get_product_by_sku(client: AsyncClient) -> Given:
    return {"ids": {"sku": (await new_product(client))["sku"]}}


@_makes
async def get_product_snapshot(client: AsyncClient) -> Given:
    await new_product(client)
    return {}


def product_body() -> Json:
    return {
        "sku": new_code("SKU"),
        "name": "Rye bread",
        "description": "Dark.\nSliced.",
        "category": "Bakery",
        "unit": "each",
        "barcodes": ["4006381333931"],
        "reorder_point": 5,
        "tracking": "none",
        "negative_stock": "forbid",
        "attributes": {"organic": True, "grams": 500, "fat": 1.5, "colour": "brown"},
        "status": "active",
    }


@_makes
async def create_product(client: AsyncClient) -> Given:
    return _command(product_body())


@_makes
async def update_product(client: AsyncClient) -> Given:
    body = {name: value for name, value in product_body().items() if name != "tracking"}
    return _change(await new_product(client), body, "product_id")


@_makes
async def delete_product(client: AsyncClient) -> Given:
    return _change(await new_product(client), None, "product_id")


@_makes
async def upsert_products(client: AsyncClient) -> Given:
    rows = [product_body(), {"sku": (await new_product(client))["sku"], "name": "Oat bread"}]
    return _command({"products": rows})


@_makes
async def list_warehouses(client: AsyncClient) -> Given:
    await new_warehouse(client)
    return _list()


@_makes
async def get_warehouse(client: AsyncClient) -> Given:
    return {"ids": {"warehouse_id": (await new_warehouse(client))["id"]}}


def warehouse_body() -> Json:
    return {"code": new_code("W"), "name": "Harbour", "address": "Quay 2\n20457 Hamburg", "status": "active"}


@_makes
async def create_warehouse(client: AsyncClient) -> Given:
    return _command(warehouse_body())


@_makes
async def update_warehouse(client: AsyncClient) -> Given:
    return _change(await new_warehouse(client), warehouse_body(), "warehouse_id")


@_makes
async def delete_warehouse(client: AsyncClient) -> Given:
    return _change(await new_warehouse(client), None, "warehouse_id")


@_makes
async def list_locations(client: AsyncClient) -> Given:
    warehouse = await new_warehouse(client)
    await new_location(client, warehouse)
    return {"ids": {"warehouse_id": warehouse["id"]}}


@_makes
async def get_location(client: AsyncClient) -> Given:
    location = await new_location(client, await new_warehouse(client))
    return {"ids": {"location_id": location["id"]}}


@_makes
async def create_location(client: AsyncClient) -> Given:
    warehouse = await new_warehouse(client)
    parent = await new_location(client, warehouse)
    body = {"code": new_code("L"), "name": "Aisle 3", "kind": "storage", "parent_id": parent["id"]}
    return _command(body, warehouse_id=warehouse["id"])


@_makes
async def update_location(client: AsyncClient) -> Given:
    warehouse = await new_warehouse(client)
    location, parent = await new_location(client, warehouse), await new_location(client, warehouse)
    body = {"code": new_code("L"), "name": "Aisle 3", "kind": "receiving", "parent_id": parent["id"]}
    return _change(location, body, "location_id")


@_makes
async def delete_location(client: AsyncClient) -> Given:
    location = await new_location(client, await new_warehouse(client))
    return _change(location, None, "location_id")


@_makes
async def list_balances(client: AsyncClient) -> Given:
    records = await new_records(client)
    return _list(product_id=records.product["id"])


@_makes
async def get_stock_summary(client: AsyncClient) -> Given:
    return {"ids": {"product_id": (await new_records(client)).product["id"]}}


@_makes
async def list_movements(client: AsyncClient) -> Given:
    records = await new_records(client)
    return _list(product_id=records.product["id"])


def header() -> Json:
    """What every stock command may say beside its lines."""
    return {"reference": "PO-4711", "reason": "usual", "occurred_at": "2026-01-02T03:04:05.678901Z", "dry_run": False}


@_makes
async def receive_stock(client: AsyncClient) -> Given:
    records = await new_records(client)
    return _command({**header(), "lines": [records.line, {**records.lot_line, "expires_on": "2031-12-24"}]})


@_makes
async def ship_stock(client: AsyncClient) -> Given:
    return _command({**header(), "lines": [(await new_records(client)).line]})


@_makes
async def adjust_stock(client: AsyncClient) -> Given:
    records = await new_records(client)
    lines = [{**records.line, "quantity": -1}, {**records.lot_line, "expires_on": "2031-12-24"}]
    return _command({**header(), "lines": lines})


@_makes
async def count_stock(client: AsyncClient) -> Given:
    records = await new_records(client)
    place = {"product_id": records.product["id"], "location_id": records.location["id"]}
    return _command({**header(), "lines": [{**place, "on_hand": 7, "expected_on_hand": 10}]})


@_makes
async def transfer_stock(client: AsyncClient) -> Given:
    records = await new_records(client)
    line = {
        "sku": records.product["sku"],
        "from_location_id": records.location["id"],
        "to_location_id": records.other_location["id"],
        "quantity": 3,
    }
    return _command({**header(), "lines": [line]})


@_makes
async def reverse_command(client: AsyncClient) -> Given:
    records = await new_records(client)
    return _command({**header(), "command_id": records.receipt["command_id"]})


@_makes
async def get_integrity(client: AsyncClient) -> Given:
    await new_records(client)
    return {}


@_makes
async def list_reservations(client: AsyncClient) -> Given:
    await new_reservation(client, await new_records(client))
    return _list()


@_makes
async def get_reservation(client: AsyncClient) -> Given:
    reservation = await new_reservation(client, await new_records(client))
    return {"ids": {"reservation_id": reservation["id"]}}


@_makes
async def create_reservation(client: AsyncClient) -> Given:
    body = {"reference": "SO-1", "reason": "order", "dry_run": False, "expires_in": 60}
    return _command({**body, "lines": [(await new_records(client)).line]})


async def _on_a_reservation(client: AsyncClient, body: Json | None) -> Given:
    reservation = await new_reservation(client, await new_records(client))
    return {"ids": {"reservation_id": reservation["id"]}, "json": body, "headers": new_key()}


@_makes
async def confirm_reservation(client: AsyncClient) -> Given:
    return await _on_a_reservation(client, None)


@_makes
async def release_reservation(client: AsyncClient) -> Given:
    return await _on_a_reservation(client, None)


@_makes
async def extend_reservation(client: AsyncClient) -> Given:
    return await _on_a_reservation(client, {"expires_in": 3600})


@_makes
async def list_tasks(client: AsyncClient) -> Given:
    await new_task(client)
    return _list()


async def _on_a_task(client: AsyncClient, **given: Any) -> Given:
    return {"ids": {"task_id": (await new_task(client))["id"]}, **given}


@_makes
async def get_task(client: AsyncClient) -> Given:
    return await _on_a_task(client)


@_makes
async def follow_task(client: AsyncClient) -> Given:
    task = await new_task(client)
    await client.post(f"/v1/tasks/{task['id']}/cancel")
    return {"ids": {"task_id": task["id"]}}


@_makes
async def get_task_result(client: AsyncClient) -> Given:
    export = await client.post("/v1/exports", params={"kind": "products", "q": new_code()})
    return {"ids": {"task_id": (await done(client, export))["id"]}}


@_makes
async def cancel_task(client: AsyncClient) -> Given:
    return await _on_a_task(client, headers=new_key())


@_makes
async def retry_task(client: AsyncClient) -> Given:
    task = await new_task(client)
    await client.post(f"/v1/tasks/{task['id']}/cancel")
    return {"ids": {"task_id": task["id"]}, "headers": new_key()}


def form(name: str, *lines: str) -> Json:
    """The one part of a form: a file."""
    return {"file": (name, "\n".join(lines).encode(), "text/csv")}


@_makes
async def create_import(client: AsyncClient) -> Given:
    file = form("movements.csv", "timestamp,type,sku,location,qty", f"2026-01-02T03:04:05Z,receipt,{new_code()},L,1")
    # A rehearsal, for whoever looks next that nothing changes.
    return {"query": {"kind": "movements", "dry_run": "true"}, "files": file, "headers": new_key()}


@_makes
async def get_task_errors(client: AsyncClient) -> Given:
    given = await create_import(client)
    response = await client.post("/v1/imports", params=given["query"], files=given["files"])
    return {"ids": {"task_id": (await done(client, response))["id"]}}


@_makes
async def create_export(client: AsyncClient) -> Given:
    return {"query": {"kind": "products", "format": "ndjson", "q": new_code()}, "headers": new_key()}


async def _report(client: AsyncClient, **body: Any) -> Given:
    warehouse = await new_warehouse(client)
    return _command({**body, "warehouse_id": warehouse["id"]})


RANGE: Json = {"from": "2026-01-01T00:00:00Z", "to": "2026-02-01T00:00:00Z"}


@_makes
async def report_stock_as_of(client: AsyncClient) -> Given:
    product = await new_product(client)
    more = {"clock": "recorded", "product_id": product["id"], "include_zero": True}
    return await _report(client, as_of="2026-01-02T03:04:05.678901Z", **more)


@_makes
async def report_movement_summary(client: AsyncClient) -> Given:
    return await _report(client, **RANGE, product_id=(await new_product(client))["id"])


@_makes
async def report_low_stock(client: AsyncClient) -> Given:
    return await _report(client, outflow_days=7, by_warehouse=True)


@_makes
async def report_stock_ageing(client: AsyncClient) -> Given:
    return await _report(client, buckets=[7, 30], expiring_days=14)


@_makes
async def report_abc_analysis(client: AsyncClient) -> Given:
    return await _report(client, **RANGE, by="movements", a_percent=70, b_percent=90)


@_makes
async def report_dead_stock(client: AsyncClient) -> Given:
    return await _report(client, idle_days=30, by_warehouse=False)


def key_body() -> Json:
    return {"name": "Scanner", "role": "viewer", "expires_at": "2101-01-01T00:00:00Z"}


@_makes
async def list_api_keys(client: AsyncClient) -> Given:
    return _list()


@_makes
async def create_api_key(client: AsyncClient) -> Given:
    return _command(key_body())


@_makes
async def rotate_api_key(client: AsyncClient) -> Given:
    key = await made(client, "/v1/api-keys", key_body())
    return {"ids": {"key_id": key["id"]}, "headers": new_key()}


@_makes
async def revoke_api_key(client: AsyncClient) -> Given:
    key = await made(client, "/v1/api-keys", key_body())
    return {"ids": {"key_id": key["id"]}}


@_makes
async def list_breakers(client: AsyncClient) -> Given:
    return {}


@_makes
async def order_breaker(client: AsyncClient) -> Given:
    return {"ids": {"name": "queue"}, "json": {"order": "auto", "seconds": 1}}


@_makes
async def livez(client: AsyncClient) -> Given:
    return {}


@_makes
async def readyz(client: AsyncClient) -> Given:
    return {}


async def _several_products(client: AsyncClient) -> Given:
    word = new_code("word").replace("-", "")
    for number in range(5):
        await new_product(client, name=f"{word} {number}")
    return {"query": {"q": word}}


async def _several_warehouses(client: AsyncClient) -> Given:
    for _ in range(4):
        await new_warehouse(client)
    return {}


async def _several_locations(client: AsyncClient) -> Given:
    warehouse = await new_warehouse(client)
    for _ in range(5):
        await new_location(client, warehouse)
    return {"ids": {"warehouse_id": warehouse["id"]}}


async def _several_lots(client: AsyncClient) -> Given:
    records = await new_records(client)
    for number in range(5):
        await made(client, "/v1/stock/receipts", {"lines": [{**records.lot_line, "lot": f"L-{number}"}]})
    return {"query": {"product_id": records.tracked["id"]}}


async def _several_reservations(client: AsyncClient) -> Given:
    records, reference = await new_records(client), new_code("SO")
    for _ in range(5):
        await made(client, "/v1/reservations", {"reference": reference, "lines": [records.line]})
    return {"query": {"reference": reference}}


async def _several_tasks(client: AsyncClient) -> Given:
    for _ in range(5):
        await new_task(client)
    return {"query": {"kind": "upsert_products"}}


async def _several_keys(client: AsyncClient) -> Given:
    for _ in range(4):
        await new_call(client, "revoke_api_key")
    return {}


_LISTS: Mapping[str, _Maker] = {
    "list_products": _several_products,
    "list_warehouses": _several_warehouses,
    "list_locations": _several_locations,
    "list_balances": _several_lots,
    "list_movements": _several_lots,
    "list_reservations": _several_reservations,
    "list_tasks": _several_tasks,
    "list_api_keys": _several_keys,
}
