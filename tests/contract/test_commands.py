"""Idempotency on every database: a command under one key has at most one effect, and one answer."""

import asyncio
import hashlib
from collections.abc import Sequence
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import select
from sqlalchemy.ext.asyncio import create_async_engine

from tests.contract.ledger import Ledger, code, command, line
from warehouse.catalogue.model import Product
from warehouse.commands.model import Answer, Command, Outcome
from warehouse.errors import Code, Conflict, Invalid, NotFound, TransactionConflict
from warehouse.ids import new_id
from warehouse.locations.model import Location
from warehouse.stock.model import CommandHeader, ProductRef
from warehouse.storage.tables import commands
from warehouse.unit_of_work import UnitOfWork

HEADER = CommandHeader()


@pytest.fixture
def key() -> str:
    return str(new_id())


async def ship(ledger: Ledger, sent: Command, product: Product, location: Location, quantity: int = 1) -> Outcome[Any]:
    return await ledger.moving.ship(sent, HEADER, [line(product, quantity, location)])


class TestReplays:
    async def test_get_the_first_answer_byte_for_byte(self, ledger: Ledger, key: str) -> None:
        product, location = await ledger.stocked(5)
        first = await ship(ledger, command(key), product, location)
        await ledger.receive(line(product, 7, location))
        again = [await ship(ledger, command(key), product, location) for _ in range(3)]
        assert (first.replayed, first.answer.status) == (False, 201)
        assert [(each.answer, each.replayed, each.result) for each in again] == [(first.answer, True, None)] * 3
        assert await ledger.held(product) == {(location.id, None): (11, 0)}

    async def test_keep_status_headers_and_bytes_as_they_were(self, ledger: Ledger, key: str) -> None:
        answer = Answer(207, b"\x00\xff\xfe{ }\r\n" * 100_000, {"Location": "/v1/ü", "Content-Type": "x/y; a=b"})
        sent = Command(UUID(int=3), "tester", key, bytes(32), lambda _: answer, lambda _: answer)

        async def nothing(_: UnitOfWork) -> None: ...

        outcomes = [await ledger.commands.run(sent, nothing) for _ in range(2)]
        assert [outcome.answer for outcome in outcomes] == [answer, answer]
        assert [outcome.replayed for outcome in outcomes] == [False, True]

    async def test_another_request_under_the_key_is_refused_and_has_no_effect(self, ledger: Ledger, key: str) -> None:
        product, location = await ledger.stocked(5)
        first = await ship(ledger, command(key, "one"), product, location)
        with pytest.raises(Invalid) as refusal:
            await ship(ledger, command(key, "other"), product, location, 2)
        assert refusal.value.code is Code.IDEMPOTENCY_KEY_REUSED
        assert (await ship(ledger, command(key, "one"), product, location)).answer == first.answer
        assert await ledger.held(product) == {(location.id, None): (4, 0)}

    async def test_callers_do_not_share_keys(self, ledger: Ledger, key: str) -> None:
        product, location = await ledger.stocked(5)
        for caller in (new_id(), new_id()):
            outcome = await ship(ledger, command(key, caller=caller), product, location)
            assert not outcome.replayed
        assert await ledger.held(product) == {(location.id, None): (3, 0)}

    async def test_keys_differ_in_case_and_space(self, ledger: Ledger) -> None:
        product, location = await ledger.stocked(5)
        key = code("key")
        for each in (key, key.upper(), f"{key} ", f" {key}"):
            assert not (await ship(ledger, command(each), product, location)).replayed
        assert await ledger.held(product) == {(location.id, None): (1, 0)}

    async def test_without_a_key_every_request_has_its_effect(self, ledger: Ledger) -> None:
        product, location = await ledger.stocked(5)
        for _ in range(2):
            assert not (await ship(ledger, command(), product, location)).replayed
        assert await ledger.held(product) == {(location.id, None): (3, 0)}


class TestRefusals:
    async def test_by_the_state_of_the_records_are_the_answer_for_good(self, ledger: Ledger, key: str) -> None:
        product, location = await ledger.stocked(1)
        first = await ship(ledger, command(key), product, location, 2)
        assert (first.answer.status, first.replayed, first.result) == (409, False, None)
        await ledger.receive(line(product, 7, location))
        again = await ship(ledger, command(key), product, location, 2)
        assert (again.answer, again.replayed) == (first.answer, True)
        assert await ledger.held(product) == {(location.id, None): (8, 0)}

    async def test_without_a_key_are_raised(self, ledger: Ledger) -> None:
        product, location = await ledger.stocked(1)
        with pytest.raises(Conflict):
            await ship(ledger, command(), product, location, 2)

    async def test_of_what_is_not_valid_leave_the_key_free(self, ledger: Ledger, key: str) -> None:
        product, location = await ledger.stocked(1)
        with pytest.raises(Invalid):
            await ledger.moving.ship(command(key, "typo"), HEADER, [line(ProductRef(sku=code()), 1, location)])
        outcome = await ship(ledger, command(key, "mended"), product, location)
        assert (outcome.replayed, outcome.answer.status) == (False, 201)

    async def test_of_what_is_not_there_leave_the_key_free(self, ledger: Ledger, key: str) -> None:
        with pytest.raises(NotFound):
            await ledger.reservations.confirm(command(key), new_id())
        product, location = await ledger.stocked(1)
        assert not (await ship(ledger, command(key, "other"), product, location)).replayed


class TestSentAtOnce:
    async def test_three_times_under_one_key_have_one_effect_and_one_answer(self, ledger: Ledger) -> None:
        product, location = await ledger.stocked(100)
        keys = [str(new_id()) for _ in range(20)]
        outcomes = await asyncio.gather(*[ship(ledger, command(key), product, location) for key in keys * 3])
        for number in range(len(keys)):
            same: Sequence[Outcome[Any]] = outcomes[number :: len(keys)]
            assert len({outcome.answer.body for outcome in same}) == 1
            assert [outcome.replayed for outcome in same].count(False) == 1
        assert await ledger.held(product) == {(location.id, None): (80, 0)}
        assert len(await ledger.movements(product_id=product.id)) == 21

    async def test_a_refusal_is_the_answer_to_all(self, ledger: Ledger, key: str) -> None:
        product, location = await ledger.stocked(1)
        outcomes = await asyncio.gather(*[ship(ledger, command(key), product, location, 2) for _ in range(5)])
        assert {outcome.answer.status for outcome in outcomes} == {409}
        assert len({outcome.answer.body for outcome in outcomes}) == 1
        assert [outcome.replayed for outcome in outcomes].count(False) == 1

    async def test_of_different_requests_under_one_key_one_has_an_effect(self, ledger: Ledger, key: str) -> None:
        product, location = await ledger.stocked(100)
        results = await asyncio.gather(
            *[ship(ledger, command(key, str(number)), product, location) for number in range(10)],
            return_exceptions=True,
        )
        assert sum(isinstance(result, Outcome) for result in results) == 1
        assert {result.code for result in results if isinstance(result, Invalid)} == {Code.IDEMPOTENCY_KEY_REUSED}
        assert await ledger.held(product) == {(location.id, None): (99, 0)}

    async def test_whoever_wins_the_last_unit_everyone_keeps_his_answer(self, ledger: Ledger) -> None:
        product, location = await ledger.stocked(5)
        keys = [str(new_id()) for _ in range(15)]
        first = await asyncio.gather(*[ship(ledger, command(key), product, location) for key in keys])
        again = await asyncio.gather(*[ship(ledger, command(key), product, location) for key in keys])
        assert [outcome.answer.status for outcome in first].count(201) == 5
        assert [outcome.answer for outcome in again] == [outcome.answer for outcome in first]


class TestInterrupted:
    async def test_a_command_that_broke_off_leaves_its_key_free_and_nothing_else(
        self, ledger: Ledger, key: str
    ) -> None:
        product, location = await ledger.stocked(5)

        async def break_off(uow: UnitOfWork) -> None:
            await uow.products.replace(product, product.draft(), product.updated_at)
            raise ZeroDivisionError

        with pytest.raises(ZeroDivisionError):
            await ledger.commands.run(command(key), break_off)
        assert (await ledger.catalogue.get(product.id)).version == product.version
        assert not (await ship(ledger, command(key), product, location)).replayed

    async def test_one_that_was_cancelled_too(self, ledger: Ledger, key: str) -> None:
        product, location = await ledger.stocked(5)
        reached = asyncio.Event()

        async def hang(_: UnitOfWork) -> None:
            reached.set()
            await asyncio.Event().wait()

        task = asyncio.ensure_future(ledger.commands.run(command(key), hang))
        await reached.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert not (await ship(ledger, command(key), product, location)).replayed

    async def test_who_waits_for_one_that_breaks_off_takes_its_place(self, ledger: Ledger, key: str) -> None:
        product, location = await ledger.stocked(5)
        reached, go_on = asyncio.Event(), asyncio.Event()

        async def break_off(_: UnitOfWork) -> None:
            reached.set()
            await go_on.wait()
            raise ZeroDivisionError

        first = asyncio.ensure_future(ledger.commands.run(command(key), break_off))
        await reached.wait()
        others = [asyncio.ensure_future(ship(ledger, command(key), product, location)) for _ in range(3)]
        go_on.set()
        with pytest.raises(ZeroDivisionError):
            await first
        outcomes = await asyncio.gather(*others)
        assert [outcome.replayed for outcome in outcomes].count(False) == 1
        assert await ledger.held(product) == {(location.id, None): (4, 0)}

    async def test_one_that_the_database_gave_up_is_run_again_whole(self, ledger: Ledger, key: str) -> None:
        product = await ledger.product()
        attempts: list[Product | None] = []

        async def conflict_twice(uow: UnitOfWork) -> str:
            attempts.append(await uow.products.replace(product, product.draft(), product.updated_at))
            if len(attempts) < 3:
                raise TransactionConflict("Again.")
            return "done"

        outcome = await ledger.commands.run(command(key), conflict_twice)
        assert (outcome.result, outcome.replayed) == ("done", False)
        assert all(attempt is not None for attempt in attempts)
        assert (await ledger.catalogue.get(product.id)).version == product.version + 1


class TestReversals:
    async def test_a_reversal_sent_three_times_at_once_reverses_once(self, ledger: Ledger, key: str) -> None:
        product, location = await ledger.stocked(5)
        shipment = await ledger.ship(line(product, 2, location))
        outcomes = await asyncio.gather(
            *[ledger.moving.reverse(command(key), HEADER, shipment.command_id) for _ in range(3)]
        )
        assert [outcome.answer.status for outcome in outcomes] == [201] * 3
        assert len({outcome.answer.body for outcome in outcomes}) == 1
        assert await ledger.held(product) == {(location.id, None): (5, 0)}


class TestSecrecy:
    async def test_the_key_itself_is_not_kept(self, ledger: Ledger, migrated_url: str, key: str) -> None:
        product, location = await ledger.stocked(1)
        sent = command(key)
        await ship(ledger, sent, product, location)
        engine = create_async_engine(migrated_url)
        async with engine.connect() as connection:
            row = (await connection.execute(select(commands).where(commands.c.id == sent.id))).one()
        await engine.dispose()
        assert key not in repr(row)
        assert row.key_digest == hashlib.sha256(key.encode()).digest()
