"""Clients that go on whatever they are answered."""

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Sequence
from contextlib import asynccontextmanager

from httpx import AsyncClient, HTTPError, Response

from tests.faults.commands import Commands, Sent, is_final
from tests.faults.database.figures import Figures, answered

READS = 0.5
"""So many for each command."""
THOUGHT_SECONDS = 0.02
"""From an answer to the same client's next request."""
REFUSED_SECONDS = (0.5, 1.5)
"""The same after a command was refused: a crowd that asks again at once, or at the same time, would measure itself."""


class Load:
    """Sends commands and reads what they are about; `sent` are the commands."""

    def __init__(self, commands: Commands, figures: Figures, chance: random.Random) -> None:
        self.sent: list[Sent] = []
        self.records = commands.records
        self._commands = commands
        self._figures = figures
        self._chance = chance
        self._now = asyncio.get_running_loop().time
        self._ending = False
        product = self.records.product
        self._paths = [
            f"/v1/products/{product['id']}",
            f"/v1/products/by-sku/{product['sku']}",
            f"/v1/stock/summary/{product['id']}",
            f"/v1/stock/movements?product_id={product['id']}&limit=5",
        ]
        """The last is not cached."""

    @asynccontextmanager
    async def running(self, clients: Sequence[AsyncClient]) -> AsyncIterator[None]:
        """In the end every request is answered. Raises what goes wrong in a client itself."""
        async with asyncio.TaskGroup() as group:
            for client in clients:
                group.create_task(self._run(client))
            try:
                yield
            finally:
                self._ending = True

    async def send(self, client: AsyncClient, sent: Sent) -> Response | None:
        """None where the connection broke."""
        self.sent.append(sent)
        return await self.attempt(client, sent)

    async def attempt(self, client: AsyncClient, sent: Sent) -> Response | None:
        """Sends it once more."""
        answer = await self._timed(sent.path, sent.send(client), is_read=False)
        if answer is not None and is_final(answer):
            sent.answer = answer
        return answer

    async def read(self, client: AsyncClient, path: str, **headers: str) -> Response | None:
        return await self._timed(path, client.get(path, headers=headers), is_read=True)

    async def _run(self, client: AsyncClient) -> None:
        while not self._ending:
            sent = self._commands.some()
            answer = await self.send(client, sent)
            if answer is not None and answer.json().get("status") == "active":
                await self.send(client, self._commands.end(answer.json()))
            if self._chance.random() < READS:
                await self.read(client, self._chance.choice(self._paths))
            refused = sent.answer is None
            await asyncio.sleep(self._chance.uniform(*REFUSED_SECONDS) if refused else THOUGHT_SECONDS)

    async def _timed(self, path: str, request: Awaitable[Response], *, is_read: bool) -> Response | None:
        begun = self._now()
        try:
            answer = await request
        except HTTPError as error:
            self._figures.answers.append(answered(begun, self._now(), path, is_read, error))
            return None
        self._figures.answers.append(answered(begun, self._now(), path, is_read, answer))
        return answer
