"""The services on a real database against a plain model, step by step.

`WAREHOUSE_TEST_STEPS=long` makes it at least 100,000 steps, in an order of its own each time; the seed that it prints
goes into `WAREHOUSE_TEST_SEED` to have the same again.
"""

import asyncio
import os
import random
import shutil
import tempfile
from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from hypothesis import HealthCheck, Phase, seed, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from sqlalchemy import update

from tests.contract.rows import records
from tests.process import memory
from tests.properties.model import (
    LOCATIONS,
    LOTS,
    OVERDRAWABLE,
    PRODUCTS,
    RECEIVING,
    STORAGE,
    STRICT,
    TRACKED,
    Change,
    Hold,
    Key,
    Line,
    Model,
    Result,
    Short,
    without_lot,
)
from warehouse.catalogue.model import NegativeStock, ProductDraft, Tracking
from warehouse.clock import utc_now
from warehouse.commands.model import Answer, Command, Outcome
from warehouse.commands.service import CommandRunner
from warehouse.errors import Conflict
from warehouse.http.json import encode
from warehouse.ids import new_id
from warehouse.locations.model import LocationDraft, LocationKind, WarehouseDraft
from warehouse.settings import DatabaseSettings
from warehouse.stock.counting import CountingService
from warehouse.stock.model import (
    Balance,
    BalanceFilter,
    CommandHeader,
    CountLine,
    ProductRef,
    Rehearsal,
    StockLine,
    TransferLine,
)
from warehouse.stock.moving import MovingService
from warehouse.stock.queries import StockQueries
from warehouse.stock.reserving import ReservationService
from warehouse.storage.database import SqlDatabase
from warehouse.storage.migrations import migrate
from warehouse.storage.sql import SqlUnitOfWorkFactory
from warehouse.storage.tables import reservations

LONG = os.environ.get("WAREHOUSE_TEST_STEPS") == "long"
STEPS, EXAMPLES = (100, 1_600) if LONG else (50, 60)
WANTED = 100_000 if LONG else 2_000
SEED = int(os.environ.get("WAREHOUSE_TEST_SEED") or random.SystemRandom().getrandbits(32))
REHEARSED = 5
"""Every so manieth command is rehearsed before it is sent."""
DAYS = {"early": date(2027, 1, 1), "late": date(2027, 6, 1), "never": None}
HOUR = timedelta(hours=1)

quantities = st.integers(1, 9)
lots = st.sampled_from(sorted(LOTS))
places = st.one_of(
    st.sampled_from(LOCATIONS).map(lambda code: (code, None)),
    st.sampled_from(sorted(STORAGE)).map(lambda code: (None, code)),
)


@st.composite
def line(draw: st.DrawFn, *, incoming: bool) -> Line:
    product = draw(st.sampled_from(PRODUCTS))
    location, warehouse = draw(places)
    lot = draw(lots if incoming else st.none() | lots)
    return without_lot(Line(product, draw(quantities), location, warehouse, lot))


incoming_lines = st.lists(line(incoming=True), min_size=1, max_size=3)
outgoing_lines = st.lists(line(incoming=False), min_size=1, max_size=3)
moves = st.lists(
    st.tuples(line(incoming=False), st.sampled_from(LOCATIONS), st.sampled_from(LOCATIONS)).filter(
        lambda move: move[1] != move[2]
    ),
    min_size=1,
    max_size=2,
)


@dataclass(frozen=True)
class Done:
    """A command that was sent, to be sent again."""

    send: Callable[[], Awaitable[Outcome[Any]]]
    body: bytes
    result: Result
    deltas: dict[Key, int]
    id: UUID


class Bench:
    """One event loop, and a database with its tables to begin each example from."""

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(dir=memory()))
        self.template = self.folder / "template.db"
        migrate(f"sqlite+aiosqlite:///{self.template}")
        self.loop = asyncio.new_event_loop()
        self.steps = 0
        self.databases = 0

    def run(self, work: Awaitable[Any]) -> Any:
        return self.loop.run_until_complete(work)

    def database(self) -> SqlDatabase:
        self.databases += 1
        path = self.folder / f"{self.databases}.db"
        shutil.copyfile(self.template, path)
        return SqlDatabase(f"sqlite+aiosqlite:///{path}", DatabaseSettings(pool_size=1))

    def close(self) -> None:
        self.loop.close()
        shutil.rmtree(self.folder)


@pytest.fixture(scope="module")
def bench() -> Iterator[Bench]:
    bench = Bench()
    yield bench
    bench.close()


class LedgerMachine(RuleBasedStateMachine):
    bench: Bench

    def __init__(self) -> None:
        super().__init__()
        self.model = Model()
        self.holds: dict[UUID, Hold] = {}
        self.done: list[Done] = []
        self.reversed: set[UUID] = set()
        self.database = self.bench.database()
        uow = SqlUnitOfWorkFactory(self.database)
        commands = CommandRunner(uow)
        self.uow = uow
        self.moving, self.counting = MovingService(commands), CountingService(commands)
        self.reserving, self.queries = ReservationService(uow, commands), StockQueries(uow)

    @initialize()
    def make_records(self) -> None:
        """And something of each product, as most of what is worth trying needs stock."""
        self.bench.run(self._make_records())
        lots = [(STRICT, None), (OVERDRAWABLE, None), (TRACKED, "early"), (TRACKED, "late")]
        self.bring_in([Line(product, 5, code, None, lot) for product, lot in lots for code in ("a", "b")])

    async def _make_records(self) -> None:
        now = utc_now()
        self.products, self.places, self.warehouses = {}, {}, {}
        async with self.uow() as uow:
            for name in PRODUCTS:
                draft = ProductDraft(
                    sku=name,
                    name=name,
                    tracking=Tracking.LOT if name == TRACKED else Tracking.NONE,
                    negative_stock=NegativeStock.ALLOW if name == OVERDRAWABLE else NegativeStock.FORBID,
                )
                self.products[name] = (await uow.products.add(new_id(), draft, now)).id
            for name in STORAGE:
                self.warehouses[name] = (await uow.warehouses.add(new_id(), WarehouseDraft(name, name), now)).id
            for code in LOCATIONS:
                warehouse = next(w for w in STORAGE if code in STORAGE[w] or (code == RECEIVING[w]))
                kind = LocationKind.RECEIVING if code == "in" else LocationKind.STORAGE
                location = await uow.locations.add(
                    new_id(), self.warehouses[warehouse], LocationDraft(code, kind=kind), now
                )
                self.places[code] = location.id
            await uow.commit()

    @invariant()
    def count_the_step(self) -> None:
        self.bench.steps += 1

    # What is sent

    @rule(lines=incoming_lines)
    def receive(self, lines: list[Line]) -> None:
        self.bring_in(lines)

    def bring_in(self, lines: list[Line]) -> None:
        change = Change()
        for each in lines:
            change.on_hand[self.model.put(each)] += each.quantity
        self.expect(lambda c, h: self.moving.receive(c, h, self.lines(lines)), self.outcome(change), change)

    @rule(lines=outgoing_lines)
    def ship(self, lines: list[Line]) -> None:
        result, change = self.planned(lambda: self.leaving(lines))
        self.expect(lambda c, h: self.moving.ship(c, h, self.lines(lines)), result, change)

    @rule(losses=outgoing_lines, gains=incoming_lines)
    def adjust(self, losses: list[Line], gains: list[Line]) -> None:
        def plan() -> Change:
            change = self.leaving(losses)
            for each in gains:
                change.on_hand[self.model.put(each)] += each.quantity
            return change

        result, change = self.planned(plan)
        minus = [self.stock_line(each, -each.quantity) for each in losses]
        self.expect(lambda c, h: self.moving.adjust(c, h, [*minus, *self.lines(gains)]), result, change)

    @rule(moves=moves)
    def transfer(self, moves: list[tuple[Line, str, str]]) -> None:
        sources = [Line(each.product, each.quantity, source, None, each.lot) for each, source, _ in moves]

        def plan() -> Change:
            change = Change()
            for number, key, quantity in self.model.take(sources):
                change.on_hand[key] -= quantity
                change.on_hand[Key(key.product, moves[number][2], key.lot)] += quantity
            return change

        result, change = self.planned(plan)
        lines = [
            TransferLine(self.ref(each), each.quantity, self.places[source], self.places[target], each.lot)
            for each, source, target in moves
        ]
        self.expect(lambda c, h: self.moving.transfer(c, h, lines), result, change)

    @rule(each=line(incoming=True), counted=st.integers(0, 20), by_version=st.booleans(), right=st.booleans())
    def count(self, each: Line, counted: int, by_version: bool, right: bool) -> None:
        key = Key(each.product, each.location or RECEIVING[each.warehouse or ""], each.lot or "")
        known = (
            {"expected_version": self.model.versions[key]}
            if by_version
            else {"expected_on_hand": self.model.on_hand[key]}
        )
        expected = {name: value + (not right) for name, value in known.items()}
        lines = [CountLine(self.ref(each), self.places[key.location], counted, each.lot, **expected)]
        change = Change()
        change.on_hand[key] = counted - self.model.on_hand[key]
        result = self.outcome(change) if right else Result.MISMATCH
        if by_version and self.unknown_versions:
            return
        made = self.model.versions[key] == 0
        if self.expect(lambda c, h: self.counting.count(c, h, lines), result, change) and made:
            self.model.versions[key] += 1

    @rule(lines=outgoing_lines)
    def reserve(self, lines: list[Line]) -> None:
        def plan() -> Change:
            change = Change()
            for _, key, quantity in self.model.take(lines):
                change.reserved[key] += quantity
            return change

        result, change = self.planned(plan)
        until = utc_now() + HOUR
        stock_lines = self.lines(lines)
        self.expect(lambda c, h: self.reserving.reserve(c, h, stock_lines, until), result, change)
        if result is Result.DONE:
            self.holds[self.last.id] = Hold(list(change.reserved.items()))

    @precondition(lambda self: self.holds)
    @rule(data=st.data())
    def confirm(self, data: st.DataObject) -> None:
        hold_id, hold = self.some_hold(data)
        change = Change()
        for key, quantity in hold.parts if hold.active else ():
            change.on_hand[key] -= quantity
            change.reserved[key] -= quantity
        self.end(hold, lambda c: self.reserving.confirm(c, hold_id), change)

    @precondition(lambda self: self.holds)
    @rule(data=st.data())
    def release(self, data: st.DataObject) -> None:
        hold_id, hold = self.some_hold(data)
        change = Change()
        for key, quantity in hold.parts if hold.active else ():
            change.reserved[key] -= quantity
        self.end(hold, lambda c: self.reserving.release(c, hold_id), change)

    @precondition(lambda self: self.holds)
    @rule(data=st.data())
    def extend(self, data: st.DataObject) -> None:
        hold_id, hold = self.some_hold(data)
        result = Result.DONE if hold.active else Result.ENDED
        until = utc_now() + 2 * HOUR
        self.expect(lambda c, _: self.reserving.extend(c, hold_id, until), result, Change(), dry=False)

    @precondition(lambda self: self.holds)
    @rule(data=st.data())
    def lapse(self, data: st.DataObject) -> None:
        """Its time passes, and no sweeper comes."""
        hold_id, hold = self.some_hold(data)
        self.bench.run(self._lapse(hold_id))
        if hold.active:
            hold.active = False
            for key, quantity in hold.parts:
                self.model.reserved[key] -= quantity
            self.unknown_versions = True

    async def _lapse(self, hold_id: UUID) -> None:
        async with self.database.connect(read_only=False) as connection:
            past = update(reservations).where(reservations.c.id == hold_id, reservations.c.status == "active")
            await connection.execute(past.values(expires_at=utc_now() - HOUR))
            await connection.commit()

    @rule()
    def sweep(self) -> None:
        self.bench.run(self.reserving.expire_due())

    @precondition(lambda self: any(done.deltas for done in self.done))
    @rule(data=st.data())
    def reverse(self, data: st.DataObject) -> None:
        original = data.draw(st.sampled_from([done for done in self.done if done.deltas]))
        change = Change()
        for key, delta in original.deltas.items():
            change.on_hand[key] -= delta
        again = original.id in self.reversed
        result = Result.REVERSED if again else self.outcome(change)
        if self.expect(lambda c, h: self.moving.reverse(c, h, original.id), result, change):
            self.reversed.add(original.id)

    @precondition(lambda self: self.done)
    @rule(data=st.data())
    def send_again(self, data: st.DataObject) -> None:
        done = data.draw(st.sampled_from(self.done))
        outcome = self.bench.run(done.send())
        assert outcome.replayed
        assert outcome.answer.body == done.body

    @rule()
    def change_policy(self) -> None:
        """Stock below zero is forbidden from now on, or allowed again."""
        self.model.overdrawable ^= {OVERDRAWABLE}
        policy = NegativeStock.ALLOW if self.model.overdrawable else NegativeStock.FORBID
        self.bench.run(self._change_policy(policy))

    async def _change_policy(self, policy: NegativeStock) -> None:
        async with self.uow() as uow:
            product = await uow.products.by_sku(OVERDRAWABLE)
            assert product is not None
            await uow.products.replace(product, replace(product.draft(), negative_stock=policy), utc_now())
            await uow.commit()

    @rule()
    def compare(self) -> None:
        seen = self.seen(records(Balance, self.bench.run(self.queries.balances(BalanceFilter(), None, 1000))))
        keys = {*self.model.on_hand, *self.model.reserved, *seen}
        wanted = {key: (self.model.on_hand[key], self.model.reserved[key]) for key in keys}
        assert {key: seen.get(key, (0, 0)) for key in keys} == wanted

    def teardown(self) -> None:
        if hasattr(self, "places"):
            self.compare()
            report = self.bench.run(self.queries.integrity())
            assert report.ok, report.drifts
        self.bench.run(self.database.close())

    # What is expected

    unknown_versions = False
    """Once a hold has lapsed, it is not known when the database notes it, which counts in the balance's version."""

    last: Done

    def expect(
        self,
        send: Callable[[Command, CommandHeader], Awaitable[Outcome[Any]]],
        result: Result,
        change: Change,
        *,
        dry: bool = True,
    ) -> bool:
        """Send a command. Whether it took effect, as it should."""
        sent, header = command(), CommandHeader(reason="tried")
        if dry and len(self.done) % REHEARSED == 0:
            told = self.bench.run(send(sent, replace(header, dry_run=True))).result
            self.check_rehearsal(told, result, change)
        outcome = self.bench.run(send(sent, header))
        assert outcome.answer.status == (200 if result is Result.DONE else 409), outcome.answer.body
        if result is Result.DONE:
            self.model.apply(change)
        else:
            assert result.encode() in outcome.answer.body
        result_id = getattr(outcome.result, "id", sent.id)
        deltas: defaultdict[Key, int] = defaultdict(int)
        if result is Result.DONE and not change.reserved:
            deltas.update(change.on_hand)
        self.last = Done(lambda: send(sent, header), outcome.answer.body, result, dict(deltas), result_id)
        self.done.append(self.last)
        return result is Result.DONE

    def check_rehearsal(self, told: Rehearsal, result: Result, change: Change) -> None:
        assert told.ok == (result is Result.DONE), told.errors
        if told.ok:
            after = self.model.copy()
            after.apply(change)
            seen = self.seen(told.balances)
            assert seen == {
                key: (after.on_hand[key], after.reserved[key]) for key in {*change.on_hand, *change.reserved}
            }
        else:
            assert result in {error.code for error in told.errors}
            assert not told.movements
            assert not told.balances

    def seen(self, found: Sequence[Balance]) -> dict[Key, tuple[int, int]]:
        named = {key: name for name, key in self.products.items()}
        codes = {key: code for code, key in self.places.items()}
        return {Key(named[b.product_id], codes[b.location_id], b.lot or ""): (b.on_hand, b.reserved) for b in found}

    def end(self, hold: Hold, send: Callable[[Command], Awaitable[Outcome[Any]]], change: Change) -> None:
        """By confirmation or release."""
        try:
            self.model.copy().apply(change)
            result = Result.DONE if hold.active else Result.ENDED
        except Short:
            # Promised while less than nothing was allowed.
            result = Result.SHORT
        if self.expect(lambda c, _: send(c), result, change, dry=False):
            hold.active = False

    def planned(self, plan: Callable[[], Change]) -> tuple[Result, Change]:
        try:
            change = plan()
        except Short:
            return Result.SHORT, Change()
        return self.outcome(change), change

    def outcome(self, change: Change) -> Result:
        try:
            self.model.copy().apply(change)
        except Short:
            return Result.SHORT
        return Result.DONE

    def leaving(self, lines: list[Line]) -> Change:
        change = Change()
        for _, key, quantity in self.model.take(lines):
            change.on_hand[key] -= quantity
        return change

    def some_hold(self, data: st.DataObject) -> tuple[UUID, Hold]:
        hold_id = data.draw(st.sampled_from(list(self.holds)))
        return hold_id, self.holds[hold_id]

    # In the service's terms

    def ref(self, each: Line) -> ProductRef:
        return ProductRef(sku=each.product)

    def lines(self, lines: list[Line]) -> list[StockLine]:
        return [self.stock_line(each, each.quantity) for each in lines]

    def stock_line(self, each: Line, quantity: int) -> StockLine:
        location = None if each.location is None else self.places[each.location]
        warehouse = None if each.warehouse is None else self.warehouses[each.warehouse]
        expires_on = DAYS[each.lot] if each.lot and quantity > 0 else None
        return StockLine(self.ref(each), quantity, location, warehouse, each.lot, expires_on)


def command() -> Command:
    return Command(
        caller_id=UUID(int=1),
        actor="machine",
        key=str(new_id()),
        request_hash=bytes(32),
        success=lambda result: Answer(200, encode(result)),
        refusal=refusal,
    )


def refusal(conflict: Conflict) -> Answer:
    return Answer(409, conflict.code.encode())


def test_the_ledger_does_what_the_model_does(bench: Bench, capsys: pytest.CaptureFixture[str]) -> None:
    LedgerMachine.bench = bench
    if LONG:
        with capsys.disabled():
            print(f"\nWAREHOUSE_TEST_SEED={SEED}")  # noqa: T201
        seed(SEED)(LedgerMachine)
    run_state_machine_as_test(
        LedgerMachine,
        settings=settings(
            max_examples=EXAMPLES,
            stateful_step_count=STEPS,
            derandomize=not LONG,
            deadline=None,
            database=None,
            phases=(Phase.generate,),
            suppress_health_check=list(HealthCheck),
        ),
    )
    with capsys.disabled():
        print(f"\n{bench.steps} steps against the model, in {bench.databases} ledgers")  # noqa: T201
    assert bench.steps >= WANTED
