"""What has to hold at any time, faults or not."""

import asyncio
import random

from httpx import AsyncClient, HTTPError, Response

from tests.api.calls import Json
from tests.faults.database.load import Load

SECONDS = 5.0
SAMPLE = 10


class Watcher:
    """Looks every few seconds; `wrongs` is what it found. A look that is not answered says nothing."""

    def __init__(self, load: Load, client: AsyncClient, chance: random.Random) -> None:
        self.looks = 0
        self.unanswered = 0
        self.wrongs: list[str] = []
        self._load = load
        self._client = client
        self._chance = chance

    async def run(self) -> None:
        while True:
            await asyncio.sleep(SECONDS)
            await self.look()

    async def look(self) -> None:
        """That acknowledged commands can be read, and nothing is oversold."""
        done = [each for each in self._load.sent if each.path.startswith("/v1/stock/") and _is_done(each.answer)]
        for sent in self._chance.sample(done, min(SAMPLE, len(done))):
            assert sent.answer is not None
            moved = await self._listed("/v1/stock/movements", {"reference": sent.key})
            if moved is not None and moved[::-1] != sent.answer.json()["movements"]:
                self.wrongs.append(f"lost: {sent.path} {sent.key}: {sent.answer.text}, but {moved}")
        for balance in await self._listed("/v1/stock", {"product_id": self._load.records.product["id"]}) or ():
            if balance["on_hand"] < 0 or balance["available"] < 0:
                self.wrongs.append(f"oversold: {balance}")

    async def _listed(self, path: str, query: Json) -> list[Json] | None:
        self.looks += 1
        try:
            answer = await self._client.get(path, params=query, headers={"Cache-Control": "no-cache"})
        except HTTPError:
            self.unanswered += 1
            return None
        if answer.status_code != 200:
            self.unanswered += 1
            return None
        found: list[Json] = answer.json()["data"]
        return found


def _is_done(answer: Response | None) -> bool:
    return answer is not None and answer.is_success
