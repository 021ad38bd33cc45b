"""A journal of an import on every database: its marks are kept as the answers of commands."""

from collections.abc import Callable, Mapping

import orjson

from warehouse.clock import utc_now
from warehouse.commands.model import Answer, Command
from warehouse.errors import Conflict
from warehouse.exchange.journal import BatchOutcome
from warehouse.ids import new_id
from warehouse.unit_of_work import UnitOfWork, UnitOfWorkFactory


class Killed(Exception):
    """The worker is no more."""


class StoredJournal:
    """`before` is called in the transaction of a batch before its mark is made, `after` behind it."""

    def __init__(self, uow: UnitOfWorkFactory) -> None:
        self._uow = uow
        self._caller = new_id()
        self.before: Callable[[int], None] = _nothing
        self.after: Callable[[int], None] = _nothing
        self.marked: list[int] = []

    async def done(self) -> Mapping[int, BatchOutcome]:
        found: dict[int, BatchOutcome] = {}
        async with self._uow(read_only=True) as uow:
            while record := await uow.commands.find(self._caller, str(len(found))):
                found[len(found)] = BatchOutcome.restored(orjson.loads(record.answer.body))
        return found

    async def mark(self, uow: UnitOfWork, number: int, outcome: BatchOutcome) -> None:
        self.before(number)
        command = Command(self._caller, "test", str(number), b"x" * 32, _no_answer, _no_answer)
        assert await uow.commands.claim(command, utc_now())
        await uow.commands.record(command, Answer(200, orjson.dumps(outcome)))
        self.marked.append(number)
        self.after(number)


def _nothing(_: int) -> None:
    pass


def _no_answer(_: object) -> Answer:
    raise Conflict("No command is run here.")
