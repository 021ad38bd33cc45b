"""Runs commands: once each, whatever is sent how often."""

import logging
from collections.abc import Awaitable, Callable
from typing import TypeVar

from warehouse.clock import utc_now
from warehouse.commands.model import Command, Outcome
from warehouse.errors import Code, Conflict, ConnectionLost, Invalid, OutcomeUnknown, TransactionConflict
from warehouse.unit_of_work import UnitOfWork, UnitOfWorkFactory, replayed_on_conflict

T = TypeVar("T")
Work = Callable[[UnitOfWork], Awaitable[T]]

log = logging.getLogger(__name__)


class CommandRunner:
    """The transaction around every request that has an effect.

    With an idempotency key, the key is claimed first, in the same transaction as the effect and the answer. Whoever
    else sends the key meanwhile waits at the claim for that transaction's end and then gets its answer. A refusal by
    the state of the records (409) is kept as an answer too; other errors are not, so the caller can mend the request.
    """

    def __init__(self, uow: UnitOfWorkFactory) -> None:
        self._uow = uow

    async def run(self, command: Command, work: Work[T]) -> Outcome[T]:
        """Raises what `work` raises, and `Invalid(IDEMPOTENCY_KEY_REUSED)` where the key came with another request."""
        if command.key is None:
            return await self._unkeyed(command, work)
        try:
            return await self._keyed(command, command.key, work)
        except Conflict as refusal:
            if refusal.code is Code.IDEMPOTENCY_IN_PROGRESS:
                raise
            return await self._refuse(command, command.key, refusal)

    @replayed_on_conflict
    async def rehearse(self, command: Command, work: Work[T]) -> Outcome[T]:
        """Run the work and roll it back: a dry run."""
        async with self._uow() as uow:
            result = await work(uow)
        return Outcome(command.success(result), replayed=False, result=result)

    @replayed_on_conflict
    async def _unkeyed(self, command: Command, work: Work[T]) -> Outcome[T]:
        async with self._uow() as uow:
            result = await work(uow)
            await uow.commit()
        return Outcome(command.success(result), replayed=False, result=result)

    @replayed_on_conflict
    async def _keyed(self, command: Command, key: str, work: Work[T]) -> Outcome[T]:
        async with self._uow() as uow:
            if await uow.commands.claim(command, utc_now()):
                result = await work(uow)
                answer = command.success(result)
                await uow.commands.record(command, answer)
                await _commit(uow)
                return Outcome(answer, replayed=False, result=result)
        return await self._replay(command, key)

    @replayed_on_conflict
    async def _refuse(self, command: Command, key: str, refusal: Conflict) -> Outcome[T]:
        answer = command.refusal(refusal)
        async with self._uow() as uow:
            if await uow.commands.claim(command, utc_now()):
                await uow.commands.record(command, answer)
                await _commit(uow)
                return Outcome(answer, replayed=False, result=None)
        return await self._replay(command, key)

    async def _replay(self, command: Command, key: str) -> Outcome[T]:
        async with self._uow(read_only=True) as uow:
            record = await uow.commands.find(command.caller_id, key)
            if record is not None:
                # The first run may have died between its commit and its release.
                uow.release(record.tags)
        if record is None:
            raise TransactionConflict("The first request with this key was given up.")
        if record.request_hash != command.request_hash:
            raise Invalid("This key came with another request before.", code=Code.IDEMPOTENCY_KEY_REUSED)
        log.info("command.replayed id=%s", record.id)
        return Outcome(record.answer, replayed=True, result=None)


async def _commit(uow: UnitOfWork) -> None:
    """Where the outcome is not known, run it again: the key tells whether it was done."""
    try:
        await uow.commit()
    except OutcomeUnknown as error:
        raise ConnectionLost("The connection broke at the commit.") from error
