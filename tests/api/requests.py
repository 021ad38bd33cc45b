"""A request of each operation that the service answers with success."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any
from uuid import uuid4

from httpx import AsyncClient, Response

from tests.api.document import OPERATIONS, Operation

Json = dict[str, Any]


@dataclass(frozen=True)
class Call:
    """A request of an operation. `ids` are the values of the path's parameters."""

    operation: Operation
    ids: Mapping[str, str] = field(default_factory=dict)
    json: Any = None
    headers: Mapping[str, str] = field(default_factory=dict)
    query: Mapping[str, str] = field(default_factory=dict)

    @property
    def path(self) -> str:
        return self.operation.path.format(**self.ids)

    async def send(self, client: AsyncClient, **more: Any) -> Response:
        """With `more` in place of what httpx would be given: `content`, `headers`, `params`…"""
        body = {} if self.json is None else {"json": self.json}
        options = {"headers": self.headers, "params": self.query or None, **body, **more}
        if "content" in more:
            options.pop("json", None)
        return await client.request(self.operation.method, self.path, **options)

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
    return Records(product, tracked, warehouse, location, other, await made(client, "/v1/stock/receipts", {"lines": [received]}))


async def new_reservation(client: AsyncClient, records: Records) -> Json:
    return await made(client, "/v1/reservations", {"lines": [records.line]})


async def new_call(client: AsyncClient, name: str) -> Call:
    """A request of the operation, with all that it stands on. `client` needs an admin's key."""
    return await _CALLS[name](client)


_Maker = Callable[[AsyncClient], Awaitable[Call]]
_CALLS: dict[str, _Maker] = {}


def _call_of(maker: _Maker) -> _Maker:
    """The function is named after its operation."""
    _CALLS[maker.__name__] = maker
    return maker


def _command(name: str, body: Json) -> Call:
    return Call(OPERATIONS[name], json=body, headers=new_key())


def _list(name: str, **query: str) -> Call:
    return Call(OPERATIONS[name], query=query)


def _change(name: str, record: Json, body: Json | None, parameter: str) -> Call:
    return Call(OPERATIONS[name], {parameter: record["id"]}, body, {"If-Match": "*"})


@_call_of
async def list_products(client: AsyncClient) -> Call:
    product = await new_product(client)
    return _list("list_products", q=product["sku"])


@_call_of
async def get_product(client: AsyncClient) -> Call:
    return Call(OPERATIONS["get_product"], {"product_id": (await new_product(client))["id"]})


@_call_of
async def get_product_by_sku(client: AsyncClient) -> Call:
    return Call(OPERATIONS["get_product_by_sku"], {"sku": (await new_product(client))["sku"]})


@_call_of
async def get_product_snapshot(client: AsyncClient) -> Call:
    await new_product(client)
    return Call(OPERATIONS["get_product_snapshot"])


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


@_call_of
async def create_product(client: AsyncClient) -> Call:
    return _command("create_product", product_body())


@_call_of
async def update_product(client: AsyncClient) -> Call:
    body = {name: value for name, value in product_body().items() if name != "tracking"}
    return _change("update_product", await new_product(client), body, "product_id")


@_call_of
async def delete_product(client: AsyncClient) -> Call:
    return _change("delete_product", await new_product(client), None, "product_id")


@_call_of
async def upsert_products(client: AsyncClient) -> Call:
    rows = [product_body(), {"sku": (await new_product(client))["sku"], "name": "Oat bread"}]
    return _command("upsert_products", {"products": rows})


@_call_of
async def list_warehouses(client: AsyncClient) -> Call:
    await new_warehouse(client)
    return _list("list_warehouses")


@_call_of
async def get_warehouse(client: AsyncClient) -> Call:
    return Call(OPERATIONS["get_warehouse"], {"warehouse_id": (await new_warehouse(client))["id"]})


def warehouse_body() -> Json:
    return {"code": new_code("W"), "name": "Harbour", "address": "Quay 2\n20457 Hamburg", "status": "active"}


@_call_of
async def create_warehouse(client: AsyncClient) -> Call:
    return _command("create_warehouse", warehouse_body())


@_call_of
async def update_warehouse(client: AsyncClient) -> Call:
    return _change("update_warehouse", await new_warehouse(client), warehouse_body(), "warehouse_id")


@_call_of
async def delete_warehouse(client: AsyncClient) -> Call:
    return _change("delete_warehouse", await new_warehouse(client), None, "warehouse_id")


@_call_of
async def list_locations(client: AsyncClient) -> Call:
    warehouse = await new_warehouse(client)
    await new_location(client, warehouse)
    return Call(OPERATIONS["list_locations"], {"warehouse_id": warehouse["id"]})


@_call_of
async def get_location(client: AsyncClient) -> Call:
    location = await new_location(client, await new_warehouse(client))
    return Call(OPERATIONS["get_location"], {"location_id": location["id"]})


@_call_of
async def create_location(client: AsyncClient) -> Call:
    warehouse = await new_warehouse(client)
    parent = await new_location(client, warehouse)
    body = {"code": new_code("L"), "name": "Aisle 3", "kind": "storage", "parent_id": parent["id"]}
    return _command("create_location", body).but(ids={"warehouse_id": warehouse["id"]})


@_call_of
async def update_location(client: AsyncClient) -> Call:
    warehouse = await new_warehouse(client)
    location, parent = await new_location(client, warehouse), await new_location(client, warehouse)
    body = {"code": new_code("L"), "name": "Aisle 3", "kind": "receiving", "parent_id": parent["id"]}
    return _change("update_location", location, body, "location_id")


@_call_of
async def delete_location(client: AsyncClient) -> Call:
    location = await new_location(client, await new_warehouse(client))
    return _change("delete_location", location, None, "location_id")


@_call_of
async def list_balances(client: AsyncClient) -> Call:
    records = await new_records(client)
    return _list("list_balances", product_id=records.product["id"])


@_call_of
async def get_stock_summary(client: AsyncClient) -> Call:
    return Call(OPERATIONS["get_stock_summary"], {"product_id": (await new_records(client)).product["id"]})


@_call_of
async def list_movements(client: AsyncClient) -> Call:
    records = await new_records(client)
    return _list("list_movements", product_id=records.product["id"])


def header() -> Json:
    """What every stock command may say beside its lines."""
    return {"reference": "PO-4711", "reason": "usual", "occurred_at": "2026-01-02T03:04:05.678901Z", "dry_run": False}


@_call_of
async def receive_stock(client: AsyncClient) -> Call:
    records = await new_records(client)
    return _command(
        "receive_stock", {**header(), "lines": [records.line, {**records.lot_line, "expires_on": "2031-12-24"}]}
    )


@_call_of
async def ship_stock(client: AsyncClient) -> Call:
    return _command("ship_stock", {**header(), "lines": [(await new_records(client)).line]})


@_call_of
async def adjust_stock(client: AsyncClient) -> Call:
    records = await new_records(client)
    lines = [{**records.line, "quantity": -1}, {**records.lot_line, "expires_on": "2031-12-24"}]
    return _command("adjust_stock", {**header(), "lines": lines})


@_call_of
async def count_stock(client: AsyncClient) -> Call:
    records = await new_records(client)
    place = {"product_id": records.product["id"], "location_id": records.location["id"]}
    return _command("count_stock", {**header(), "lines": [{**place, "on_hand": 7, "expected_on_hand": 10}]})


@_call_of
async def transfer_stock(client: AsyncClient) -> Call:
    records = await new_records(client)
    line = {
        "sku": records.product["sku"],
        "from_location_id": records.location["id"],
        "to_location_id": records.other_location["id"],
        "quantity": 3,
    }
    return _command("transfer_stock", {**header(), "lines": [line]})


@_call_of
async def reverse_command(client: AsyncClient) -> Call:
    records = await new_records(client)
    return _command("reverse_command", {**header(), "command_id": records.receipt["command_id"]})


@_call_of
async def get_integrity(client: AsyncClient) -> Call:
    await new_records(client)
    return Call(OPERATIONS["get_integrity"])


@_call_of
async def list_reservations(client: AsyncClient) -> Call:
    await new_reservation(client, await new_records(client))
    return _list("list_reservations")


@_call_of
async def get_reservation(client: AsyncClient) -> Call:
    reservation = await new_reservation(client, await new_records(client))
    return Call(OPERATIONS["get_reservation"], {"reservation_id": reservation["id"]})


@_call_of
async def create_reservation(client: AsyncClient) -> Call:
    body = {"reference": "SO-1", "reason": "order", "dry_run": False, "expires_in": 60}
    return _command("create_reservation", {**body, "lines": [(await new_records(client)).line]})


async def _on_a_reservation(client: AsyncClient, name: str, body: Json | None) -> Call:
    reservation = await new_reservation(client, await new_records(client))
    return Call(OPERATIONS[name], {"reservation_id": reservation["id"]}, body, new_key())


@_call_of
async def confirm_reservation(client: AsyncClient) -> Call:
    return await _on_a_reservation(client, "confirm_reservation", None)


@_call_of
async def release_reservation(client: AsyncClient) -> Call:
    return await _on_a_reservation(client, "release_reservation", None)


@_call_of
async def extend_reservation(client: AsyncClient) -> Call:
    return await _on_a_reservation(client, "extend_reservation", {"expires_in": 3600})


def key_body() -> Json:
    return {"name": "Scanner", "role": "viewer", "expires_at": "2101-01-01T00:00:00Z"}


@_call_of
async def list_api_keys(client: AsyncClient) -> Call:
    return _list("list_api_keys")


@_call_of
async def create_api_key(client: AsyncClient) -> Call:
    return _command("create_api_key", key_body())


@_call_of
async def rotate_api_key(client: AsyncClient) -> Call:
    key = await made(client, "/v1/api-keys", key_body())
    return Call(OPERATIONS["rotate_api_key"], {"key_id": key["id"]}, None, new_key())


@_call_of
async def revoke_api_key(client: AsyncClient) -> Call:
    key = await made(client, "/v1/api-keys", key_body())
    return Call(OPERATIONS["revoke_api_key"], {"key_id": key["id"]})


@_call_of
async def livez(client: AsyncClient) -> Call:
    return Call(OPERATIONS["livez"])


@_call_of
async def readyz(client: AsyncClient) -> Call:
    return Call(OPERATIONS["readyz"])
