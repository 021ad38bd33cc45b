"""A walk over all operations. What each answers is held against the document by the client's hook (contract.py); here
each is made to answer all that the document says it may, and to keep the conventions that all of them share."""

import re
from collections.abc import Awaitable, Callable, Mapping
from typing import Any
from urllib.parse import quote
from uuid import uuid4

import pytest
from httpx import AsyncClient, Response

from tests.api.answers import problem
from tests.api.calls import (
    Call,
    Json,
    Records,
    made,
    new_call,
    new_code,
    new_key,
    new_list,
    new_records,
    new_reservation,
)
from tests.api.conftest import MAX_UPLOAD
from tests.api.contract import Contract
from tests.api.document import OPERATIONS, Operation
from tests.conftest import ClientAs
from warehouse.auth.model import Role
from warehouse.settings import LimitSettings

OURS = {429, 500, 503}
"""Failures of the server, which tests/faults brings about."""
MAX_BODY = LimitSettings().body_bytes
JSON = {"Content-Type": "application/json"}

Provoke = Callable[[AsyncClient, Call], Awaitable[Response]]


async def _malformed(client: AsyncClient, call: Call) -> Response:
    if call.operation.body is not None:
        return await call.send(client, content=b'{"lines": [', headers={**call.headers, **JSON})
    if "If-Match" in call.headers:
        return await call.send(client, headers={"If-Match": "garbage"})
    if "Idempotency-Key" in call.headers:
        return await call.send(client, headers={"Idempotency-Key": "x" * 256})
    return await call.send(client, params={"cursor": "garbage"})


async def _of_nothing(client: AsyncClient, call: Call) -> Response:
    return await call.but(ids=dict.fromkeys(call.ids, str(uuid4()))).send(client)


async def _stale(client: AsyncClient, call: Call) -> Response:
    tag = (await client.get(call.path)).headers["etag"]
    return await call.send(client, headers={"If-Match": f'{tag[:-1]}7"'})


async def _known(client: AsyncClient, call: Call) -> Response:
    tag = (await call.send(client)).headers["etag"]
    return await call.send(client, headers={"If-None-Match": tag})


async def _too_large(client: AsyncClient, call: Call) -> Response:
    if call.operation.takes_upload:
        headers = {**call.headers, "Content-Type": "text/csv"}
        return await call.send(client, content=bytes(MAX_UPLOAD + 1), headers=headers)
    return await call.send(client, content=b" " * (MAX_BODY + 1), headers={**call.headers, **JSON})


async def _refusing_identity(client: AsyncClient, call: Call) -> Response:
    return await call.send(client, headers={**call.headers, "Accept-Encoding": "identity;q=0"})


async def _as_text(client: AsyncClient, call: Call) -> Response:
    return await call.send(client, content=b"{}", headers={**call.headers, "Content-Type": "text/plain"})


async def _with_unknown_parameter(client: AsyncClient, call: Call) -> Response:
    return await call.send(client, params={"colour": "red"})


async def _unconditional(client: AsyncClient, call: Call) -> Response:
    return await call.send(client, headers={})


async def _rehearsed(client: AsyncClient, call: Call) -> Response:
    return await call.but(json={**call.json, "dry_run": True}).send(client)


async def _not_waited_for(client: AsyncClient, call: Call) -> Response:
    return await call.with_new_key().send(client, headers={"Prefer": "respond-async"})


async def _a_part(client: AsyncClient, call: Call) -> Response:
    return await call.send(client, headers={"Range": "bytes=0-9"})


async def _knowing_the_end(client: AsyncClient, call: Call) -> Response:
    last = re.findall(r"^id: (\d+)$", (await call.send(client)).text, re.MULTILINE)[-1]
    return await call.send(client, headers={"Last-Event-ID": last})


PROVOKED: Mapping[int, Provoke] = {
    304: _known,
    400: _malformed,
    404: _of_nothing,
    406: _refusing_identity,
    412: _stale,
    413: _too_large,
    415: _as_text,
    422: _with_unknown_parameter,
    428: _unconditional,
}
BESIDES: Mapping[str, Mapping[int, Provoke]] = {
    "upsert_products": {202: _not_waited_for},
    "get_task_result": {206: _a_part},
    "follow_task": {204: _knowing_the_end},
}
"""What single operations answer besides."""


@pytest.mark.parametrize("operation", OPERATIONS.values(), ids=str)
async def test_an_operation_answers_all_that_the_document_says(
    client: AsyncClient, anonymous: AsyncClient, client_as: ClientAs, contract: Contract, operation: Operation
) -> None:
    call = await new_call(client, operation.name)
    expected = set(operation.responses) - OURS - {409}
    provoked = {**PROVOKED, **BESIDES.get(operation.name, {})}
    for status in sorted(expected & provoked.keys()):
        assert (await provoked[status](client, call)).status_code == status
    if 401 in expected:
        await call.send(anonymous)
    if operation.role is Role.VIEWER:
        expected.discard(403)
    elif 403 in expected:
        await call.send(await client_as(Role.VIEWER))
    if {200, 201} <= expected:
        await _rehearsed(client, call)
    await call.with_new_key().send(client)
    assert {status for name, status in contract.met if name == operation.name} >= expected


CREATED = [
    operation for operation in OPERATIONS.values() if "Location" in operation.responses.get(201, {}).get("headers", {})
]
CONDITIONAL = [operation for operation in OPERATIONS.values() if 304 in operation.responses]
REPEATABLE = [operation for operation in OPERATIONS.values() if "Idempotency-Key" in operation.parameters("header")]
LISTS = [operation for operation in OPERATIONS.values() if "cursor" in operation.parameters("query")]
PATHS = sorted({operation.path for operation in OPERATIONS.values()})
METHODS = {"GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE"}


@pytest.mark.parametrize("operation", CREATED, ids=str)
async def test_what_is_made_stands_where_location_says(client: AsyncClient, operation: Operation) -> None:
    made = await (await new_call(client, operation.name)).send(client)
    path = made.headers["location"]
    assert path.endswith(made.json()["id"])
    if operation.name == "create_api_key":
        return  # there is no reading of a single key
    read = await client.get(path)
    assert (read.status_code, read.json(), read.headers["etag"]) == (200, made.json(), made.headers["etag"])


@pytest.mark.parametrize("operation", CONDITIONAL, ids=str)
async def test_what_the_client_has_already_is_not_sent_again(client: AsyncClient, operation: Operation) -> None:
    call = await new_call(client, operation.name)
    tag = (await call.send(client)).headers["etag"]
    assert not tag.startswith("W/")
    for known in (tag, f"W/{tag}", f'"other", {tag}', "*", f'{tag[:-1]}-gzip"'):
        again = await call.send(client, headers={"If-None-Match": known})
        assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", tag)
    for unknown in ('"other"', tag.strip('"'), f'{tag[:-1]}0"', "garbage", ""):
        assert (await call.send(client, headers={"If-None-Match": unknown})).status_code == 200


@pytest.mark.parametrize("operation", REPEATABLE, ids=str)
async def test_a_repeated_request_gets_the_first_answer_again(client: AsyncClient, operation: Operation) -> None:
    call = await new_call(client, operation.name)
    first = await call.send(client)
    again = [await call.send(client) for _ in range(2)]
    assert first.is_success
    assert "idempotent-replayed" not in first.headers
    for each in again:
        assert (each.status_code, each.content) == (first.status_code, first.content)
        assert each.headers["idempotent-replayed"] == "true"
        assert _lasting(each) == _lasting(first)


@pytest.mark.parametrize("operation", REPEATABLE, ids=str)
async def test_a_key_is_for_one_request_alone(client: AsyncClient, operation: Operation) -> None:
    first, other = await new_call(client, operation.name), await new_call(client, operation.name)
    assert (await first.send(client)).is_success
    if first.but(headers={}) == other.but(headers={}):
        other = other.but(json={**other.json, "name": "Another"})
    problem(await other.send(client, headers=first.headers), 422, "idempotency_key_reused")


OF_THE_MOMENT = ("x-request-id", "idempotent-replayed", "ratelimit")


def _lasting(response: Response) -> dict[str, str]:
    """The headers that are part of the recorded answer."""
    return {name: value for name, value in response.headers.items() if name not in OF_THE_MOMENT}


class TestConflicts:
    """Each is recorded as an answer: the same request gets it again, byte for byte."""

    @pytest.fixture
    async def records(self, client: AsyncClient) -> Records:
        return await new_records(client)

    @pytest.mark.parametrize(
        ("path", "record", "name", "code"),
        [
            ("/v1/products", "product", "sku", "duplicate_sku"),
            ("/v1/warehouses", "warehouse", "code", "duplicate_code"),
            ("/v1/warehouses/{warehouse}/locations", "location", "code", "duplicate_code"),
        ],
    )
    async def test_a_code_is_taken_once(
        self, client: AsyncClient, records: Records, path: str, record: str, name: str, code: str
    ) -> None:
        taken = getattr(records, record)[name].swapcase()
        path = path.format(warehouse=records.warehouse["id"])
        refused = await self._refused_twice(client, path, {name: taken, "name": "Other"}, code)
        assert [error["pointer"] for error in refused["errors"]] == [f"/{name}"]

    @pytest.mark.parametrize(
        ("path", "line"),
        [
            ("/v1/stock/shipments", {"quantity": 11}),
            ("/v1/stock/adjustments", {"quantity": -11}),
            ("/v1/reservations", {"quantity": 11}),
        ],
    )
    async def test_there_is_no_more_than_there_is(
        self, client: AsyncClient, records: Records, path: str, line: Json
    ) -> None:
        body = {"reason": "lost", "lines": [{**records.line, **line}]}
        refused = await self._refused_twice(client, path, body, "insufficient_stock")
        assert [error["pointer"] for error in refused["errors"]] == ["/lines/0/quantity"]

    async def test_a_transfer_takes_no_more_than_there_is(self, client: AsyncClient, records: Records) -> None:
        line = {
            "sku": records.product["sku"],
            "from_location_id": records.location["id"],
            "to_location_id": records.other_location["id"],
            "quantity": 11,
        }
        await self._refused_twice(client, "/v1/stock/transfers", {"lines": [line]}, "insufficient_stock")

    async def test_a_count_holds_against_what_was_believed(self, client: AsyncClient, records: Records) -> None:
        line = {"sku": records.product["sku"], "location_id": records.location["id"], "on_hand": 3}
        for belief in ({"expected_on_hand": 9}, {"expected_version": 2}):
            await self._refused_twice(client, "/v1/stock/counts", {"lines": [{**line, **belief}]}, "count_mismatch")

    async def test_what_was_reversed_is_not_reversed_again(self, client: AsyncClient, records: Records) -> None:
        body = {"command_id": records.receipt["command_id"]}
        await made(client, "/v1/stock/reversals", body)
        refused = await self._refused_twice(client, "/v1/stock/reversals", body, "already_reversed")
        assert [error["pointer"] for error in refused["errors"]] == ["/command_id"]

    @pytest.mark.parametrize("path", ["/v1/stock/receipts", "/v1/stock/adjustments"])
    async def test_nothing_more_comes_in_of_what_is_archived(
        self, client: AsyncClient, records: Records, path: str
    ) -> None:
        product = f"/v1/products/{records.product['id']}"
        archived = await client.patch(product, json={"status": "archived"}, headers={"If-Match": "*"})
        assert archived.status_code == 200
        refused = await self._refused_twice(client, path, {"reason": "found", "lines": [records.line]}, "archived")
        assert [error["pointer"] for error in refused["errors"]] == ["/lines/0/sku"]

    async def test_a_balance_does_not_outgrow_what_json_keeps(self, client: AsyncClient, records: Records) -> None:
        most = {**records.line, "quantity": 10**12}
        body = {"lines": [most] * 500}
        for _ in range(18):
            await made(client, "/v1/stock/receipts", body)
        await self._refused_twice(client, "/v1/stock/receipts", body, "quantity_out_of_range")

    @pytest.mark.parametrize("end", ["confirm", "release"])
    @pytest.mark.parametrize("act", ["confirm", "release", "extend"])
    async def test_a_reservation_ends_once(self, client: AsyncClient, records: Records, end: str, act: str) -> None:
        path = f"/v1/reservations/{(await new_reservation(client, records))['id']}"
        assert (await client.post(f"{path}/{end}", headers=new_key())).status_code == 200
        body = {"expires_in": 60} if act == "extend" else None
        refused = await self._refused_twice(client, f"{path}/{act}", body, "reservation_not_active")
        assert refused["reservation_status"] == {"confirm": "confirmed", "release": "released"}[end]

    async def test_what_is_in_use_stays(self, client: AsyncClient, records: Records) -> None:
        for path in (
            f"/v1/products/{records.product['id']}",
            f"/v1/locations/{records.location['id']}",
            f"/v1/warehouses/{records.warehouse['id']}",
        ):
            problem(await client.delete(path, headers={"If-Match": "*"}), 409, "in_use")

    async def _refused_twice(self, client: AsyncClient, path: str, body: Json | None, code: str) -> Json:
        headers = new_key()
        first, again = [await client.post(path, json=body, headers=headers) for _ in range(2)]
        assert (again.status_code, again.content) == (first.status_code, first.content)
        assert again.headers["idempotent-replayed"] == "true"
        return problem(first, 409, code)


class TestLists:
    @pytest.mark.parametrize("operation", LISTS, ids=str)
    async def test_links_lead_through_the_whole_list_once(self, client: AsyncClient, operation: Operation) -> None:
        call = await new_list(client, operation.name)
        whole = (await call.send(client, params={**call.query, "limit": "1000"})).json()
        assert (whole["has_more"], whole["next_cursor"]) == (False, None)
        limit = max(1, len(whole["data"]) // 4)
        rows, page = [], await call.send(client, params={**call.query, "limit": str(limit)})
        while True:
            rows += page.json()["data"]
            assert page.json()["has_more"] == (page.json()["next_cursor"] is not None) == ("next" in page.links)
            if not page.json()["has_more"]:
                break
            assert len(page.json()["data"]) == limit
            page = await client.get(page.links["next"]["url"])
        assert rows == whole["data"]
        assert len(rows) > 3

    @pytest.mark.parametrize(
        ("name", "field"),
        [
            ("list_products", "sku"),
            ("list_products", "name"),
            ("list_products", "created_at"),
            ("list_locations", "code"),
            ("list_movements", "recorded_at"),
            ("list_movements", "occurred_at"),
        ],
    )
    async def test_an_order_has_its_reverse(self, client: AsyncClient, name: str, field: str) -> None:
        call = await new_list(client, name)
        upward, downward = [
            (await call.send(client, params={**call.query, "sort": sort})).json()["data"]
            for sort in (field, f"-{field}")
        ]
        assert upward == downward[::-1]
        assert [row[field] for row in upward] == sorted((row[field] for row in upward), key=str.casefold)


class TestEveryAnswer:
    @pytest.mark.parametrize("given", ["abc", "0123456789abcdef" * 8, "a.b~c+/=:@-_"])
    async def test_the_clients_request_id_comes_back(self, client: AsyncClient, given: str) -> None:
        for path, status in (("/v1/products?limit=1", 200), ("/v1/products/7", 422), ("/v1/nothing", 404)):
            response = await client.get(path, headers={"X-Request-Id": given})
            assert (response.status_code, response.headers["x-request-id"]) == (status, given)
            assert status == 200 or response.json()["request_id"] == given

    @pytest.mark.parametrize("given", ["", " ", "x" * 129, "a b", "a\tb", "<script>", "a,b", "%0d%0a"])
    async def test_another_takes_the_place_of_one_that_could_do_harm(self, client: AsyncClient, given: str) -> None:
        response = await client.get("/v1/products/7", headers={"X-Request-Id": given})
        made = response.headers["x-request-id"]
        assert made != given
        assert response.json()["request_id"] == made
        assert made.isalnum()

    @pytest.mark.parametrize("path", PATHS)
    async def test_405_names_every_method_that_there_is(self, client: AsyncClient, path: str) -> None:
        allowed = {operation.method for operation in OPERATIONS.values() if operation.stands_at(path)}
        told = allowed | {"HEAD"} if "GET" in allowed else allowed
        for method in METHODS - allowed:
            response = await client.request(method, path)
            assert response.headers["allow"] == ", ".join(sorted(told))
            problem(response, 405, "method_not_allowed")

    async def test_nothing_is_told_of_the_server(self, client: AsyncClient) -> None:
        for path in ("/v1/products?limit=1", "/v1/products/7", "/livez"):
            assert not {"server", "x-powered-by"} & set((await client.get(path)).headers)


class TestWorkingDays:
    """What clients do, from end to end."""

    async def test_a_product_is_made_found_changed_and_deleted(self, client_as: ClientAs) -> None:
        manager, viewer = await client_as(Role.MANAGER), await client_as(Role.VIEWER)
        sku = new_code("Ünï/CODE")
        made = await manager.post("/v1/products", json={"sku": sku, "name": "Zwölfkornbrot 500g"})
        assert made.status_code == 201
        path = made.headers["location"]
        found = await viewer.get(f"/v1/products/by-sku/{quote(sku.lower(), safe='')}")
        assert (found.status_code, found.content) == (200, made.content)
        for q in ("zwölfkorn", sku[:12], f"500g {sku}"):
            assert made.json() in (await viewer.get("/v1/products", params={"q": q})).json()["data"]
        changed = await manager.patch(
            path, json={"attributes": {"fat": 1.5}}, headers={"If-Match": found.headers["etag"]}
        )
        assert (changed.json()["attributes"], changed.json()["version"]) == ({"fat": 1.5}, 2)
        stale = await manager.delete(path, headers={"If-Match": found.headers["etag"]})
        assert problem(stale, 412, "stale_version")["current_version"] == 2
        assert (await manager.delete(path, headers={"If-Match": changed.headers["etag"]})).status_code == 204
        problem(await viewer.get(path), 404, "not_found")

    async def test_goods_come_move_and_leave(self, client: AsyncClient, client_as: ClientAs) -> None:
        records, operator = await new_records(client), await client_as(Role.OPERATOR)
        here, there = records.location["id"], records.other_location["id"]
        sku = records.product["sku"]

        async def command(kind: str, **line: Any) -> Json:
            return await made(operator, f"/v1/stock/{kind}", {"reason": "usual", "lines": [{"sku": sku, **line}]})

        await command("transfers", from_location_id=here, to_location_id=there, quantity=4)
        shipped = await command("shipments", warehouse_id=records.warehouse["id"], quantity=5)
        assert sum(movement["delta"] for movement in shipped["movements"]) == -5
        await command("adjustments", location_id=here, quantity=-1)
        await made(operator, "/v1/stock/reversals", {"command_id": shipped["command_id"]})
        balances = (await operator.get("/v1/stock", params={"sku": sku})).json()["data"]
        on_hand = {balance["location_id"]: balance["on_hand"] for balance in balances}
        assert sum(on_hand.values()) == 9
        await command("counts", location_id=there, on_hand=7, expected_on_hand=on_hand[there])
        summary = (await operator.get(f"/v1/stock/summary/{records.product['id']}")).json()
        assert summary["on_hand"] == 9 - on_hand[there] + 7
        ledger = (await operator.get("/v1/stock/movements", params={"sku": sku, "sort": "recorded_at"})).json()["data"]
        kinds = list(dict.fromkeys(movement["kind"] for movement in ledger))
        assert kinds == ["receipt", "transfer", "shipment", "adjustment", "reversal", "count"]
        assert sum(movement["delta"] for movement in ledger) == summary["on_hand"]
        low = (await operator.get("/v1/stock", params={"sku": sku, "low": "true"})).json()["data"]
        assert len(low) == 2

    async def test_a_rehearsal_tells_and_changes_nothing(self, client: AsyncClient) -> None:
        records = await new_records(client)
        body = {"dry_run": True, "lines": [records.line]}
        told = (await client.post("/v1/stock/shipments", json=body, headers=new_key())).json()
        assert (told["ok"], told["balances"][0]["on_hand"]) == (True, 8)
        body["lines"] = [{**records.line, "quantity": 11}, {**records.line, "sku": "unknown"}]
        told = (await client.post("/v1/stock/shipments", json=body, headers=new_key())).json()
        assert not told["ok"]
        assert {error["pointer"] for error in told["errors"]} == {"/lines/0/quantity", "/lines/1/sku"}
        summary = (await client.get(f"/v1/stock/summary/{records.product['id']}")).json()
        assert summary["on_hand"] == 10

    async def test_stock_is_promised_and_then_shipped_or_given_back(self, client: AsyncClient) -> None:
        records = await new_records(client)
        stock = f"/v1/stock/summary/{records.product['id']}"
        one, other = [await new_reservation(client, records) for _ in range(2)]
        assert (await client.get(stock)).json()["available"] == 6
        extended = await client.post(
            f"/v1/reservations/{one['id']}/extend", json={"expires_in": 7200}, headers=new_key()
        )
        assert extended.json()["expires_at"] > one["expires_at"]
        await client.post(f"/v1/reservations/{one['id']}/confirm", headers=new_key())
        await client.post(f"/v1/reservations/{other['id']}/release", headers=new_key())
        totals = (await client.get(stock)).json()
        assert (totals["on_hand"], totals["reserved"], totals["available"]) == (8, 0, 8)
        statuses = [(await client.get(f"/v1/reservations/{each['id']}")).json()["status"] for each in (one, other)]
        assert statuses == ["confirmed", "released"]
