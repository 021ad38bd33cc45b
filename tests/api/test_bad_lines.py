"""Commands on what is not there, does not go together, or may not be used: the fault is named, and nothing is done."""

from collections.abc import Callable
from typing import Any
from uuid import uuid4

import pytest
from httpx import AsyncClient

from tests.api.answers import pointers, problem
from tests.api.calls import (
    Json,
    Records,
    made,
    new_call,
    new_code,
    new_key,
    new_location,
    new_product,
    new_records,
    new_reservation,
    new_warehouse,
)
from tests.api.conftest import Unchanged

COMMANDS = ("receipts", "shipments", "adjustments", "counts", "transfers")
Line = Callable[[Records], Json]


@pytest.fixture(scope="module")
async def records(client: AsyncClient) -> Records:
    return await new_records(client)


def nowhere() -> str:
    """The id of nothing."""
    return str(uuid4())


def line_for(kind: str, records: Records, **changes: Any) -> Json:
    """A line that is valid for the kind of command, with these changes; None leaves a member out."""
    product = {"sku": records.product["sku"]}
    here, there = records.location["id"], records.other_location["id"]
    match kind:
        case "counts":
            line = {**product, "location_id": here, "on_hand": 3, "expected_on_hand": 10}
        case "transfers":
            line = {**product, "from_location_id": here, "to_location_id": there, "quantity": 2}
        case _:
            line = {**product, "location_id": here, "quantity": 2}
    return {name: value for name, value in {**line, **changes}.items() if value is not None}


def places_of(kind: str) -> list[str]:
    return ["from_location_id", "to_location_id"] if kind == "transfers" else ["location_id"]


def path_of(kind: str) -> str:
    return "/v1/reservations" if kind == "reservations" else f"/v1/stock/{kind}"


class TestLines:
    """The second line of two is at fault."""

    @pytest.fixture(params=[*COMMANDS, "reservations"])
    def kind(self, request: pytest.FixtureRequest) -> str:
        kind: str = request.param
        return kind

    @pytest.fixture
    def refused(self, client: AsyncClient, unchanged: Unchanged, records: Records, kind: str) -> Any:
        async def refused(pointer: str, **changes: Any) -> None:
            body = {"reason": "usual", "lines": [line_for(kind, records), line_for(kind, records, **changes)]}
            async with unchanged():
                response = await client.post(path_of(kind), json=body, headers=new_key())
                assert pointers(response) == {pointer}

        return refused

    async def test_an_unknown_product_is_named(self, refused: Any) -> None:
        await refused("/lines/1/sku", sku="unknown")
        await refused("/lines/1/product_id", sku=None, product_id=nowhere())

    async def test_exactly_one_product_is_meant(self, refused: Any, records: Records) -> None:
        await refused("/lines/1", product_id=records.product["id"])
        await refused("/lines/1", sku=None)

    async def test_an_unknown_location_is_named(self, refused: Any, records: Records, kind: str) -> None:
        for name in places_of(kind):
            for place in (nowhere(), records.product["id"], records.warehouse["id"], records.receipt["command_id"]):
                await refused(f"/lines/1/{name}", **{name: place})

    async def test_a_lot_of_an_untracked_product_is_named(self, refused: Any) -> None:
        await refused("/lines/1/lot", lot="L-1")

    async def test_a_member_that_the_commands_lines_have_not_is_named(
        self, refused: Any, records: Records, kind: str
    ) -> None:
        for name in {"on_hand", "from_location_id", "delta", "Quantity"} - line_for(kind, records).keys():
            await refused(f"/lines/1/{name}", **{name: 1})


class TestPlaces:
    @pytest.mark.parametrize("kind", ["receipts", "shipments", "adjustments", "reservations"])
    async def test_exactly_one_place_is_meant(
        self, client: AsyncClient, unchanged: Unchanged, records: Records, kind: str
    ) -> None:
        both = line_for(kind, records, warehouse_id=records.warehouse["id"])
        neither = line_for(kind, records, location_id=None)
        async with unchanged():
            for line in (both, neither):
                body = {"reason": "usual", "lines": [line]}
                assert pointers(await client.post(path_of(kind), json=body, headers=new_key())) == {"/lines/0"}

    @pytest.mark.parametrize("kind", ["receipts", "shipments", "adjustments", "reservations"])
    async def test_an_unknown_warehouse_is_named(
        self, client: AsyncClient, unchanged: Unchanged, records: Records, kind: str
    ) -> None:
        async with unchanged():
            for place in (nowhere(), records.location["id"]):
                line = line_for(kind, records, location_id=None, warehouse_id=place)
                body = {"reason": "usual", "lines": [line]}
                response = await client.post(path_of(kind), json=body, headers=new_key())
                assert pointers(response) == {"/lines/0/warehouse_id"}

    async def test_a_warehouse_without_locations_takes_nothing_in(
        self, client: AsyncClient, unchanged: Unchanged, records: Records
    ) -> None:
        empty = await new_warehouse(client)
        line = line_for("receipts", records, location_id=None, warehouse_id=empty["id"])
        async with unchanged():
            response = await client.post("/v1/stock/receipts", json={"lines": [line]}, headers=new_key())
            assert pointers(response) == {"/lines/0/warehouse_id"}

    @pytest.mark.parametrize("kind", [*COMMANDS, "reservations"])
    async def test_an_archived_warehouse_is_left_alone(
        self, client: AsyncClient, unchanged: Unchanged, kind: str
    ) -> None:
        closed = await new_records(client)
        path = f"/v1/warehouses/{closed.warehouse['id']}"
        await client.patch(path, json={"status": "archived"}, headers={"If-Match": "*"})
        async with unchanged():
            body = {"reason": "usual", "lines": [line_for(kind, closed)]}
            response = await client.post(path_of(kind), json=body, headers=new_key())
            problem(response, 409, "archived")
            assert pointers(response, 409) == {f"/lines/0/{name}" for name in places_of(kind)}

    async def test_a_transfer_goes_somewhere_else(
        self, client: AsyncClient, unchanged: Unchanged, records: Records
    ) -> None:
        line = line_for("transfers", records, to_location_id=records.location["id"])
        async with unchanged():
            response = await client.post("/v1/stock/transfers", json={"lines": [line]}, headers=new_key())
            assert pointers(response) == {"/lines/0"}

    async def test_a_location_is_put_into_one_of_its_own_warehouse(
        self, client: AsyncClient, unchanged: Unchanged, records: Records
    ) -> None:
        path = f"/v1/warehouses/{(await new_warehouse(client))['id']}/locations"
        async with unchanged():
            for parent in (records.location["id"], records.warehouse["id"], nowhere()):
                response = await client.post(path, json={"code": new_code(), "parent_id": parent}, headers=new_key())
                assert pointers(response) == {"/parent_id"}

    async def test_an_archived_warehouse_takes_no_location(self, client: AsyncClient, unchanged: Unchanged) -> None:
        closed = await new_warehouse(client, status="archived")
        async with unchanged():
            path = f"/v1/warehouses/{closed['id']}/locations"
            problem(await client.post(path, json={"code": new_code()}, headers=new_key()), 409, "archived")


class TestLots:
    @pytest.mark.parametrize("kind", ["receipts", "adjustments", "counts"])
    async def test_stock_of_a_tracked_product_comes_in_by_lot(
        self, client: AsyncClient, unchanged: Unchanged, records: Records, kind: str
    ) -> None:
        body = {"reason": "usual", "lines": [line_for(kind, records, sku=records.tracked["sku"], lot=None)]}
        async with unchanged():
            response = await client.post(path_of(kind), json=body, headers=new_key())
            assert pointers(response) == {"/lines/0/lot"}

    @pytest.mark.parametrize("kind", ["receipts", "adjustments"])
    async def test_only_lots_expire(
        self, client: AsyncClient, unchanged: Unchanged, records: Records, kind: str
    ) -> None:
        body = {"reason": "usual", "lines": [line_for(kind, records, expires_on="2031-12-24")]}
        async with unchanged():
            assert pointers(await client.post(path_of(kind), json=body, headers=new_key())) == {"/lines/0"}

    async def test_a_lot_expires_on_one_day(self, client: AsyncClient, unchanged: Unchanged) -> None:
        records = await new_records(client)
        first = {**records.lot_line, "expires_on": "2031-12-24"}
        other = {**first, "expires_on": "2031-12-25"}
        async with unchanged():
            both = await client.post("/v1/stock/receipts", json={"lines": [first, other]}, headers=new_key())
            assert pointers(both) == {"/lines/1/expires_on"}
        await made(client, "/v1/stock/receipts", {"lines": [first]})
        async with unchanged():
            later = await client.post("/v1/stock/receipts", json={"lines": [other]}, headers=new_key())
            assert pointers(later, 409) == {"/lines/0/expires_on"}


class TestQuantities:
    @pytest.mark.parametrize("quantity", [0, -1, 10**12 + 1, 10**30, -(10**30), 1.5, 5.0, "5", True, None, [], {}])
    @pytest.mark.parametrize("kind", ["receipts", "shipments", "transfers", "reservations"])
    async def test_a_quantity_is_a_whole_number_above_0(
        self, client: AsyncClient, unchanged: Unchanged, records: Records, kind: str, quantity: Any
    ) -> None:
        line = {**line_for(kind, records), "quantity": quantity}
        async with unchanged():
            response = await client.post(path_of(kind), json={"lines": [line]}, headers=new_key())
            assert pointers(response) == {"/lines/0/quantity"}

    @pytest.mark.parametrize("kind", ["shipments", "reservations", "transfers"])
    async def test_lines_of_one_balance_are_summed_before_they_are_checked(
        self, client: AsyncClient, unchanged: Unchanged, kind: str
    ) -> None:
        records = await new_records(client)
        lines = [line_for(kind, records, quantity=6)] * 2
        async with unchanged():
            response = await client.post(path_of(kind), json={"lines": lines}, headers=new_key())
            problem(response, 409, "insufficient_stock")
            assert "/lines/1/quantity" in pointers(response, 409)

    async def test_an_adjustment_changes_something(
        self, client: AsyncClient, unchanged: Unchanged, records: Records
    ) -> None:
        body = {"reason": "lost", "lines": [line_for("adjustments", records, quantity=0)]}
        async with unchanged():
            response = await client.post("/v1/stock/adjustments", json=body, headers=new_key())
            assert pointers(response) == {"/lines/0"}

    async def test_an_adjustment_has_a_reason(
        self, client: AsyncClient, unchanged: Unchanged, records: Records
    ) -> None:
        body = {"lines": [line_for("adjustments", records)]}
        async with unchanged():
            assert pointers(await client.post("/v1/stock/adjustments", json=body, headers=new_key())) == {"/reason"}

    async def test_a_balance_is_counted_once_and_against_one_belief(
        self, client: AsyncClient, unchanged: Unchanged, records: Records
    ) -> None:
        line = line_for("counts", records)
        async with unchanged():
            for lines, pointer in (
                ([line, line], "/lines/1"),
                ([{**line, "expected_version": 1}], "/lines/0"),
                ([line_for("counts", records, expected_on_hand=None)], "/lines/0"),
            ):
                response = await client.post("/v1/stock/counts", json={"lines": lines}, headers=new_key())
                assert pointer in pointers(response)


class TestTimes:
    @pytest.mark.parametrize(
        "moment",
        [
            "",
            "yesterday",
            "2026-01-02",
            "2026-01-02T03:04:05",
            "2026-13-02T03:04:05Z",
            "2026-02-30T03:04:05Z",
            "2026-01-02T25:04:05Z",
            "2026-01-02T03:04:05+99:00",
            "1969-12-31T23:59:59Z",
            "0000-01-01T00:00:00Z",
            "9999-12-31T23:59:59-12:00",
            "99999-01-01T00:00:00Z",
            "1767323045",
            1767323045,
            1767323045.5,
            True,
        ],
    )
    async def test_a_time_is_written_out_with_its_zone(
        self, client: AsyncClient, unchanged: Unchanged, records: Records, moment: Any
    ) -> None:
        reservation = await new_reservation(client, records)
        async with unchanged():
            for path, body, name in (
                ("/v1/stock/receipts", {"lines": [records.line]}, "occurred_at"),
                ("/v1/reservations", {"lines": [records.line]}, "expires_at"),
                (f"/v1/reservations/{reservation['id']}/extend", {}, "expires_at"),
                ("/v1/api-keys", {"name": "A", "role": "viewer"}, "expires_at"),
            ):
                response = await client.post(path, json={**body, name: moment}, headers=new_key())
                assert pointers(response) == {f"/{name}"}
            if isinstance(moment, str):
                for name in ("occurred_from", "occurred_to"):
                    assert pointers(await client.get("/v1/stock/movements", params={name: moment})) == {f"?{name}"}
        await client.post(f"/v1/reservations/{reservation['id']}/release", headers=new_key())

    @pytest.mark.parametrize(
        "day", ["", "soon", "2026-02-30", "2026-1-2", "20260102", "2026-01-02T00:00:00Z", "86400", 86400, 1.5, True]
    )
    async def test_a_day_is_written_out(
        self, client: AsyncClient, unchanged: Unchanged, records: Records, day: Any
    ) -> None:
        body = {"lines": [{**records.lot_line, "expires_on": day}]}
        async with unchanged():
            response = await client.post("/v1/stock/receipts", json=body, headers=new_key())
            assert pointers(response) == {"/lines/0/expires_on"}

    async def test_nothing_has_happened_in_the_future(
        self, client: AsyncClient, unchanged: Unchanged, records: Records
    ) -> None:
        body = {"occurred_at": "2101-01-01T00:00:00Z", "lines": [records.line]}
        async with unchanged():
            response = await client.post("/v1/stock/receipts", json=body, headers=new_key())
            assert pointers(response) == {"/occurred_at"}

    @pytest.mark.parametrize(
        ("expiry", "pointer"),
        [
            ({"expires_in": 0}, "/expires_in"),
            ({"expires_in": 90 * 86400 + 1}, "/expires_in"),
            ({"expires_in": 60, "expires_at": "2026-01-02T03:04:05Z"}, ""),
            ({"expires_at": "2101-01-01T00:00:00Z"}, ""),
            ({"expires_at": "2026-01-02T03:04:05Z"}, "/expires_at"),
        ],
    )
    async def test_a_reservation_expires_once_ahead_and_not_too_far(
        self, client: AsyncClient, unchanged: Unchanged, records: Records, expiry: Json, pointer: str
    ) -> None:
        body = {"lines": [records.line], **expiry}
        async with unchanged():
            assert pointers(await client.post("/v1/reservations", json=body, headers=new_key())) == {pointer}

    async def test_an_extension_has_an_expiry(self, client: AsyncClient, unchanged: Unchanged) -> None:
        call = await new_call(client, "extend_reservation")
        async with unchanged():
            assert pointers(await call.but(json={}).send(client)) == {""}


class TestReversals:
    async def test_only_a_command_that_moved_something_is_reversed(
        self, client: AsyncClient, unchanged: Unchanged, records: Records
    ) -> None:
        async with unchanged():
            for command in (nowhere(), records.product["id"]):
                body = {"command_id": command}
                response = await client.post("/v1/stock/reversals", json=body, headers=new_key())
                assert pointers(response) == {"/command_id"}

    async def test_what_was_received_and_has_left_is_not_taken_back(
        self, client: AsyncClient, unchanged: Unchanged
    ) -> None:
        records = await new_records(client)
        await made(client, "/v1/stock/shipments", {"lines": [records.line]})
        async with unchanged():
            body = {"command_id": records.receipt["command_id"]}
            response = await client.post("/v1/stock/reversals", json=body, headers=new_key())
            problem(response, 409, "insufficient_stock")


class TestProducts:
    async def test_two_products_of_one_batch_fare_each_by_itself(self, client: AsyncClient) -> None:
        sku, taken = new_code(), await new_product(client)
        rows = [
            {"sku": sku, "name": "Good"},
            {"sku": sku.upper(), "name": "Good again"},
            {"sku": new_code()},
            {"sku": "   ", "name": "Blank"},
            {"sku": taken["sku"], "tracking": "lot"},
            {"sku": taken["sku"], "attributes": {"a": None}},
            None,
        ]
        answer = (await client.post("/v1/products/batch", json={"products": rows}, headers=new_key())).json()
        fates = [fate["status"] for fate in answer["results"]]
        assert fates == ["created", "updated", "failed", "failed", "failed", "unchanged", "failed"]
        errors = [{error["pointer"] for error in fate["errors"]} for fate in answer["results"]]
        assert errors == [set(), set(), {"/name"}, {"/sku"}, {"/tracking"}, set(), {""}]

    @pytest.mark.parametrize("sku", ["   ", "\u2003", "\t\n", "a\0b", "a\nb", "x" * 65, "\u2028"])
    async def test_a_sku_is_a_line_of_text(self, client: AsyncClient, unchanged: Unchanged, sku: str) -> None:
        async with unchanged():
            body = {"sku": sku, "name": "N"}
            assert pointers(await client.post("/v1/products", json=body, headers=new_key())) == {"/sku"}

    async def test_tracking_is_settled(self, client: AsyncClient, unchanged: Unchanged, records: Records) -> None:
        async with unchanged():
            path = f"/v1/products/{records.product['id']}"
            response = await client.patch(path, json={"tracking": "lot"}, headers={"If-Match": "*"})
            assert pointers(response) == {"/tracking"}

    async def test_a_location_does_not_go_into_itself(self, client: AsyncClient, unchanged: Unchanged) -> None:
        warehouse = await new_warehouse(client)
        outer = await new_location(client, warehouse)
        inner = await new_location(client, warehouse, parent_id=outer["id"])
        async with unchanged():
            for parent in (outer["id"], inner["id"]):
                path, body = f"/v1/locations/{outer['id']}", {"parent_id": parent}
                assert pointers(await client.patch(path, json=body, headers={"If-Match": "*"})) == {"/parent_id"}
