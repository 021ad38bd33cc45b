"""Clients that send a command until it has been done or refused for good."""

import asyncio
import random
from collections.abc import Sequence

from httpx import AsyncClient, Response

from tests.faults.commands import Commands, Sent
from tests.faults.database.figures import Figures
from tests.faults.database.load import Load

AGAIN_SECONDS = (0.1, 1.0)
PATIENCE_SECONDS = 180.0


class InsistingLoad(Load):
    """What was not answered is sent again by another of the `clients`, perhaps to another server."""

    def __init__(
        self, commands: Commands, figures: Figures, chance: random.Random, clients: Sequence[AsyncClient]
    ) -> None:
        super().__init__(commands, figures, chance)
        self._clients = clients

    async def send(self, client: AsyncClient, sent: Sent) -> Response | None:
        """Raises `TimeoutError`."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            await super().send(client, sent)
            while sent.answer is None:
                await asyncio.sleep(self._chance.uniform(*AGAIN_SECONDS))
                await self.attempt(self._any(), sent)
        return sent.answer

    def _any(self) -> AsyncClient:
        return self._chance.choice(self._clients)
