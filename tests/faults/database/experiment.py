"""An experiment: load on two servers, a fault, and in the end the account of it."""

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

from httpx import AsyncClient, HTTPError

from tests.api.calls import Json, new_records
from tests.faults.chance import new_seed, seeded
from tests.faults.commands import Commands, Sent
from tests.faults.database.audit import audit, settle
from tests.faults.database.figures import Figures
from tests.faults.database.load import Load
from tests.faults.database.stage import DatabaseStage, staged_database
from tests.faults.returning import ReturningMariaDb, ReturningValkey

DEADLINE = 5.0
"""Within which the servers answer, in seconds."""
LATE = 1.0
"""What an answer may take beyond that on a machine that is busy with the test itself."""
IN_TIME = {"REQUEST_TIMEOUT": str(DEADLINE), "DATABASE_TIMEOUT": "2"}
WAIT_SECONDS = 60.0
POLL_SECONDS = 0.02


@dataclass(frozen=True)
class Experiment:
    stage: DatabaseStage
    clients: Sequence[AsyncClient]
    commands: Commands
    load: Load
    figures: Figures
    chance: random.Random

    async def done(self, sent: Sent) -> Json:
        """By the first server; what it answers."""
        answer = await self.load.send(self.clients[0], sent)
        assert answer is not None
        assert answer.is_success, answer.text
        document: Json = answer.json()
        return document

    async def answers(self, count: int, seconds: float = WAIT_SECONDS) -> None:
        """Until there are so many more."""
        enough = len(self.figures.answers) + count
        await until(lambda: len(self.figures.answers) >= enough, seconds)

    async def usable(self, seconds: float = WAIT_SECONDS) -> float:
        """Until every server is ready and does a command. The seconds that it took."""
        return await self._recovery(self._is_usable, seconds)

    async def ready(self, seconds: float = WAIT_SECONDS) -> float:
        """Until every server says that it is. The seconds that it took."""
        return await self._recovery(self._is_ready, seconds)

    async def _recovery(self, has: Callable[[AsyncClient], Awaitable[bool]], seconds: float) -> float:
        loop = asyncio.get_running_loop()
        begun = loop.time()
        async with asyncio.timeout(seconds), self.stage.clients(len(self.stage.servers)) as clients:
            for client in clients:
                while not await has(client):  # noqa: ASYNC110 (it is in another process)
                    await asyncio.sleep(POLL_SECONDS)
        return loop.time() - begun

    async def _is_usable(self, client: AsyncClient) -> bool:
        answer = await self.load.send(client, self.commands.of("receipts", 1))
        return answer is not None and answer.status_code == 201

    async def _is_ready(self, client: AsyncClient) -> bool:
        try:
            return (await client.get("/readyz")).status_code == 200
        except HTTPError:
            return False


async def until(condition: Callable[[], bool], seconds: float = WAIT_SECONDS) -> None:
    """Raises `TimeoutError`."""
    async with asyncio.timeout(seconds):
        while not condition():  # noqa: ASYNC110 (what it waits for happens in other processes)
            await asyncio.sleep(POLL_SECONDS)


@asynccontextmanager
async def experiment(
    name: str,
    database: ReturningMariaDb,
    valkey: ReturningValkey,
    *,
    settings: Mapping[str, str] | None = None,
    clients: int = 12,
) -> AsyncIterator[Experiment]:
    """In the end everything is settled and looked for, and the figures are printed; nothing may be lost, done twice or
    oversold, and every answer has to be a result or a 503 that says when to try again."""
    figures = Figures(name, new_seed())
    chance = seeded(figures.seed)
    async with (
        staged_database(database, valkey, chance, settings) as stage,
        stage.clients(clients) as all_clients,
        stage.clients(1) as [auditor],
    ):
        commands = Commands(await new_records(auditor), chance)
        load = Load(commands, figures, chance)
        running = Experiment(stage, all_clients, commands, load, figures, chance)
        try:
            yield running
            await running.usable()
            await settle(auditor, load.sent, chance)
            await audit(auditor, load.sent, commands.records, figures)
        finally:
            print(figures, stage.tracebacks())  # noqa: T201 (pytest shows it where a test fails)
        assert (figures.lost, figures.duplicated, figures.oversold) == ([], [], 0)
        assert figures.wrong == []
        assert stage.tracebacks() == ""
