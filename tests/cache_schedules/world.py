"""What all processes have in common, and the check of what they read."""

import asyncio
from collections import Counter
from collections.abc import Callable, Sequence

from redis.exceptions import OutOfMemoryError

from tests.cache_schedules.loop import Chances, SeededLoop
from tests.cache_schedules.plan import ITEMS, Plan
from tests.cache_schedules.servers import INSTALLATION, Cells, Command, Database
from tests.cache_schedules.trace import Trace
from warehouse.cache.fence import View
from warehouse.cache.store import StoreFailure


class Violation(AssertionError):
    """The promise was broken."""


class Ledger:
    """Which versions of the items were acknowledged.

    The promise: no read returns a value older than the last write that was acknowledged before the read began.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._acknowledged = [0] * len(database.versions)

    def acknowledge(self, item: int, version: int) -> None:
        self._acknowledged[item] = max(version, self._acknowledged[item])

    def owed(self, items: Sequence[int]) -> list[int]:
        """To a read that begins now."""
        return [self._acknowledged[item] for item in items]

    def check(self, items: Sequence[int], owed: Sequence[int], seen: Sequence[int]) -> None:
        newest = self._database.query(items)
        if not all(least <= version <= most for least, version, most in zip(owed, seen, newest, strict=True)):
            raise Violation(f"{seen} of items {items}, where {owed} were acknowledged and {newest} committed")


class World:
    def __init__(self, plan: Plan, chances: Chances, loop: SeededLoop) -> None:
        self.plan = plan
        self.chances = chances
        self.loop = loop
        self.trace = Trace(loop.time)
        self.happened: Counter[str] = Counter()
        self.failure: Callable[[], Exception] = OutOfMemoryError if plan.redis else StoreFailure
        self.cells = Cells(loop.time, self.failure)
        self.database = Database(ITEMS, View(INSTALLATION, plan.usable, 2 if plan.usable else 1))
        self.ledger = Ledger(self.database)
        self._commands = 0

    def new_command(self, item: int) -> Command:
        self._commands += 1
        return Command(self._commands, item)

    async def idle(self) -> None:
        """Let others go on: for a while, or for some steps."""
        pace = self.plan.tempo.pace
        if pace and self.chances.happens(0.8):
            await asyncio.sleep(pace * self.chances.random())
        else:
            for _ in range(self.chances.below(8)):
                await asyncio.sleep(0)
