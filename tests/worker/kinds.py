"""Kinds of tasks for tests."""

import asyncio
import os
import signal
from collections.abc import Mapping
from contextlib import suppress

from warehouse.clock import utc_now
from warehouse.ids import new_id
from warehouse.stock.accounts import RowStatus
from warehouse.stock.bulk import LedgerRow, Posting
from warehouse.stock.model import MovementKind
from warehouse.tasks.running import Running, TaskKind
from warehouse.unit_of_work import UnitOfWorkFactory, replayed_on_conflict

SECONDS = 300.0


def kinds(uow: UnitOfWorkFactory) -> Mapping[str, TaskKind]:
    async def receive(running: Running) -> None:
        """In `batches` transactions: each adds `quantity` of `sku` at `location`, as often as it is run; only its mark
        tells that it was. `pause` is in seconds."""
        parameters = running.task.parameters
        for number in range(parameters["batches"]):
            await batch(running, number)
            running.report(number + 1, parameters["batches"])
            await asyncio.sleep(parameters["pause"])

    @replayed_on_conflict
    async def batch(running: Running, number: int) -> None:
        async with uow() as transaction:
            await running.hold(transaction)
            if number in await transaction.tasks.batches(running.task.id):
                return
            [outcome] = await Posting().post(transaction, [_row(running)], "worker", utc_now())
            assert outcome.status is RowStatus.POSTED, outcome
            outcome_of_batch = {"attempt": running.task.attempt, "process": os.getpid()}
            await transaction.tasks.add_batch(running.task.id, number, outcome_of_batch)
            await transaction.commit()

    return {
        "receive": TaskKind(receive, SECONDS),
        "wait": TaskKind(_wait, SECONDS),
        "kill": TaskKind(_kill, SECONDS),
        "deaf": TaskKind(_deaf, SECONDS),
    }


async def _wait(running: Running) -> None:
    """For `seconds`."""
    await asyncio.sleep(running.task.parameters["seconds"])


async def _deaf(running: Running) -> None:
    """Does not end when it is cancelled."""
    while True:
        with suppress(asyncio.CancelledError):
            await asyncio.sleep(SECONDS)


async def _kill(running: Running) -> None:
    """The worker, with all that it does."""
    os.kill(os.getpid(), signal.SIGKILL)


def _row(running: Running) -> LedgerRow:
    parameters = running.task.parameters
    return LedgerRow(
        command_id=new_id(),
        kind=MovementKind.RECEIPT,
        sku=parameters["sku"],
        warehouse=None,
        location=parameters["location"],
        lot=None,
        expires_on=None,
        quantity=parameters["quantity"],
        reason=None,
        reference=str(running.task.id),
        occurred_at=utc_now(),
    )
