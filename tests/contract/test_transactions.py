"""Many clients at once on every database: nothing is lost, nothing is oversold, nothing fails for a deadlock."""

import asyncio
import random
from collections import Counter
from collections.abc import Sequence

import pytest

from tests.contract.ledger import HOUR, Ledger, command, line, move, write
from warehouse.errors import Conflict
from warehouse.ids import new_id
from warehouse.stock.model import NO_LOT, BalanceChange, BalanceKey, CommandHeader, CommandResult, StockLine

HEADER = CommandHeader()


async def ship_all(ledger: Ledger, orders: Sequence[Sequence[StockLine]]) -> list[int]:
    """Ship them at once; the statuses of the answers. Whatever is not an answer is raised."""
    outcomes = await asyncio.gather(*[ledger.moving.ship(command(str(new_id())), HEADER, lines) for lines in orders])
    return [outcome.answer.status for outcome in outcomes]


class TestGuardedUpdates:
    async def test_eight_clients_with_a_hundred_decrements_each_lose_none(self, ledger: Ledger) -> None:
        product, location = await ledger.stocked(800)
        change = BalanceChange(BalanceKey(product.id, location.id, NO_LOT), location.warehouse_id, -1, 0, guarded=True)

        async def decrement(times: int) -> list[bool]:
            done = []
            for _ in range(times):
                async with ledger.uow() as uow:
                    done.append(await write(uow, change))
                    await uow.commit()
            return done

        results = await asyncio.gather(*[decrement(100) for _ in range(8)])
        assert all(all(done) for done in results)
        assert await ledger.held(product) == {(location.id, None): (0, 0)}
        assert await decrement(1) == [False]

    async def test_what_is_not_committed_is_not_there(self, ledger: Ledger) -> None:
        product, location = await ledger.stocked(5)
        change = BalanceChange(BalanceKey(product.id, location.id, NO_LOT), location.warehouse_id, -1, 0, guarded=True)
        async with ledger.uow() as uow:
            assert await write(uow, change)
            assert await ledger.held(product) == {(location.id, None): (5, 0)}
        assert await ledger.held(product) == {(location.id, None): (5, 0)}

    async def test_a_reading_unit_of_work_commits_nothing(self, ledger: Ledger) -> None:
        async with ledger.uow(read_only=True) as uow:
            with pytest.raises(RuntimeError):
                await uow.commit()

    async def test_a_unit_of_work_that_is_cancelled_holds_nothing_any_more(self, ledger: Ledger) -> None:
        product, location = await ledger.stocked(5)
        change = BalanceChange(BalanceKey(product.id, location.id, NO_LOT), location.warehouse_id, -1, 0, guarded=True)
        holds = asyncio.Event()

        async def hold() -> None:
            async with ledger.uow() as uow:
                await write(uow, change)
                holds.set()
                await asyncio.Event().wait()

        tasks = [asyncio.ensure_future(hold()) for _ in range(3)]
        await holds.wait()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await ledger.ship(line(product, 5, location))
        assert await ledger.held(product) == {(location.id, None): (0, 0)}


class TestBuyersAtOnce:
    async def test_two_hundred_for_fifty_units_buy_exactly_fifty(self, ledger: Ledger) -> None:
        product, location = await ledger.stocked(50)
        statuses = await ship_all(ledger, [[line(product, 1, location)]] * 200)
        assert Counter(statuses) == {201: 50, 409: 150}
        assert await ledger.held(product) == {(location.id, None): (0, 0)}

    async def test_sixty_commands_of_two_lines_in_opposite_order_all_come_through(self, ledger: Ledger) -> None:
        (one, here), (other, there) = await ledger.stocked(60), await ledger.stocked(60)
        forth = [line(one, 1, here), line(other, 1, there)]
        assert await ship_all(ledger, [forth, forth[::-1]] * 30) == [201] * 60
        assert await ledger.held(one) == {(here.id, None): (0, 0)}
        assert await ledger.held(other) == {(there.id, None): (0, 0)}

    async def test_sixty_that_leave_the_choice_in_opposite_order_all_come_through(self, ledger: Ledger) -> None:
        warehouse, one, other = await ledger.warehouse(), await ledger.product(), await ledger.product()
        places = [await ledger.location(warehouse) for _ in range(3)]
        await ledger.receive(*[line(product, 20, place) for product in (one, other) for place in places])
        forth = [line(one, 1, warehouse), line(other, 1, warehouse)]
        assert await ship_all(ledger, [forth, forth[::-1]] * 30) == [201] * 60
        for product in (one, other):
            assert await ledger.held(product) == {(place.id, None): (0, 0) for place in places}

    async def test_sixty_that_leave_one_choice_each_all_come_through(self, ledger: Ledger) -> None:
        warehouse, one, other = await ledger.warehouse(), await ledger.product(), await ledger.product()
        place = await ledger.location(warehouse)
        await ledger.receive(line(one, 60, place), line(other, 60, place))
        orders = [
            [line(one, 1, warehouse), line(other, 1, place)],
            [line(other, 1, warehouse), line(one, 1, place)],
        ]
        assert await ship_all(ledger, orders * 30) == [201] * 60
        assert await ledger.held(one) == await ledger.held(other) == {(place.id, None): (0, 0)}

    async def test_whatever_is_done_at_once_no_unit_is_lost_or_made(self, ledger: Ledger) -> None:
        chance = random.Random(11)  # noqa: S311 - the same commands in every run
        warehouse = await ledger.warehouse()
        places = [await ledger.location(warehouse) for _ in range(3)]
        products = [await ledger.product() for _ in range(2)]
        await ledger.receive(*[line(product, 10, place) for product in products for place in places])

        async def act() -> int:
            product, quantity = chance.choice(products), chance.randint(1, 6)
            source, target = chance.sample(places, 2)
            kind = chance.choice(["ship", "ship anywhere", "receive", "transfer", "sale", "change of mind"])
            match kind:
                case "ship" | "ship anywhere":
                    await ledger.ship(line(product, quantity, source if kind == "ship" else warehouse))
                    return -quantity
                case "receive":
                    await ledger.receive(line(product, quantity, target))
                    return quantity
                case "transfer":
                    await ledger.transfer(move(product, quantity, source, target))
                    return 0
            reservation = await ledger.reserve(line(product, quantity, warehouse), hold=HOUR)
            await (ledger.confirm if kind == "sale" else ledger.release)(reservation)
            return -quantity if kind == "sale" else 0

        changes = await asyncio.gather(*[act() for _ in range(120)], return_exceptions=True)
        assert {type(change) for change in changes} <= {int, Conflict}
        held = [pair for product in products for pair in (await ledger.held(product)).values()]
        assert sum(on_hand for on_hand, _ in held) == 60 + sum(change for change in changes if isinstance(change, int))
        assert all(on_hand >= 0 and reserved == 0 for on_hand, reserved in held)

    async def test_many_first_receipts_of_one_balance_make_one_balance(self, ledger: Ledger) -> None:
        product, location = await ledger.product(), await ledger.location()
        results = await asyncio.gather(*[ledger.receive(line(product, 1, location)) for _ in range(30)])
        assert all(isinstance(result, CommandResult) for result in results)
        assert await ledger.held(product) == {(location.id, None): (30, 0)}
