import asyncio
import os
from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.resilience.world import Clock, in_virtual_time
from warehouse.orders import POLL_SECONDS, Order, Orders
from warehouse.policies import Policies

WRITES = "database_writes"


class Process:
    """With policies of its own, and a loop that follows orders when it is told to."""

    def __init__(self, clock: Clock, folder: Path | None) -> None:
        self.policies = Policies(monotonic=clock)
        self.orders = Orders(self.policies.registry, folder, clock)

    @property
    def states(self) -> Mapping[str, str]:
        """Those that are not closed."""
        found = {each.name: each.state for each in self.policies.registry.snapshots()}
        return {name: state for name, state in found.items() if state != "closed"}


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def processes(clock: Clock, tmp_path: Path) -> tuple[Process, Process]:
    return Process(clock, tmp_path), Process(clock, tmp_path)


@pytest.fixture(params=["in memory", "in a folder"])
def process(request: pytest.FixtureRequest, clock: Clock, tmp_path: Path) -> Process:
    return Process(clock, tmp_path if request.param == "in a folder" else None)


@pytest.mark.parametrize(("order", "state"), [(Order.OPEN, "forced_open"), (Order.CLOSE, "disabled")])
def test_an_order_holds_at_once_and_ends_by_itself(process: Process, clock: Clock, order: Order, state: str) -> None:
    process.orders.give(WRITES, order, 60)
    assert process.states == {WRITES: state}
    clock.advance(59.9)
    process.orders.follow()
    assert process.states == {WRITES: state}
    clock.advance(0.1)
    process.orders.follow()
    assert process.states == {}


def test_the_same_order_again_begins_its_time_anew(process: Process, clock: Clock) -> None:
    process.orders.give(WRITES, Order.OPEN, 60)
    clock.advance(50)
    process.orders.give(WRITES, Order.OPEN, 60)
    clock.advance(50)
    process.orders.follow()
    assert process.states == {WRITES: "forced_open"}


def test_the_last_order_counts(process: Process, clock: Clock) -> None:
    process.orders.give(WRITES, Order.OPEN, 60)
    process.orders.give(WRITES, Order.CLOSE, 10)
    process.orders.follow()
    assert process.states == {WRITES: "disabled"}
    clock.advance(10)
    process.orders.follow()
    assert process.states == {}


def test_auto_gives_the_decision_back(process: Process) -> None:
    process.orders.give(WRITES, Order.OPEN, 60)
    process.orders.give(WRITES, Order.AUTO, 60)
    assert process.states == {}
    process.orders.follow()
    assert process.states == {}


def test_a_circuit_that_opened_by_itself_is_none_of_the_orders_business(process: Process) -> None:
    circuit = process.policies.database_writes.circuit
    for _ in range(process.policies.database_writes.settings.fail_max):
        circuit.failed(circuit.admit(), 0.0, OSError())
    process.orders.follow()
    assert process.states == {WRITES: "open"}


@pytest.mark.parametrize("order", list(Order))
@pytest.mark.parametrize("name", ["", "nonsense", "../database_writes", "a\x00b"])
def test_of_a_policy_that_there_is_not_nothing_can_be_ordered(
    process: Process, tmp_path: Path, order: Order, name: str
) -> None:
    with pytest.raises(KeyError):
        process.orders.give(name, order, 60)
    assert not list(tmp_path.iterdir())


def test_what_one_process_is_told_the_others_follow(processes: tuple[Process, Process], clock: Clock) -> None:
    one, other = processes
    one.orders.give(WRITES, Order.OPEN, 60)
    assert other.states == {}
    other.orders.follow()
    assert other.states == {WRITES: "forced_open"}
    other.orders.give("cache", Order.CLOSE, 30)
    one.orders.follow()
    assert one.states == {WRITES: "forced_open", "cache": "disabled"}
    clock.advance(30)
    for each in processes:
        each.orders.follow()
    assert one.states == other.states == {WRITES: "forced_open"}


def test_another_process_may_take_an_order_back(processes: tuple[Process, Process]) -> None:
    one, other = processes
    one.orders.give(WRITES, Order.OPEN, 60)
    other.orders.follow()
    other.orders.give(WRITES, Order.AUTO, 60)
    one.orders.follow()
    assert one.states == other.states == {}


def test_a_process_that_starts_later_follows_what_was_ordered_before(clock: Clock, tmp_path: Path) -> None:
    Process(clock, tmp_path).orders.give(WRITES, Order.OPEN, 60)
    late = Process(clock, tmp_path)
    late.orders.follow()
    assert late.states == {WRITES: "forced_open"}


GARBAGE = [b"", b"\xff", b"open", b"5", b"[]", b'["open"]', b'["open",null]', b'["open","soon"]', b'["shut",9e9]']
GARBAGE += [b"[[],9e9]", b'{"open":1,"close":2}', b'["open",9e9,1]']


@pytest.mark.parametrize("garbage", GARBAGE)
def test_what_cannot_be_read_is_no_order_and_the_others_are_followed(
    processes: tuple[Process, Process], tmp_path: Path, garbage: bytes
) -> None:
    one, other = processes
    one.orders.give(WRITES, Order.OPEN, 60)
    (tmp_path / "order-cache").write_bytes(garbage)
    (tmp_path / "order-database_reads").mkdir()
    other.orders.follow()
    assert other.states == {WRITES: "forced_open"}


def test_a_folder_that_is_away_ends_every_order(processes: tuple[Process, Process], tmp_path: Path) -> None:
    one, _ = processes
    one.orders.give(WRITES, Order.OPEN, 60)
    os.rename(tmp_path, tmp_path.with_name("elsewhere"))
    one.orders.follow()
    assert one.states == {}


@in_virtual_time
async def test_orders_are_followed_until_that_is_cancelled() -> None:
    clock = Clock()
    process = Process(clock, None)
    following = asyncio.create_task(process.orders.run())
    process.orders.give(WRITES, Order.OPEN, 60)
    clock.advance(60)
    await asyncio.sleep(POLL_SECONDS)
    assert process.states == {}
    following.cancel()
    await asyncio.gather(following, return_exceptions=True)
