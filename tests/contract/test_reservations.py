"""Reservations on every database: stock promised for a time, then shipped, given back, or expired."""

import asyncio
from collections.abc import Awaitable
from datetime import date, timedelta

import pytest

from tests.contract.ledger import HOUR, SECOND, Ledger, code, command, faults, line, refused
from warehouse.clock import utc_now
from warehouse.errors import Code, Conflict, Invalid, NotFound
from warehouse.ids import new_id
from warehouse.stock.ledger import expire_all
from warehouse.stock.model import (
    BalanceFilter,
    CommandHeader,
    CountLine,
    MovementKind,
    ProductRef,
    Reservation,
    ReservationStatus,
    TransferLine,
)
from warehouse.unit_of_work import replayed_on_conflict

ENDS = [ReservationStatus.CONFIRMED, ReservationStatus.RELEASED, ReservationStatus.EXPIRED]


async def end(ledger: Ledger, reservation: Reservation, status: ReservationStatus) -> None:
    """Take it to that status, by the time that this needs."""

    @replayed_on_conflict
    async def expire() -> None:
        async with ledger.uow() as uow:
            ended = await expire_all(uow, [reservation.id], reservation.expires_at)
            await uow.commit()
        if not ended:
            raise Conflict("It is not active.", code=Code.RESERVATION_NOT_ACTIVE)

    if status is ReservationStatus.EXPIRED:
        await expire()
    else:
        await (ledger.confirm if status is ReservationStatus.CONFIRMED else ledger.release)(reservation)


async def sweep(ledger: Ledger) -> None:
    while await ledger.reservations.expire_due():
        pass


class TestReserving:
    async def test_holds_stock_and_moves_none(self, ledger: Ledger) -> None:
        product, location = await ledger.stocked(5)
        reservation = await ledger.reserve(line(product, 2, location), reference="SO-1", reason="order")
        [held] = reservation.lines
        assert (held.product_id, held.sku, held.location_id) == (product.id, product.sku, location.id)
        assert (held.warehouse_id, held.lot, held.quantity) == (location.warehouse_id, None, 2)
        assert (reservation.status, reservation.version, reservation.actor) == (ReservationStatus.ACTIVE, 1, "tester")
        assert (reservation.reference, reservation.reason) == ("SO-1", "order")
        assert await ledger.reservations.get(reservation.id) == reservation
        assert await ledger.held(product) == {(location.id, None): (5, 2)}
        assert len(await ledger.movements(product_id=product.id)) == 1

    async def test_lines_of_one_balance_become_one(self, ledger: Ledger) -> None:
        product, location = await ledger.stocked(5)
        other, elsewhere = await ledger.stocked(5)
        reservation = await ledger.reserve(
            line(product, 1, location), line(other, 4, elsewhere), line(product, 2, location)
        )
        assert [(held.product_id, held.quantity) for held in reservation.lines] == [(product.id, 3), (other.id, 4)]

    async def test_promises_no_more_than_is_available(self, ledger: Ledger) -> None:
        product, location = await ledger.stocked(5)
        await ledger.reserve(line(product, 3, location))
        for lines in ([line(product, 3, location)], [line(product, 2, location), line(product, 1, location)]):
            refusal = await refused(ledger.reserve(*lines))
            assert (refusal.code, {code for _, code in faults(refusal)}) == (
                Code.INSUFFICIENT_STOCK,
                {Code.INSUFFICIENT_STOCK},
            )
            assert refusal.errors[0].detail == f"3 of {product.sku} asked for, 2 available at this location."
        await ledger.reserve(line(product, 2, location))
        assert await ledger.held(product) == {(location.id, None): (5, 5)}

    async def test_many_buyers_at_once_are_promised_exactly_what_there_is(self, ledger: Ledger) -> None:
        product, location = await ledger.stocked(5)
        results = await asyncio.gather(
            *[ledger.reserve(line(product, 1, location)) for _ in range(20)], return_exceptions=True
        )
        assert sum(isinstance(result, Reservation) for result in results) == 5
        assert {result.code for result in results if isinstance(result, Conflict)} == {Code.INSUFFICIENT_STOCK}
        assert await ledger.held(product) == {(location.id, None): (5, 5)}

    async def test_chooses_like_a_shipment(self, ledger: Ledger) -> None:
        product, warehouse = await ledger.tracked(), await ledger.warehouse()
        place = await ledger.location(warehouse)
        late, soon = date(2028, 1, 1), date(2027, 1, 1)
        await ledger.receive(line(product, 2, place, "late", late), line(product, 2, place, "soon", soon))
        reservation = await ledger.reserve(line(product, 3, warehouse))
        assert [(held.lot, held.quantity) for held in reservation.lines] == [("soon", 2), ("late", 1)]

    async def test_must_end_in_the_future(self, ledger: Ledger) -> None:
        product, location = await ledger.stocked(5)
        refusal = await refused(ledger.reserve(line(product, 1, location), hold=-SECOND))
        assert (type(refusal), faults(refusal)) == (Invalid, [("/expires_at", "past")])
        assert await ledger.held(product) == {(location.id, None): (5, 0)}

    async def test_an_archived_product_can_be_promised_but_no_stock_of_an_archived_warehouse(
        self, ledger: Ledger
    ) -> None:
        product, location = await ledger.stocked(5)
        await ledger.archive(product)
        await ledger.reserve(line(product, 1, location))
        await ledger.archive(await ledger.places.get_warehouse(location.warehouse_id))
        refusal = await refused(ledger.reserve(line(product, 1, location)))
        assert faults(refusal) == [("/lines/0/location_id", Code.ARCHIVED)]

    async def test_every_line_at_fault_is_named(self, ledger: Ledger) -> None:
        product, location = await ledger.stocked(5)
        refusal = await refused(
            ledger.reserve(
                line(product, 6, location),
                line(ProductRef(sku=code()), 1, location),
                line(product, 1, location, "L1"),
            )
        )
        assert faults(refusal) == [
            ("/lines/1/sku", "unknown_product"),
            ("/lines/2/lot", "lot_not_tracked"),
            ("/lines/0/quantity", Code.INSUFFICIENT_STOCK),
        ]


class TestConfirming:
    async def test_ships_what_was_reserved(self, ledger: Ledger) -> None:
        product, location = await ledger.tracked(), await ledger.location()
        await ledger.receive(line(product, 5, location, "L1"))
        reservation = await ledger.reserve(line(product, 2, location), reference=(order := code("SO")), reason="sale")
        confirmed = await ledger.confirm(reservation)
        assert (confirmed.status, confirmed.version) == (ReservationStatus.CONFIRMED, 2)
        assert await ledger.reservations.get(reservation.id) == confirmed
        [movement] = await ledger.movements(reference=order)
        assert (movement.kind, movement.delta, movement.lot) == (MovementKind.SHIPMENT, -2, "L1")
        assert movement.reason == "sale"
        assert await ledger.held(product) == {(location.id, "L1"): (3, 0)}

    async def test_takes_what_was_promised_and_not_what_was_not(self, ledger: Ledger) -> None:
        product, location = await ledger.stocked(5)
        reservation = await ledger.reserve(line(product, 3, location))
        await ledger.ship(line(product, 2, location))
        await ledger.confirm(reservation)
        assert await ledger.held(product) == {(location.id, None): (0, 0)}

    async def test_no_stock_of_an_archived_warehouse_leaves_but_the_promise_can_be_taken_back(
        self, ledger: Ledger
    ) -> None:
        product, location = await ledger.stocked(5)
        reservation = await ledger.reserve(line(product, 3, location))
        await ledger.archive(await ledger.places.get_warehouse(location.warehouse_id))
        assert (await refused(ledger.confirm(reservation))).code is Code.ARCHIVED
        assert await ledger.held(product) == {(location.id, None): (5, 3)}
        await ledger.release(reservation)
        assert await ledger.held(product) == {(location.id, None): (5, 0)}


class TestReleasing:
    async def test_gives_back_what_was_reserved(self, ledger: Ledger) -> None:
        product, location = await ledger.stocked(5)
        released = await ledger.release(await ledger.reserve(line(product, 2, location)))
        assert (released.status, released.version) == (ReservationStatus.RELEASED, 2)
        assert await ledger.held(product) == {(location.id, None): (5, 0)}
        assert len(await ledger.movements(product_id=product.id)) == 1


class TestExtending:
    @pytest.mark.parametrize("hold", [timedelta(minutes=1), 48 * HOUR])
    async def test_moves_the_expiry_either_way(self, ledger: Ledger, hold: timedelta) -> None:
        product, location = await ledger.stocked(5)
        reservation, until = await ledger.reserve(line(product, 2, location)), utc_now() + hold
        outcome = await ledger.reservations.extend(command(), reservation.id, until)
        assert outcome.result is not None
        assert (outcome.result.expires_at, outcome.result.version) == (until, 2)
        assert await ledger.reservations.get(reservation.id) == outcome.result

    async def test_must_move_it_into_the_future(self, ledger: Ledger) -> None:
        product, location = await ledger.stocked(5)
        reservation = await ledger.reserve(line(product, 2, location))
        refusal = await refused(ledger.reservations.extend(command(), reservation.id, utc_now() - SECOND))
        assert faults(refusal) == [("/expires_at", "past")]
        assert await ledger.reservations.get(reservation.id) == reservation


class TestEnding:
    @pytest.mark.parametrize("status", ENDS)
    async def test_what_has_ended_stays_as_it_ended(self, ledger: Ledger, status: ReservationStatus) -> None:
        product, location = await ledger.stocked(5)
        reservation = await ledger.reserve(line(product, 2, location))
        await end(ledger, reservation, status)
        ended, held = await ledger.reservations.get(reservation.id), await ledger.held(product)
        assert ended.status is status
        for attempt in (
            ledger.confirm(reservation),
            ledger.release(reservation),
            ledger.reservations.extend(command(), reservation.id, utc_now() + HOUR),
        ):
            refusal = await refused(attempt)
            assert (refusal.code, refusal.extra) == (Code.RESERVATION_NOT_ACTIVE, {"reservation_status": status})
        with pytest.raises(Conflict):
            await end(ledger, reservation, ReservationStatus.EXPIRED)
        assert (await ledger.reservations.get(reservation.id), await ledger.held(product)) == (ended, held)

    async def test_what_does_not_exist_has_no_end(self, ledger: Ledger) -> None:
        for attempt in (
            ledger.reservations.get(new_id()),
            ledger.reservations.confirm(command(), new_id()),
            ledger.reservations.release(command(), new_id()),
            ledger.reservations.extend(command(), new_id(), utc_now() + HOUR),
        ):
            with pytest.raises(NotFound):
                await attempt

    async def test_of_confirmation_release_and_expiry_at_once_exactly_one_wins(self, ledger: Ledger) -> None:
        product, location = await ledger.stocked(100)
        left = 100
        for _ in range(10):
            reservation = await ledger.reserve(line(product, 2, location))
            results = await asyncio.gather(
                *[end(ledger, reservation, status) for status in ENDS * 2], return_exceptions=True
            )
            [winner] = [status for status, result in zip(ENDS * 2, results, strict=True) if result is None]
            codes = {result.code for result in results if isinstance(result, Conflict)}
            assert (codes, results.count(None)) == ({Code.RESERVATION_NOT_ACTIVE}, 1)
            assert (await ledger.reservations.get(reservation.id)).status is winner
            left -= 2 if winner is ReservationStatus.CONFIRMED else 0
            assert await ledger.held(product) == {(location.id, None): (left, 0)}


class TestExpiring:
    async def test_gives_back_to_every_line_of_the_command_that_needs_it(self, ledger: Ledger) -> None:
        warehouse = await ledger.warehouse()
        location = await ledger.location(warehouse)
        first, second = await ledger.product(), await ledger.product()
        await ledger.receive(line(first, 5, location), line(second, 5, location))
        await ledger.lapse(await ledger.reserve(line(first, 5, location), line(second, 5, location)))
        await ledger.ship(line(first, 5, warehouse), line(second, 5, warehouse))
        assert await ledger.held(second) == {(location.id, None): (0, 0)}

    async def test_reads_as_expired_before_it_is_swept(self, ledger: Ledger) -> None:
        product, location = await ledger.stocked(5, reorder_point=4)
        reservation = await ledger.reserve(line(product, 2, location), reference=(order := code("SO")))
        low = BalanceFilter(product_id=product.id, low=True)
        assert len(await ledger.balance_page(low, None, 10)) == 1
        await ledger.lapse(reservation)

        assert (await ledger.reservations.get(reservation.id)).status is ReservationStatus.EXPIRED
        for status in ReservationStatus:
            found = await ledger.reservations.page(status, order, None, 10)
            expired = status is ReservationStatus.EXPIRED
            assert [each.status for each in found] == ([status] if expired else [])
        assert await ledger.held(product) == {(location.id, None): (5, 0)}
        summary = await ledger.queries.summary(product.id)
        assert (summary.on_hand, summary.reserved, summary.available) == (5, 0, 5)
        assert [(total.reserved, total.available) for total in summary.warehouses] == [(0, 5)]
        assert await ledger.balance_page(low, None, 10) == []

    async def test_neither_confirmed_nor_released_nor_extended_before_it_is_swept(self, ledger: Ledger) -> None:
        product, location = await ledger.stocked(5)
        reservation = await ledger.reserve(line(product, 2, location))
        await ledger.lapse(reservation)
        for attempt in (
            ledger.confirm(reservation),
            ledger.release(reservation),
            ledger.reservations.extend(command(), reservation.id, utc_now() + HOUR),
        ):
            refusal = await refused(attempt)
            assert refusal.extra == {"reservation_status": ReservationStatus.EXPIRED}

    @pytest.mark.parametrize("verb", ["ship", "adjust", "transfer", "count", "reserve", "reverse", "anywhere"])
    async def test_holds_nothing_back_before_it_is_swept(self, ledger: Ledger, verb: str) -> None:
        product, location = await ledger.product(), await ledger.location()
        receipt = await ledger.receive(line(product, 5, location))
        await ledger.lapse(await ledger.reserve(line(product, 2, location)))
        await ledger.lapse(await ledger.reserve(line(product, 3, location)))
        ref = ProductRef(id=product.id)
        warehouse = await ledger.places.get_warehouse(location.warehouse_id)
        commands: dict[str, Awaitable[object]] = {}
        match verb:
            case "ship":
                commands[verb] = ledger.ship(line(product, 5, location))
            case "anywhere":
                commands[verb] = ledger.ship(line(product, 5, warehouse))
            case "adjust":
                commands[verb] = ledger.adjust(line(product, -5, location))
            case "transfer":
                commands[verb] = ledger.transfer(TransferLine(ref, 5, location.id, (await ledger.location()).id))
            case "count":
                commands[verb] = ledger.count(CountLine(ref, location.id, 0, expected_on_hand=5))
            case "reserve":
                commands[verb] = ledger.reserve(line(product, 5, location))
            case _:
                commands[verb] = ledger.reverse(receipt.command_id)
        await commands[verb]
        assert (await ledger.held(product))[location.id, None] == ((5, 5) if verb == "reserve" else (0, 0))

    async def test_a_shortage_is_told_without_what_expired_reservations_hold(self, ledger: Ledger) -> None:
        product, location = await ledger.stocked(5)
        await ledger.reserve(line(product, 1, location))
        await ledger.lapse(await ledger.reserve(line(product, 2, location)))
        refusal = await refused(ledger.ship(line(product, 5, location)))
        assert refusal.detail == f"5 of {product.sku} asked for, 4 available at this location."
        assert await ledger.held(product) == {(location.id, None): (5, 1)}

    async def test_the_sweeper_ends_what_is_due_and_nothing_else(self, ledger: Ledger) -> None:
        product, location = await ledger.stocked(5)
        kept, due = [await ledger.reserve(line(product, 2, location)) for _ in range(2)]
        await ledger.lapse(due)
        await sweep(ledger)
        async with ledger.uow(read_only=True) as uow:
            stored = [await uow.reservations.get(each.id) for each in (kept, due)]
        assert [each and each.status for each in stored] == [ReservationStatus.ACTIVE, ReservationStatus.EXPIRED]
        assert await ledger.stored(product) == {(location.id, None): (5, 2)}

    async def test_what_was_extended_in_time_is_not_swept(self, ledger: Ledger) -> None:
        product, location = await ledger.stocked(5)
        reservation = await ledger.reserve(line(product, 2, location))
        await ledger.reservations.extend(command(), reservation.id, utc_now() + 2 * HOUR)
        async with ledger.uow() as uow:
            assert not await uow.reservations.decide(reservation.id, ReservationStatus.EXPIRED, reservation.expires_at)
        assert (await ledger.reservations.get(reservation.id)).status is ReservationStatus.ACTIVE

    async def test_the_one_longest_due_is_swept_first(self, ledger: Ledger) -> None:
        product, location = await ledger.stocked(5)
        now = utc_now()
        reservations = [await ledger.reserve(line(product, 1, location)) for _ in range(3)]
        for reservation, hours in zip(reservations, (1, 3, 2), strict=True):
            await ledger.lapse(reservation, now - hours * HOUR)
        async with ledger.uow(read_only=True) as uow:
            due = await uow.reservations.due(now, 1000)
            assert await uow.reservations.due(now - 4 * HOUR, 1000) == []
            assert len(await uow.reservations.due(now, 2)) == 2
        mine = [reservation.id for reservation in reservations]
        assert [each for each in due if each in mine] == [mine[1], mine[2], mine[0]]
        await sweep(ledger)

    async def test_many_sweepers_at_once_give_back_once(self, ledger: Ledger) -> None:
        product, location = await ledger.stocked(20)
        for _ in range(10):
            await ledger.lapse(await ledger.reserve(line(product, 2, location)))
        await asyncio.gather(*[sweep(ledger) for _ in range(5)])
        assert await ledger.stored(product) == {(location.id, None): (20, 0)}

    async def test_buyers_and_sweepers_at_once_sell_what_expired_once(self, ledger: Ledger) -> None:
        product, location = await ledger.stocked(10)
        for _ in range(5):
            await ledger.lapse(await ledger.reserve(line(product, 2, location)))
        lines = [line(product, 1, location)]
        buyers = [ledger.moving.ship(command(str(new_id())), CommandHeader(), lines) for _ in range(20)]
        sweepers = [asyncio.ensure_future(sweep(ledger)) for _ in range(3)]
        outcomes = await asyncio.gather(*buyers)
        await asyncio.gather(*sweepers)
        assert sorted(outcome.answer.status for outcome in outcomes) == [201] * 10 + [409] * 10
        assert await ledger.stored(product) == {(location.id, None): (0, 0)}
