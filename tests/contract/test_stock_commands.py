"""Receipts, shipments, adjustments, counts, transfers and reversals on every database."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from typing import Any
from uuid import UUID

import pytest

from tests.contract.ledger import (
    HOUR,
    Ledger,
    code,
    command,
    effect,
    faults,
    line,
    move,
    ref,
    refused,
    rehearsal,
)
from warehouse.catalogue.model import NegativeStock, Product
from warehouse.clock import utc_now
from warehouse.commands.model import Outcome
from warehouse.errors import Code, Conflict, Invalid
from warehouse.ids import new_id
from warehouse.locations.model import Location, LocationKind, Warehouse
from warehouse.quantities import MAX_ON_HAND, MAX_QUANTITY
from warehouse.stock.model import (
    Balance,
    BalanceFilter,
    CommandHeader,
    CommandResult,
    CountLine,
    Movement,
    MovementKind,
    ProductRef,
    StockLine,
    TransferLine,
)

SOON, LATER = date(2027, 1, 31), date(2028, 6, 30)
LONG_AGO, NOBODY = datetime(2000, 1, 1, tzinfo=UTC), UUID(int=0)
DRY = CommandHeader(dry_run=True)


class TestReceiving:
    async def test_brings_stock_in_and_says_what_it_did(self, ledger: Ledger) -> None:
        product, location = await ledger.product(), await ledger.location()
        happened = datetime(2026, 3, 1, 8, 30, 0, 123456, tzinfo=UTC)
        result = await ledger.receive(
            line(product, 12, location), reference="PO-1", reason="delivery", occurred_at=happened
        )
        [movement], [balance] = result.movements, result.balances
        assert (movement.command_id, movement.line, movement.kind) == (result.command_id, 1, MovementKind.RECEIPT)
        assert (movement.delta, movement.lot, movement.sku) == (12, None, product.sku)
        assert (movement.reference, movement.reason, movement.actor) == ("PO-1", "delivery", "tester")
        assert movement.occurred_at == happened
        assert abs(movement.recorded_at - utc_now()) < HOUR
        assert (balance.on_hand, balance.reserved, balance.available, balance.version) == (12, 0, 12, 1)
        assert (balance.warehouse_id, balance.location_id, balance.lot) == (location.warehouse_id, location.id, None)
        assert await ledger.movements(command_id=result.command_id) == [movement]
        assert await ledger.held(product) == {(location.id, None): (12, 0)}

    async def test_a_product_may_be_named_by_its_sku_in_any_case(self, ledger: Ledger) -> None:
        product, location = await ledger.product(sku=code("straße")), await ledger.location()
        await ledger.receive(line(ProductRef(sku=product.sku.upper()), 1, location))
        assert await ledger.held(product) == {(location.id, None): (1, 0)}

    async def test_lines_of_one_balance_are_summed_and_each_is_a_movement(self, ledger: Ledger) -> None:
        product, location = await ledger.product(), await ledger.location()
        result = await ledger.receive(line(product, 2, location), line(product, 3, location))
        assert [(movement.line, movement.delta) for movement in result.movements] == [(1, 2), (2, 3)]
        assert [(balance.on_hand, balance.version) for balance in result.balances] == [(5, 1)]

    async def test_stock_without_lots_has_one_balance_at_a_location(self, ledger: Ledger) -> None:
        product, location = await ledger.product(), await ledger.location()
        await asyncio.gather(*[ledger.receive(line(product, 1, location)) for _ in range(10)])
        assert await ledger.held(product) == {(location.id, None): (10, 0)}

    async def test_lots_are_told_apart_by_code_point(self, ledger: Ledger) -> None:
        product, location = await ledger.tracked(), await ledger.location()
        lots = ["a", "A", "á", "a\u0301"]
        await ledger.receive(*[line(product, 1, location, lot) for lot in lots])
        assert await ledger.held(product) == {(location.id, lot): (1, 0) for lot in lots}

    async def test_goes_to_the_first_receiving_location_by_code(self, ledger: Ledger) -> None:
        warehouse, product = await ledger.warehouse(), await ledger.product()
        await ledger.location(warehouse, name="A")
        await ledger.location(warehouse, LocationKind.RECEIVING, "c")
        first = await ledger.location(warehouse, LocationKind.RECEIVING, "B")
        await ledger.receive(line(product, 4, warehouse))
        assert await ledger.held(product) == {(first.id, None): (4, 0)}

    async def test_goes_to_the_first_storage_location_where_none_receives(self, ledger: Ledger) -> None:
        warehouse, product = await ledger.warehouse(), await ledger.product()
        await ledger.location(warehouse, LocationKind.QUARANTINE, "a")
        await ledger.location(warehouse, name="c")
        first = await ledger.location(warehouse, name="B")
        await ledger.receive(line(product, 4, warehouse))
        assert await ledger.held(product) == {(first.id, None): (4, 0)}

    async def test_needs_a_place_to_go(self, ledger: Ledger) -> None:
        warehouse, product = await ledger.warehouse(), await ledger.product()
        await ledger.location(warehouse, LocationKind.SHIPPING)
        refusal = await refused(ledger.receive(line(product, 1, warehouse)))
        assert faults(refusal) == [("/lines/0/warehouse_id", "no_location")]

    async def test_an_archived_product_takes_nothing_in(self, ledger: Ledger) -> None:
        product, location = await ledger.stocked(1)
        await ledger.archive(product)
        refusal = await refused(ledger.receive(line(ProductRef(sku=product.sku), 1, location)))
        assert (type(refusal), faults(refusal)) == (Conflict, [("/lines/0/sku", Code.ARCHIVED)])

    async def test_an_archived_warehouse_takes_nothing_in(self, ledger: Ledger) -> None:
        warehouse, product = await ledger.warehouse(), await ledger.product()
        location = await ledger.location(warehouse)
        await ledger.archive(warehouse)
        refusal = await refused(ledger.receive(line(product, 1, location), line(product, 1, warehouse)))
        assert faults(refusal) == [
            ("/lines/0/location_id", Code.ARCHIVED),
            ("/lines/1/warehouse_id", Code.ARCHIVED),
        ]

    async def test_every_record_that_is_not_there_is_named(self, ledger: Ledger) -> None:
        product, location = await ledger.product(), await ledger.location()
        refusal = await refused(
            ledger.receive(
                line(ProductRef(sku=code()), 1, location),
                line(ProductRef(id=new_id()), 1, location),
                StockLine(ref(product), 1, location_id=new_id()),
                StockLine(ref(product), 1, warehouse_id=new_id()),
                StockLine(ProductRef(id=new_id()), 1, location_id=new_id()),
            )
        )
        assert isinstance(refusal, Invalid)
        assert faults(refusal) == [
            ("/lines/0/sku", "unknown_product"),
            ("/lines/1/product_id", "unknown_product"),
            ("/lines/2/location_id", "unknown_location"),
            ("/lines/3/warehouse_id", "unknown_warehouse"),
            ("/lines/4/product_id", "unknown_product"),
            ("/lines/4/location_id", "unknown_location"),
        ]

    async def test_a_lot_is_named_where_and_only_where_the_product_has_lots(self, ledger: Ledger) -> None:
        plain, tracked, location = await ledger.product(), await ledger.tracked(), await ledger.location()
        refusal = await refused(ledger.receive(line(plain, 1, location, "L1"), line(tracked, 1, location)))
        assert faults(refusal) == [("/lines/0/lot", "lot_not_tracked"), ("/lines/1/lot", "lot_required")]
        assert await ledger.held(plain) == await ledger.held(tracked) == {}

    async def test_one_line_that_is_wrong_keeps_the_others_out(self, ledger: Ledger) -> None:
        product, location = await ledger.product(), await ledger.location()
        await refused(ledger.receive(line(product, 1, location), line(product, 1, location, "L1")))
        assert await ledger.held(product) == {}
        assert await ledger.movements(product_id=product.id) == []

    async def test_a_lot_expires_on_the_day_first_said_of_it(self, ledger: Ledger) -> None:
        product, location = await ledger.tracked(), await ledger.location()
        await ledger.receive(line(product, 1, location, "L1"))
        said = await ledger.receive(line(product, 1, location, "L1", SOON))
        unsaid = await ledger.receive(line(product, 1, location, "L1"))
        assert [result.balances[0].expires_on for result in (said, unsaid)] == [SOON, SOON]

    async def test_a_lot_cannot_get_another_day(self, ledger: Ledger) -> None:
        product, location = await ledger.tracked(), await ledger.location()
        await ledger.receive(line(product, 1, location, "L1", SOON))
        refusal = await refused(
            ledger.receive(line(product, 1, location, "L1"), line(product, 1, location, "L1", LATER))
        )
        assert (refusal.code, faults(refusal)) == (
            Code.LOT_MISMATCH,
            [("/lines/1/expires_on", Code.LOT_MISMATCH)],
        )
        assert await ledger.held(product) == {(location.id, "L1"): (1, 0)}

    async def test_two_lines_cannot_disagree_about_a_new_lot(self, ledger: Ledger) -> None:
        product, location = await ledger.tracked(), await ledger.location()
        refusal = await refused(
            ledger.receive(line(product, 1, location, "L1", SOON), line(product, 1, location, "L1", LATER))
        )
        assert (type(refusal), faults(refusal)[0]) == (Invalid, ("/lines/1/expires_on", "lot_mismatch"))

    async def test_many_receipts_of_one_new_lot_at_once_agree_on_its_day(self, ledger: Ledger) -> None:
        product, location = await ledger.tracked(), await ledger.location()
        results = await asyncio.gather(
            *[ledger.receive(line(product, 1, location, "L1", day)) for day in (SOON, LATER) * 5],
            return_exceptions=True,
        )
        days = {result.balances[0].expires_on for result in results if isinstance(result, CommandResult)}
        assert len(days) == 1
        assert {result.code for result in results if isinstance(result, Conflict)} == {Code.LOT_MISMATCH}
        assert await ledger.held(product) == {(location.id, "L1"): (5, 0)}

    async def test_a_balance_cannot_leave_the_range_that_is_kept_exactly(self, ledger: Ledger) -> None:
        product, location = await ledger.product(), await ledger.location()
        await ledger.count(CountLine(ref(product), location.id, MAX_ON_HAND - 5, expected_on_hand=0))
        refusal = await refused(ledger.receive(line(product, 3, location), line(product, 3, location)))
        assert (type(refusal), refusal.code) == (Conflict, Code.QUANTITY_OUT_OF_RANGE)
        assert faults(refusal) == [
            ("/lines/0/quantity", Code.QUANTITY_OUT_OF_RANGE),
            ("/lines/1/quantity", Code.QUANTITY_OUT_OF_RANGE),
        ]
        await ledger.receive(line(product, 5, location))
        assert await ledger.held(product) == {(location.id, None): (MAX_ON_HAND, 0)}

    async def test_the_largest_quantity_fits(self, ledger: Ledger) -> None:
        product, location = await ledger.stocked(MAX_QUANTITY)
        await ledger.receive(*[line(product, MAX_QUANTITY, location)] * 500)
        assert await ledger.held(product) == {(location.id, None): (501 * MAX_QUANTITY, 0)}


class TestShipping:
    async def test_takes_stock_out(self, ledger: Ledger) -> None:
        product, location = await ledger.stocked(5)
        result = await ledger.ship(line(product, 2, location))
        assert [(movement.kind, movement.delta) for movement in result.movements] == [(MovementKind.SHIPMENT, -2)]
        assert await ledger.held(product) == {(location.id, None): (3, 0)}

    async def test_takes_no_more_than_there_is(self, ledger: Ledger) -> None:
        product, location = await ledger.stocked(5)
        refusal = await refused(ledger.ship(line(product, 6, location)))
        assert (refusal.code, faults(refusal)) == (
            Code.INSUFFICIENT_STOCK,
            [("/lines/0/quantity", Code.INSUFFICIENT_STOCK)],
        )
        assert refusal.detail == f"6 of {product.sku} asked for, 5 available at this location."
        assert await ledger.held(product) == {(location.id, None): (5, 0)}

    async def test_takes_nothing_where_there_never_was_any(self, ledger: Ledger) -> None:
        product, location = await ledger.product(), await ledger.location()
        refusal = await refused(ledger.ship(line(product, 1, location), line(product, 1, await ledger.warehouse())))
        assert faults(refusal) == [
            ("/lines/0/quantity", Code.INSUFFICIENT_STOCK),
            ("/lines/1/quantity", Code.INSUFFICIENT_STOCK),
        ]
        assert await ledger.held(product) == {}

    async def test_two_lines_cannot_take_together_what_is_there_once(self, ledger: Ledger) -> None:
        product, location = await ledger.stocked(5)
        refusal = await refused(ledger.ship(line(product, 3, location), line(product, 3, location)))
        assert faults(refusal) == [
            ("/lines/0/quantity", Code.INSUFFICIENT_STOCK),
            ("/lines/1/quantity", Code.INSUFFICIENT_STOCK),
        ]
        await ledger.ship(line(product, 3, location), line(product, 2, location))
        assert await ledger.held(product) == {(location.id, None): (0, 0)}

    async def test_two_buyers_cannot_take_the_last_unit(self, ledger: Ledger) -> None:
        product, location = await ledger.stocked(1)
        results = await asyncio.gather(
            *[ledger.ship(line(product, 1, location)) for _ in range(10)], return_exceptions=True
        )
        assert sum(isinstance(result, CommandResult) for result in results) == 1
        assert {result.code for result in results if isinstance(result, Conflict)} == {Code.INSUFFICIENT_STOCK}
        assert await ledger.held(product) == {(location.id, None): (0, 0)}

    async def test_many_buyers_anywhere_in_a_warehouse_get_exactly_what_there_is(self, ledger: Ledger) -> None:
        warehouse, product = await ledger.warehouse(), await ledger.product()
        places = [await ledger.location(warehouse) for _ in range(3)]
        await ledger.receive(*[line(product, 5, place) for place in places])
        results = await asyncio.gather(
            *[ledger.ship(line(product, 2, warehouse)) for _ in range(20)], return_exceptions=True
        )
        assert sum(isinstance(result, CommandResult) for result in results) == 7
        assert {result.code for result in results if isinstance(result, Conflict)} == {Code.INSUFFICIENT_STOCK}
        assert sum(on_hand for on_hand, _ in (await ledger.held(product)).values()) == 1

    async def test_what_is_reserved_stays(self, ledger: Ledger) -> None:
        product, location = await ledger.stocked(5)
        await ledger.reserve(line(product, 4, location))
        refusal = await refused(ledger.ship(line(product, 2, location)))
        assert refusal.detail == f"2 of {product.sku} asked for, 1 available at this location."
        await ledger.ship(line(product, 1, location))
        assert await ledger.held(product) == {(location.id, None): (4, 4)}

    async def test_an_archived_product_can_leave(self, ledger: Ledger) -> None:
        product, location = await ledger.stocked(5)
        await ledger.archive(product)
        await ledger.ship(line(product, 5, location))
        assert await ledger.held(product) == {(location.id, None): (0, 0)}

    async def test_nothing_leaves_an_archived_warehouse(self, ledger: Ledger) -> None:
        warehouse, product = await ledger.warehouse(), await ledger.product()
        location = await ledger.location(warehouse)
        await ledger.receive(line(product, 5, location))
        await ledger.archive(warehouse)
        refusal = await refused(ledger.ship(line(product, 1, location), line(product, 1, warehouse)))
        assert faults(refusal) == [
            ("/lines/0/location_id", Code.ARCHIVED),
            ("/lines/1/warehouse_id", Code.ARCHIVED),
        ]

    async def test_a_product_without_lots_has_none_to_name(self, ledger: Ledger) -> None:
        product, location = await ledger.stocked(5)
        refusal = await refused(ledger.ship(line(product, 1, location, "L1")))
        assert faults(refusal) == [("/lines/0/lot", "lot_not_tracked")]


class TestAllocation:
    """Outgoing stock comes first-expired-first-out, from storage locations in the order of their codes."""

    @pytest.fixture
    async def warehouse(self, ledger: Ledger) -> Warehouse:
        return await ledger.warehouse()

    async def test_lots_go_by_expiry_then_name_then_location_and_undated_ones_last(
        self, ledger: Ledger, warehouse: Warehouse
    ) -> None:
        product = await ledger.tracked()
        b, a = await ledger.location(warehouse, name="b"), await ledger.location(warehouse, name="A")
        await ledger.receive(
            line(product, 1, a, "0-undated"),
            line(product, 1, a, "5-late", LATER),
            line(product, 1, b, "9-soon", SOON),
            line(product, 1, b, "8-soon", SOON),
            line(product, 1, a, "8-soon", SOON),
        )
        result = await ledger.ship(line(product, 5, warehouse))
        assert [(movement.lot, movement.location_id) for movement in result.movements] == [
            ("8-soon", a.id),
            ("8-soon", b.id),
            ("9-soon", b.id),
            ("5-late", a.id),
            ("0-undated", a.id),
        ]

    async def test_each_place_in_turn_gives_what_it_has(self, ledger: Ledger, warehouse: Warehouse) -> None:
        product = await ledger.product()
        places = {name: await ledger.location(warehouse, name=name) for name in ("c", "A", "b")}
        await ledger.receive(*[line(product, 3, place) for place in places.values()])
        result = await ledger.ship(line(product, 5, warehouse))
        assert [(movement.line, movement.location_id, movement.delta) for movement in result.movements] == [
            (1, places["A"].id, -3),
            (2, places["b"].id, -2),
        ]

    async def test_only_storage_is_taken_from(self, ledger: Ledger, warehouse: Warehouse) -> None:
        product = await ledger.product()
        kinds = [kind for kind in LocationKind if kind is not LocationKind.STORAGE]
        for kind in kinds:
            await ledger.receive(line(product, 9, await ledger.location(warehouse, kind)))
        storage = await ledger.location(warehouse, name="z")
        await ledger.receive(line(product, 2, storage))
        refusal = await refused(ledger.ship(line(product, 3, warehouse)))
        assert refusal.detail == f"3 of {product.sku} asked for, 2 available in this warehouse's storage."
        result = await ledger.ship(line(product, 2, warehouse))
        assert [movement.location_id for movement in result.movements] == [storage.id]

    async def test_a_location_of_any_kind_gives_its_lots_in_the_same_order(
        self, ledger: Ledger, warehouse: Warehouse
    ) -> None:
        product, place = await ledger.tracked(), await ledger.location(warehouse, LocationKind.QUARANTINE)
        await ledger.receive(line(product, 2, place, "a", LATER), line(product, 2, place, "b", SOON))
        await ledger.receive(line(product, 9, await ledger.location(warehouse), "c", SOON))
        result = await ledger.ship(line(product, 3, place))
        assert [(movement.lot, movement.delta) for movement in result.movements] == [("b", -2), ("a", -1)]
        refusal = await refused(ledger.ship(line(product, 2, place)))
        assert refusal.detail == f"2 of {product.sku} asked for, 1 available at this location."

    async def test_a_named_lot_is_taken_wherever_it_is(self, ledger: Ledger, warehouse: Warehouse) -> None:
        product = await ledger.tracked()
        places = [await ledger.location(warehouse, name=name) for name in ("a", "b")]
        for place in places:
            await ledger.receive(line(product, 2, place, "late", LATER), line(product, 2, place, "soon", SOON))
        result = await ledger.ship(line(product, 3, warehouse, "late"))
        assert [(movement.lot, movement.location_id, movement.delta) for movement in result.movements] == [
            ("late", places[0].id, -2),
            ("late", places[1].id, -1),
        ]
        assert faults(await refused(ledger.ship(line(product, 2, warehouse, "late")))) == [
            ("/lines/0/quantity", Code.INSUFFICIENT_STOCK)
        ]

    async def test_lines_that_leave_the_choice_do_not_get_the_same_stock(
        self, ledger: Ledger, warehouse: Warehouse
    ) -> None:
        product = await ledger.product()
        a, b = [await ledger.location(warehouse, name=name) for name in ("a", "b")]
        await ledger.receive(line(product, 2, a), line(product, 2, b))
        result = await ledger.ship(line(product, 1, warehouse), line(product, 2, warehouse))
        assert [(movement.location_id, movement.delta) for movement in result.movements] == [
            (a.id, -1),
            (a.id, -1),
            (b.id, -1),
        ]

    async def test_what_a_line_before_takes_by_name_is_not_chosen_again(
        self, ledger: Ledger, warehouse: Warehouse
    ) -> None:
        product = await ledger.product()
        a, b = [await ledger.location(warehouse, name=name) for name in ("a", "b")]
        await ledger.receive(line(product, 2, a), line(product, 2, b))
        result = await ledger.ship(line(product, 2, a), line(product, 2, warehouse))
        assert [(movement.location_id, movement.delta) for movement in result.movements] == [(a.id, -2), (b.id, -2)]

    async def test_a_line_that_is_refused_leaves_its_stock_to_the_next(
        self, ledger: Ledger, warehouse: Warehouse
    ) -> None:
        product = await ledger.product()
        await ledger.receive(line(product, 2, await ledger.location(warehouse)))
        refusal = await refused(ledger.ship(line(product, 3, warehouse), line(product, 2, warehouse)))
        assert faults(refusal) == [("/lines/0/quantity", Code.INSUFFICIENT_STOCK)]

    async def test_reserved_stock_is_passed_over(self, ledger: Ledger, warehouse: Warehouse) -> None:
        product = await ledger.tracked()
        place = await ledger.location(warehouse)
        await ledger.receive(line(product, 2, place, "a", SOON), line(product, 2, place, "b", LATER))
        await ledger.reserve(line(product, 2, warehouse))
        result = await ledger.ship(line(product, 1, warehouse))
        assert [movement.lot for movement in result.movements] == ["b"]

    async def test_what_an_expired_reservation_holds_is_taken_in_its_turn(
        self, ledger: Ledger, warehouse: Warehouse
    ) -> None:
        product = await ledger.tracked()
        place = await ledger.location(warehouse)
        await ledger.receive(line(product, 2, place, "a", SOON), line(product, 2, place, "b", LATER))
        await ledger.lapse(await ledger.reserve(line(product, 2, warehouse)))
        result = await ledger.ship(line(product, 1, warehouse))
        assert [movement.lot for movement in result.movements] == ["a"]


class TestNegativeStock:
    async def test_more_may_leave_than_there_is_where_the_product_allows_it(self, ledger: Ledger) -> None:
        product, location = await ledger.overdrawable(), await ledger.location()
        await ledger.ship(line(product, 3, location))
        await ledger.adjust(line(product, -2, location))
        assert await ledger.held(product) == {(location.id, None): (-5, 0)}
        await ledger.receive(line(product, 5, location))
        assert await ledger.held(product) == {(location.id, None): (0, 0)}

    async def test_the_range_has_a_lower_end_too(self, ledger: Ledger) -> None:
        product, location = await ledger.overdrawable(), await ledger.location()
        await ledger.count(CountLine(ref(product), location.id, -MAX_ON_HAND + 1, expected_on_hand=0))
        refusal = await refused(ledger.ship(line(product, 2, location)))
        assert faults(refusal) == [("/lines/0/quantity", Code.QUANTITY_OUT_OF_RANGE)]
        await ledger.ship(line(product, 1, location))

    async def test_what_a_warehouse_lacks_is_taken_from_where_the_last_came(self, ledger: Ledger) -> None:
        warehouse, product = await ledger.warehouse(), await ledger.overdrawable()
        a, b, c = [await ledger.location(warehouse, name=name) for name in "abc"]
        await ledger.receive(line(product, 1, a), line(product, 1, b))
        await ledger.ship(line(product, 5, warehouse))
        assert await ledger.held(product) == {(a.id, None): (0, 0), (b.id, None): (-3, 0)}
        await ledger.ship(line(product, 1, warehouse))
        assert await ledger.held(product) == {(a.id, None): (-1, 0), (b.id, None): (-3, 0)}
        await ledger.receive(line(product, 1, c))
        await ledger.ship(line(product, 1, warehouse), line(product, 1, warehouse))
        assert await ledger.held(product) == {(a.id, None): (-2, 0), (b.id, None): (-3, 0), (c.id, None): (0, 0)}

    async def test_a_lot_that_nobody_named_cannot_be_overdrawn(self, ledger: Ledger) -> None:
        warehouse, product = await ledger.warehouse(), await ledger.tracked(negative_stock=NegativeStock.ALLOW)
        location = await ledger.location(warehouse)
        refusal = await refused(ledger.ship(line(product, 1, warehouse), line(product, 1, location)))
        assert faults(refusal) == [
            ("/lines/0/quantity", Code.INSUFFICIENT_STOCK),
            ("/lines/1/quantity", Code.INSUFFICIENT_STOCK),
        ]
        await ledger.ship(line(product, 1, warehouse, "L1"), line(product, 1, location, "L2"))
        assert await ledger.held(product) == {(location.id, "L1"): (-1, 0), (location.id, "L2"): (-1, 0)}

    async def test_more_may_be_promised_than_there_is_and_then_leaves(self, ledger: Ledger) -> None:
        product, location = await ledger.stocked(1, negative_stock=NegativeStock.ALLOW)
        first, second = [await ledger.reserve(line(product, 3, location)) for _ in range(2)]
        assert await ledger.held(product) == {(location.id, None): (1, 6)}
        await ledger.confirm(first)
        assert await ledger.held(product) == {(location.id, None): (-2, 3)}
        await ledger.release(second)
        assert await ledger.held(product) == {(location.id, None): (-2, 0)}

    async def test_once_forbidden_nothing_more_leaves_until_all_is_covered(self, ledger: Ledger) -> None:
        product, location = await ledger.overdrawable(), await ledger.location()
        await ledger.ship(line(product, 5, location))
        await ledger.change(product, negative_stock=NegativeStock.FORBID)
        for shortfall in (line(product, 1, location), line(product, 1, location)):
            assert faults(await refused(ledger.ship(shortfall))) == [("/lines/0/quantity", Code.INSUFFICIENT_STOCK)]
            await ledger.receive(line(product, 2, location))
        assert await ledger.held(product) == {(location.id, None): (-1, 0)}
        await ledger.receive(line(product, 2, location))
        await refused(ledger.ship(line(product, 2, location)))
        await ledger.ship(line(product, 1, location))
        await refused(ledger.ship(line(product, 1, location)))
        assert await ledger.held(product) == {(location.id, None): (0, 0)}

    async def test_once_forbidden_what_was_promised_too_much_can_be_released_but_not_shipped(
        self, ledger: Ledger
    ) -> None:
        product, location = await ledger.stocked(1, negative_stock=NegativeStock.ALLOW)
        first, second = [await ledger.reserve(line(product, 1, location)) for _ in range(2)]
        await ledger.ship(line(product, 1, location))
        await ledger.change(product, negative_stock=NegativeStock.FORBID)
        assert (await refused(ledger.confirm(first))).code is Code.INSUFFICIENT_STOCK
        await ledger.release(first)
        await ledger.receive(line(product, 1, location))
        await ledger.confirm(second)
        assert await ledger.held(product) == {(location.id, None): (0, 0)}


class TestAdjusting:
    async def test_changes_stock_up_and_down_for_a_reason(self, ledger: Ledger) -> None:
        product, location = await ledger.stocked(5)
        result = await ledger.adjust(line(product, 2, location), line(product, -4, location), reason="damaged")
        assert [(movement.kind, movement.delta, movement.reason) for movement in result.movements] == [
            (MovementKind.ADJUSTMENT, 2, "damaged"),
            (MovementKind.ADJUSTMENT, -4, "damaged"),
        ]
        assert await ledger.held(product) == {(location.id, None): (3, 0)}

    async def test_the_sum_of_the_lines_counts_not_their_order(self, ledger: Ledger) -> None:
        product, location = await ledger.product(), await ledger.location()
        await ledger.adjust(line(product, -4, location), line(product, 5, location))
        assert await ledger.held(product) == {(location.id, None): (1, 0)}
        refusal = await refused(ledger.adjust(line(product, -4, location), line(product, 2, location)))
        assert faults(refusal) == [("/lines/0/quantity", Code.INSUFFICIENT_STOCK)]

    async def test_a_loss_anywhere_in_a_warehouse_is_taken_like_a_shipment(self, ledger: Ledger) -> None:
        warehouse, product = await ledger.warehouse(), await ledger.tracked()
        location = await ledger.location(warehouse)
        await ledger.receive(line(product, 2, location, "a", LATER), line(product, 2, location, "b", SOON))
        result = await ledger.adjust(line(product, -3, warehouse))
        assert [(movement.lot, movement.delta) for movement in result.movements] == [("b", -2), ("a", -1)]

    async def test_an_archived_product_can_be_lost_but_not_found(self, ledger: Ledger) -> None:
        product, location = await ledger.stocked(5)
        await ledger.archive(product)
        refusal = await refused(ledger.adjust(line(product, 1, location)))
        assert faults(refusal) == [("/lines/0/product_id", Code.ARCHIVED)]
        await ledger.adjust(line(product, -1, location))

    async def test_takes_nothing_that_is_reserved(self, ledger: Ledger) -> None:
        product, location = await ledger.stocked(5)
        await ledger.reserve(line(product, 4, location))
        assert (await refused(ledger.adjust(line(product, -2, location)))).code is Code.INSUFFICIENT_STOCK

    async def test_a_lot_is_named_where_stock_comes_in(self, ledger: Ledger) -> None:
        product, location = await ledger.tracked(), await ledger.location()
        assert faults(await refused(ledger.adjust(line(product, 1, location)))) == [("/lines/0/lot", "lot_required")]
        result = await ledger.adjust(line(product, 1, location, "L1", SOON))
        assert result.balances[0].expires_on == SOON

    async def test_what_is_lost_says_nothing_of_when_its_lot_expires(self, ledger: Ledger) -> None:
        product, location = await ledger.tracked(), await ledger.location()
        await ledger.receive(line(product, 2, location, "L1"))
        result = await ledger.adjust(line(product, -1, location, "L1", SOON))
        assert result.balances[0].expires_on is None


class TestCounting:
    async def test_sets_a_balance_to_what_was_counted(self, ledger: Ledger) -> None:
        product, location = await ledger.stocked(5)
        result = await ledger.count(CountLine(ref(product), location.id, 3, expected_on_hand=5))
        assert [(movement.kind, movement.delta) for movement in result.movements] == [(MovementKind.COUNT, -2)]
        version = result.balances[0].version
        await ledger.count(CountLine(ref(product), location.id, 7, expected_version=version))
        assert await ledger.held(product) == {(location.id, None): (7, 0)}

    @pytest.mark.parametrize("expected", [{"expected_on_hand": 4}, {"expected_version": 2}, {"expected_version": 0}])
    async def test_changes_nothing_where_the_counter_was_mistaken(
        self, ledger: Ledger, expected: dict[str, Any]
    ) -> None:
        product, location = await ledger.stocked(5)
        refusal = await refused(ledger.count(CountLine(ref(product), location.id, 3, **expected)))
        assert (refusal.code, faults(refusal)) == (Code.COUNT_MISMATCH, [("/lines/0", Code.COUNT_MISMATCH)])
        assert "5 on hand at version 1" in refusal.detail
        assert await ledger.held(product) == {(location.id, None): (5, 0)}

    @pytest.mark.parametrize("expected", [{"expected_on_hand": 0}, {"expected_version": 0}])
    async def test_finds_stock_where_there_was_none(self, ledger: Ledger, expected: dict[str, Any]) -> None:
        product, location = await ledger.product(), await ledger.location()
        await ledger.count(CountLine(ref(product), location.id, 3, **expected))
        assert await ledger.held(product) == {(location.id, None): (3, 0)}
        refusal = await refused(ledger.count(CountLine(ref(product), location.id, 4, **expected)))
        assert refusal.code is Code.COUNT_MISMATCH

    @pytest.mark.parametrize("expected", [{"expected_on_hand": 1}, {"expected_version": 1}])
    async def test_a_balance_that_is_not_there_has_nothing_at_version_nought(
        self, ledger: Ledger, expected: dict[str, Any]
    ) -> None:
        product, location = await ledger.product(), await ledger.location()
        refusal = await refused(ledger.count(CountLine(ref(product), location.id, 3, **expected)))
        assert "0 on hand at version 0" in refusal.detail
        assert await ledger.held(product) == {}

    @pytest.mark.parametrize("before", [0, 5])
    async def test_a_count_that_changes_nothing_is_on_record(self, ledger: Ledger, before: int) -> None:
        product, location = await ledger.product(), await ledger.location()
        if before:
            await ledger.receive(line(product, before, location))
        result = await ledger.count(CountLine(ref(product), location.id, before, expected_on_hand=before))
        assert [movement.delta for movement in result.movements] == [0]
        assert await ledger.held(product) == {(location.id, None): (before, 0)}

    async def test_cannot_count_less_than_is_reserved(self, ledger: Ledger) -> None:
        product, location = await ledger.stocked(5)
        await ledger.reserve(line(product, 4, location))
        refusal = await refused(ledger.count(CountLine(ref(product), location.id, 3, expected_on_hand=5)))
        assert faults(refusal) == [("/lines/0/on_hand", Code.INSUFFICIENT_STOCK)]
        await ledger.count(CountLine(ref(product), location.id, 4, expected_on_hand=5))
        assert await ledger.held(product) == {(location.id, None): (4, 4)}

    async def test_cannot_count_less_than_nothing(self, ledger: Ledger) -> None:
        product, location = await ledger.product(), await ledger.location()
        refusal = await refused(ledger.count(CountLine(ref(product), location.id, -1, expected_on_hand=0)))
        assert faults(refusal) == [("/lines/0/on_hand", Code.INSUFFICIENT_STOCK)]

    async def test_what_an_expired_reservation_holds_does_not_count(self, ledger: Ledger) -> None:
        product, location = await ledger.stocked(5)
        await ledger.lapse(await ledger.reserve(line(product, 4, location)))
        await ledger.count(CountLine(ref(product), location.id, 0, expected_version=2))
        assert await ledger.held(product) == {(location.id, None): (0, 0)}

    async def test_a_balance_is_counted_once(self, ledger: Ledger) -> None:
        product, location = await ledger.stocked(5)
        refusal = await refused(
            ledger.count(
                CountLine(ref(product), location.id, 4, expected_on_hand=5),
                CountLine(ProductRef(sku=product.sku), location.id, 3, expected_on_hand=5),
            )
        )
        assert (type(refusal), faults(refusal)) == (Invalid, [("/lines/1", "duplicate_line")])

    async def test_every_line_at_fault_is_named(self, ledger: Ledger) -> None:
        product, location = await ledger.stocked(5)
        tracked, other = await ledger.tracked(), await ledger.location()
        refusal = await refused(
            ledger.count(
                CountLine(ref(tracked), location.id, 1, expected_on_hand=0),
                CountLine(ref(product), new_id(), 1, expected_on_hand=0),
                CountLine(ref(product), location.id, 1, expected_on_hand=4),
                CountLine(ref(product), other.id, 1, expected_on_hand=4),
                CountLine(ref(product), location.id, 1, lot="L", expected_on_hand=4),
            )
        )
        assert faults(refusal) == [
            ("/lines/0/lot", "lot_required"),
            ("/lines/1/location_id", "unknown_location"),
            ("/lines/4/lot", "lot_not_tracked"),
            ("/lines/2", Code.COUNT_MISMATCH),
            ("/lines/3", Code.COUNT_MISMATCH),
        ]

    @pytest.mark.parametrize("stocked", [True, False])
    async def test_of_many_counts_of_one_version_one_wins(self, ledger: Ledger, stocked: bool) -> None:
        product, location = await ledger.product(), await ledger.location()
        if stocked:
            await ledger.receive(line(product, 100, location))
        results = await asyncio.gather(
            *[
                ledger.count(CountLine(ref(product), location.id, number, expected_version=int(stocked)))
                for number in range(1, 11)
            ],
            return_exceptions=True,
        )
        [winner] = [result for result in results if isinstance(result, CommandResult)]
        assert {result.code for result in results if isinstance(result, Conflict)} == {Code.COUNT_MISMATCH}
        assert sum(isinstance(result, Conflict) for result in results) == 9
        assert await ledger.held(product) == {(location.id, None): (winner.balances[0].on_hand, 0)}

    async def test_counts_and_shipments_at_once_lose_nothing(self, ledger: Ledger) -> None:
        product, location = await ledger.stocked(100)

        async def count_up() -> object:
            on_hand, _ = (await ledger.held(product))[location.id, None]
            return await ledger.count(CountLine(ref(product), location.id, on_hand + 1, expected_on_hand=on_hand))

        shipments = [ledger.ship(line(product, 1, location)) for _ in range(10)]
        results = await asyncio.gather(*shipments, *[count_up() for _ in range(10)], return_exceptions=True)
        counted = sum(isinstance(result, CommandResult) for result in results[10:])
        assert all(isinstance(result, CommandResult) for result in results[:10])
        assert await ledger.held(product) == {(location.id, None): (90 + counted, 0)}


class TestTransferring:
    async def test_changes_no_total(self, ledger: Ledger) -> None:
        product, source = await ledger.stocked(5)
        near, far = await ledger.location(), await ledger.location()
        result = await ledger.transfer(move(product, 2, source, near), move(product, 1, source, far))
        assert sum(movement.delta for movement in result.movements) == 0
        assert {movement.kind for movement in result.movements} == {MovementKind.TRANSFER}
        assert [movement.line for movement in result.movements] == [1, 2, 3, 4]
        assert await ledger.held(product) == {
            (source.id, None): (2, 0),
            (near.id, None): (2, 0),
            (far.id, None): (1, 0),
        }

    async def test_stock_can_pass_through_a_location_in_one_command(self, ledger: Ledger) -> None:
        product, source = await ledger.stocked(5)
        middle, target = await ledger.location(), await ledger.location()
        await ledger.transfer(move(product, 5, middle, target), move(product, 5, source, middle))
        assert await ledger.held(product) == {
            (source.id, None): (0, 0),
            (middle.id, None): (0, 0),
            (target.id, None): (5, 0),
        }

    async def test_lots_go_first_expired_first_and_stay_what_they_are(self, ledger: Ledger) -> None:
        product, source, target = await ledger.tracked(), await ledger.location(), await ledger.location()
        await ledger.receive(line(product, 2, source, "a", LATER), line(product, 2, source, "b", SOON))
        result = await ledger.transfer(move(product, 3, source, target))
        assert await ledger.held(product) == {
            (source.id, "a"): (1, 0),
            (source.id, "b"): (0, 0),
            (target.id, "a"): (1, 0),
            (target.id, "b"): (2, 0),
        }
        assert {balance.expires_on for balance in result.balances if balance.lot == "b"} == {SOON}

    async def test_a_named_lot_goes_alone(self, ledger: Ledger) -> None:
        product, source, target = await ledger.tracked(), await ledger.location(), await ledger.location()
        await ledger.receive(line(product, 2, source, "a", LATER), line(product, 2, source, "b", SOON))
        refusal = await refused(ledger.transfer(move(product, 3, source, target, "a")))
        assert faults(refusal) == [("/lines/0/quantity", Code.INSUFFICIENT_STOCK)]
        await ledger.transfer(move(product, 2, source, target, "a"))
        assert (await ledger.held(product))[target.id, "a"] == (2, 0)

    async def test_an_archived_product_can_still_be_put_elsewhere(self, ledger: Ledger) -> None:
        product, source = await ledger.stocked(5)
        target = await ledger.location()
        await ledger.archive(product)
        await ledger.transfer(move(product, 5, source, target))
        assert (await ledger.held(product))[target.id, None] == (5, 0)

    async def test_an_archived_warehouse_neither_gives_nor_takes(self, ledger: Ledger) -> None:
        warehouse, product = await ledger.warehouse(), await ledger.product()
        archived, active = await ledger.location(warehouse), await ledger.location()
        await ledger.receive(line(product, 5, archived), line(product, 5, active))
        await ledger.archive(warehouse)
        refusal = await refused(ledger.transfer(move(product, 1, archived, active), move(product, 1, active, archived)))
        assert faults(refusal) == [
            ("/lines/0/from_location_id", Code.ARCHIVED),
            ("/lines/1/to_location_id", Code.ARCHIVED),
        ]

    async def test_every_line_at_fault_is_named(self, ledger: Ledger) -> None:
        product, source = await ledger.stocked(5)
        target = await ledger.location()
        refusal = await refused(
            ledger.transfer(
                move(product, 6, source, new_id()),
                TransferLine(ref(product), 1, new_id(), target.id),
                move(product, 1, source, target, "L1"),
            )
        )
        assert faults(refusal) == [
            ("/lines/0/to_location_id", "unknown_location"),
            ("/lines/1/from_location_id", "unknown_location"),
            ("/lines/2/lot", "lot_not_tracked"),
            ("/lines/0/quantity", Code.INSUFFICIENT_STOCK),
        ]
        assert await ledger.held(product) == {(source.id, None): (5, 0)}

    async def test_transfers_in_a_ring_at_once_all_come_through(self, ledger: Ledger) -> None:
        product, ring = await ledger.product(), [await ledger.location() for _ in range(3)]
        await ledger.receive(*[line(product, 10, place) for place in ring])
        pairs = [(ring[number % 3], ring[(number + 1) % 3]) for number in range(30)]
        await asyncio.gather(*[ledger.transfer(move(product, 1, here, there)) for here, there in pairs])
        assert await ledger.held(product) == {(place.id, None): (10, 0) for place in ring}


class TestReversing:
    async def test_undoes_every_movement_by_a_new_one(self, ledger: Ledger) -> None:
        product, location = await ledger.stocked(5)
        other = await ledger.location()
        transfer = await ledger.transfer(move(product, 2, location, other))
        result = await ledger.reverse(transfer.command_id, reason="mistake")
        assert [(movement.kind, movement.location_id, movement.delta) for movement in result.movements] == [
            (MovementKind.REVERSAL, location.id, 2),
            (MovementKind.REVERSAL, other.id, -2),
        ]
        assert await ledger.held(product) == {(location.id, None): (5, 0), (other.id, None): (0, 0)}

    async def test_can_be_done_once(self, ledger: Ledger) -> None:
        product, location = await ledger.stocked(5)
        shipment = await ledger.ship(line(product, 2, location))
        await ledger.reverse(shipment.command_id)
        refusal = await refused(ledger.reverse(shipment.command_id))
        assert (refusal.code, faults(refusal)) == (
            Code.ALREADY_REVERSED,
            [("/command_id", Code.ALREADY_REVERSED)],
        )
        assert await ledger.held(product) == {(location.id, None): (5, 0)}

    async def test_of_many_at_once_one_takes_effect(self, ledger: Ledger) -> None:
        product, location = await ledger.stocked(5)
        shipment = await ledger.ship(line(product, 2, location))
        results = await asyncio.gather(
            *[ledger.reverse(shipment.command_id) for _ in range(10)], return_exceptions=True
        )
        assert sum(isinstance(result, CommandResult) for result in results) == 1
        assert {result.code for result in results if isinstance(result, Conflict)} == {Code.ALREADY_REVERSED}
        assert await ledger.held(product) == {(location.id, None): (5, 0)}

    async def test_can_itself_be_reversed(self, ledger: Ledger) -> None:
        product, location = await ledger.stocked(5)
        shipment = await ledger.ship(line(product, 2, location))
        reversal = await ledger.reverse(shipment.command_id)
        await ledger.reverse(reversal.command_id)
        assert await ledger.held(product) == {(location.id, None): (3, 0)}

    async def test_needs_a_command_that_moved_stock(self, ledger: Ledger) -> None:
        refusal = await refused(ledger.reverse(new_id()))
        assert (type(refusal), faults(refusal)) == (Invalid, [("/command_id", "unknown_command")])

    async def test_stock_that_has_gone_cannot_be_taken_back_until_it_returns(self, ledger: Ledger) -> None:
        product, location = await ledger.product(), await ledger.location()
        receipt = await ledger.receive(line(product, 5, location))
        await ledger.ship(line(product, 1, location))
        assert (await refused(ledger.reverse(receipt.command_id))).code is Code.INSUFFICIENT_STOCK
        await ledger.receive(line(product, 1, location))
        await ledger.reverse(receipt.command_id)
        assert await ledger.held(product) == {(location.id, None): (0, 0)}

    async def test_a_confirmed_reservation_can_be_taken_back(self, ledger: Ledger) -> None:
        product, location = await ledger.stocked(5)
        await ledger.confirm(await ledger.reserve(line(product, 2, location), reference=(order := code("SO"))))
        [shipment] = await ledger.movements(reference=order)
        await ledger.reverse(shipment.command_id)
        assert await ledger.held(product) == {(location.id, None): (5, 0)}

    async def test_no_stock_of_an_archived_warehouse_moves(self, ledger: Ledger) -> None:
        warehouse, product = await ledger.warehouse(), await ledger.product()
        receipt = await ledger.receive(line(product, 5, await ledger.location(warehouse)))
        await ledger.archive(warehouse)
        refusal = await refused(ledger.reverse(receipt.command_id))
        assert (refusal.code, faults(refusal)) == (Code.ARCHIVED, [("/command_id", Code.ARCHIVED)])


@dataclass(frozen=True)
class Scene:
    """Of `product` 10 are at `here`, 3 of them reserved, and none at `there`; `full` is there as much as can be."""

    ledger: Ledger
    product: Product
    full: Product
    archived: Product
    here: Location
    there: Location
    closed: Location
    receipt: CommandResult
    shipment: CommandResult
    reversed: CommandResult

    @classmethod
    async def on(cls, ledger: Ledger) -> "Scene":
        product, full, archived = [await ledger.product() for _ in range(3)]
        here, there, closed = [await ledger.location() for _ in range(3)]
        await ledger.count(CountLine(ref(full), here.id, MAX_ON_HAND, expected_on_hand=0))
        await ledger.archive(archived)
        await ledger.archive(await ledger.places.get_warehouse(closed.warehouse_id))
        receipt = await ledger.receive(line(product, 12, here))
        shipment, undone = await ledger.ship(line(product, 2, here)), await ledger.ship(line(product, 1, here))
        await ledger.reverse(undone.command_id)
        await ledger.reserve(line(product, 3, here))
        return cls(ledger, product, full, archived, here, there, closed, receipt, shipment, undone)

    async def state(self) -> object:
        found = await self.ledger.balance_page(BalanceFilter(product_id=self.product.id), None, 10)
        return found, await self.ledger.movements(product_id=self.product.id)

    async def balance(self) -> Balance:
        [found] = await self.ledger.balance_page(BalanceFilter(product_id=self.product.id), None, 10)
        return found


Attempt = Callable[[Scene, CommandHeader], Awaitable[Outcome[Any]]]


def _moving(verb: str, *lines: Callable[[Scene], object]) -> Attempt:
    return lambda scene, header: getattr(scene.ledger.moving, verb)(command(), header, [make(scene) for make in lines])


def _reversing(command_id: Callable[[Scene], UUID]) -> Attempt:
    return lambda scene, header: scene.ledger.moving.reverse(command(), header, command_id(scene))


def _counting(*lines: Callable[[Scene], CountLine]) -> Attempt:
    return lambda scene, header: scene.ledger.counting.count(command(), header, [make(scene) for make in lines])


def _reserving(*lines: Callable[[Scene], StockLine]) -> Attempt:
    return lambda scene, header: scene.ledger.reservations.reserve(
        command(), header, [make(scene) for make in lines], utc_now() + HOUR
    )


GOOD: dict[str, Attempt] = {
    "receive": _moving("receive", *[lambda s: line(s.product, 2, s.here)] * 2),
    "ship": _moving("ship", *[lambda s: line(s.product, 2, s.here)] * 2),
    "adjust": _moving("adjust", lambda s: line(s.product, 4, s.here), lambda s: line(s.product, -5, s.here)),
    "transfer": _moving("transfer", *[lambda s: move(s.product, 2, s.here, s.there)] * 2),
    "count": _counting(
        lambda s: CountLine(ref(s.product), s.here.id, 4, expected_on_hand=10),
        lambda s: CountLine(ref(s.product), s.there.id, 1, expected_on_hand=0),
    ),
    "reverse": _reversing(lambda s: s.shipment.command_id),
}

BAD: dict[str, tuple[Attempt, list[tuple[str, str]]]] = {
    "receive": (
        _moving(
            "receive",
            lambda s: line(s.archived, 1, s.here),
            lambda s: line(s.product, 1, s.here, "L1"),
            lambda s: line(s.product, 1, s.closed),
        ),
        [
            ("/lines/1/lot", "lot_not_tracked"),
            ("/lines/0/product_id", Code.ARCHIVED),
            ("/lines/2/location_id", Code.ARCHIVED),
        ],
    ),
    "ship": (
        _moving(
            "ship",
            lambda s: line(s.product, 8, s.here),
            lambda s: line(s.product, 1, s.there),
            lambda s: line(s.product, 1, s.here, "L1"),
        ),
        [
            ("/lines/2/lot", "lot_not_tracked"),
            ("/lines/0/quantity", Code.INSUFFICIENT_STOCK),
            ("/lines/1/quantity", Code.INSUFFICIENT_STOCK),
        ],
    ),
    "adjust": (
        _moving("adjust", lambda s: line(s.product, -8, s.here), lambda s: line(s.archived, 1, s.here)),
        [("/lines/0/quantity", Code.INSUFFICIENT_STOCK), ("/lines/1/product_id", Code.ARCHIVED)],
    ),
    "transfer": (
        _moving(
            "transfer",
            lambda s: move(s.product, 8, s.here, s.there),
            lambda s: TransferLine(ref(s.product), 1, s.there.id, s.closed.id),
        ),
        [
            ("/lines/0/quantity", Code.INSUFFICIENT_STOCK),
            ("/lines/1/to_location_id", Code.ARCHIVED),
        ],
    ),
    "count": (
        _counting(
            lambda s: CountLine(ref(s.product), s.here.id, 1, expected_on_hand=10),
            lambda s: CountLine(ref(s.product), s.there.id, 1, expected_version=1),
        ),
        [("/lines/0/on_hand", Code.INSUFFICIENT_STOCK), ("/lines/1", Code.COUNT_MISMATCH)],
    ),
    "reserve": (
        _reserving(lambda s: line(s.product, 8, s.here), lambda s: line(s.product, 1, s.here, "L1")),
        [("/lines/1/lot", "lot_not_tracked"), ("/lines/0/quantity", Code.INSUFFICIENT_STOCK)],
    ),
    "leave the range": (
        _moving("receive", lambda s: line(s.product, 1, s.there), lambda s: line(s.full, 1, s.here)),
        [("/lines/1/quantity", Code.QUANTITY_OUT_OF_RANGE)],
    ),
    "reverse what has gone": (
        _reversing(lambda s: s.receipt.command_id),
        [("/command_id", Code.INSUFFICIENT_STOCK)],
    ),
    "reverse nothing": (_reversing(lambda s: s.product.id), [("/command_id", "unknown_command")]),
    "reverse twice": (
        _reversing(lambda s: s.reversed.command_id),
        [("/command_id", Code.ALREADY_REVERSED)],
    ),
}


class TestDryRuns:
    @pytest.fixture
    async def scene(self, ledger: Ledger) -> Scene:
        return await Scene.on(ledger)

    @pytest.mark.parametrize("name", GOOD)
    async def test_tells_exactly_what_would_result_and_leaves_nothing(self, scene: Scene, name: str) -> None:
        before = await scene.state()
        told = rehearsal(await GOOD[name](scene, DRY))
        assert (told.ok, told.errors) == (True, [])
        assert await scene.state() == before
        done = effect(await GOOD[name](scene, CommandHeader()))
        assert [_lasting(balance) for balance in told.balances] == [_lasting(balance) for balance in done.balances]
        assert [_lasting(movement) for movement in told.movements] == [_lasting(each) for each in done.movements]

    async def test_a_reservation_that_is_rehearsed_holds_nothing(self, scene: Scene) -> None:
        reserve, before = _reserving(lambda s: line(s.product, 4, s.here)), await scene.state()
        told = rehearsal(await reserve(scene, DRY))
        assert [(balance.on_hand, balance.reserved) for balance in told.balances] == [(10, 7)]
        assert (told.ok, told.movements) == (True, ())
        assert await scene.state() == before

    @pytest.mark.parametrize("name", BAD)
    async def test_tells_every_error_at_once_and_leaves_nothing(self, scene: Scene, name: str) -> None:
        attempt, expected = BAD[name]
        before = await scene.state()
        told = rehearsal(await attempt(scene, DRY))
        assert (told.ok, faults(told), list(told.movements), list(told.balances)) == (False, expected, [], [])
        assert faults(await refused(attempt(scene, CommandHeader()))) == expected
        assert await scene.state() == before

    async def test_an_unknown_lot_stays_unknown(self, ledger: Ledger) -> None:
        product, location = await ledger.tracked(), await ledger.location()
        for day in (SOON, LATER):
            receipt = await ledger.moving.receive(command(), DRY, [line(product, 1, location, "L1", day)])
            assert [balance.expires_on for balance in rehearsal(receipt).balances] == [day]

    async def test_an_expired_reservation_is_not_swept(self, scene: Scene) -> None:
        reservation = await scene.ledger.reserve(line(scene.product, 7, scene.here))
        await scene.ledger.lapse(reservation)
        assert rehearsal(await _moving("ship", lambda s: line(s.product, 7, s.here))(scene, DRY)).ok
        async with scene.ledger.uow() as uow:
            assert await uow.reservations.due_on([(await scene.balance()).key], utc_now()) == [reservation.id]

    async def test_does_not_take_the_key(self, scene: Scene) -> None:
        key, lines = str(new_id()), [line(scene.product, 1, scene.here)]
        assert rehearsal(await scene.ledger.moving.ship(command(key), DRY, lines)).ok
        outcome = await scene.ledger.moving.ship(command(key), CommandHeader(), lines)
        assert (outcome.replayed, len(effect(outcome).movements)) == (False, 1)


def _lasting(record: Balance | Movement) -> Balance | Movement:
    """Without what differs from one run to the next."""
    if isinstance(record, Balance):
        return replace(record, updated_at=LONG_AGO)
    return replace(record, id=NOBODY, command_id=NOBODY, occurred_at=LONG_AGO, recorded_at=LONG_AGO)
