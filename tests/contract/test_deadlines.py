"""A request whose time is over sends no further statement."""

import pytest

from tests.contract.statements import recorded
from tests.resilience.world import Clock
from warehouse.auth.model import Role, Secret
from warehouse.clock import utc_now
from warehouse.errors import Code, Unavailable
from warehouse.ids import new_id
from warehouse.resilience import DeadlineExceeded, deadline
from warehouse.unit_of_work import UnitOfWorkFactory

PREFIX = "a" * 12


@pytest.mark.parametrize("read_only", [True, False])
async def test_when_the_time_is_over_nothing_is_sent(uow_factory: UnitOfWorkFactory, read_only: bool) -> None:
    with recorded() as sent, deadline(0), pytest.raises(Unavailable) as caught:
        async with uow_factory(read_only=read_only) as uow:
            await uow.api_keys.by_prefix(PREFIX)
    assert caught.value.code is Code.TIMEOUT
    assert sent == []


@pytest.mark.parametrize("read_only", [True, False])
async def test_when_the_time_runs_out_no_further_statement_is_sent(
    uow_factory: UnitOfWorkFactory, read_only: bool
) -> None:
    clock = Clock()
    with deadline(10.0, clock):
        async with uow_factory(read_only=read_only) as uow:
            with recorded() as sent:
                await uow.api_keys.by_prefix(PREFIX)
            assert sent
            clock.advance(10.0)
            with recorded() as sent, pytest.raises(DeadlineExceeded):
                await uow.api_keys.by_prefix(PREFIX)
    assert sent == []


async def test_a_transaction_whose_time_runs_out_before_its_commit_has_no_effect(
    uow_factory: UnitOfWorkFactory,
) -> None:
    clock, secret = Clock(), Secret.generate()
    with deadline(10.0, clock):
        async with uow_factory() as uow:
            await uow.api_keys.add(new_id(), "late", Role.VIEWER, secret, utc_now(), None)
            clock.advance(10.0)
            with pytest.raises(Unavailable) as caught:
                await uow.commit()
    assert caught.value.code is Code.TIMEOUT
    async with uow_factory(read_only=True) as uow:
        assert await uow.api_keys.by_prefix(secret.prefix) is None


async def test_the_next_transaction_finds_everything_in_order(uow_factory: UnitOfWorkFactory) -> None:
    secret = Secret.generate()
    async with uow_factory() as uow:
        await uow.api_keys.add(new_id(), "in time", Role.VIEWER, secret, utc_now(), None)
        await uow.commit()
    async with uow_factory(read_only=True) as uow:
        assert await uow.api_keys.by_prefix(secret.prefix) is not None
