"""What operators see and may order."""

import asyncio

import pytest

from tests.resilience.world import Dependency, in_virtual_time, settle
from warehouse.resilience import CircuitOpenError, Policy, Registry, Snapshot, resilient_call


@in_virtual_time
async def test_it_lists_policies_by_name_with_how_they_are() -> None:
    registry, loop = Registry(), asyncio.get_running_loop()
    rates = Policy(
        "rates", registry=registry, monotonic=loop.time, attempts=2, backoff=0.0, max_in_flight=1, max_queued=5
    )
    Policy("mail", registry=registry, monotonic=loop.time).circuit.force_open()
    with pytest.raises(Exception, match="gave up"):
        await rates.call(Dependency(OSError()))
    calls = [asyncio.create_task(rates.call(Dependency(1.0))) for _ in range(3)]
    await settle()
    assert registry.snapshots() == [
        Snapshot("mail", "forced_open", 30.0, 0, 0, 0, 0, 0, 0, 10),
        Snapshot("rates", "closed", 0.0, 1, 1, 0, 1, 1, 2, 9),
    ]
    await asyncio.gather(*calls)


@in_virtual_time
async def test_operators_force_a_circuit_and_let_it_go() -> None:
    registry = Registry()
    policy = Policy("rates", registry=registry, fail_max=1, attempts=1)
    registry.force_open("rates")
    with pytest.raises(CircuitOpenError):
        await policy.call(Dependency("done"))
    registry.force_closed("rates")
    for _ in range(3):
        with pytest.raises(OSError, match="down"):
            await policy.call(Dependency(OSError("down")))
    registry.auto("rates")
    assert await policy.call(Dependency("done")) == "done"
    assert [each.state for each in registry.snapshots()] == ["closed"]


@pytest.mark.parametrize("order", ["force_open", "force_closed", "auto"])
def test_a_name_that_nobody_has_is_refused(order: str) -> None:
    with pytest.raises(KeyError):
        getattr(Registry(), order)("rates")


def test_a_name_is_given_once() -> None:
    registry = Registry()
    Policy("rates", registry=registry)
    with pytest.raises(ValueError, match="rates already"):
        Policy("rates", registry=registry)


class Mailer:
    async def __call__(self) -> None: ...


def test_a_decorated_function_is_listed_under_its_own_name_or_the_one_given() -> None:
    registry = Registry()

    @resilient_call(registry=registry)
    async def fetch() -> None: ...

    @resilient_call("mail", registry=registry)
    async def send() -> None: ...

    resilient_call(registry=registry)(Mailer())
    here = __name__
    test = "test_a_decorated_function_is_listed_under_its_own_name_or_the_one_given"
    assert [each.name for each in registry.snapshots()] == ["mail", f"{here}.Mailer", f"{here}.{test}.<locals>.fetch"]
