"""The server killed with -9, every process of it, in the middle of its work: after its restart no acknowledged command
is lost, none has two effects, and the ledger agrees with the balances."""

import asyncio
import random
from collections.abc import Sequence

import pytest
from httpx import AsyncClient, HTTPError, Response

from tests.api.calls import Records, new_records
from tests.api.crowd import crowd, new_client
from tests.conftest import FreshDatabase
from tests.faults.chance import LONG, new_seed, seeded
from tests.faults.commands import Commands, Sent, check_effect, replay
from tests.servers import Backend, backends
from tests.serving import WarehouseServer, check
from warehouse.auth.model import Role

KILLS = 20 if LONG else 3
CLIENTS = 20
SAMPLE = 50


def killed_on() -> Sequence[Backend]:
    """In the short run one database that is in the server's process and one that is not."""
    asked = backends()
    return asked if LONG else [backend for backend in asked if backend != "postgresql"] or asked


class Load:
    """Clients that send commands until the connection breaks. `enough` is set after so many answers."""

    def __init__(self, records: Records, chance: random.Random) -> None:
        self.sent: list[Sent] = []
        self.enough = asyncio.Event()
        self._commands = Commands(records, chance)
        self._left = chance.randint(20, 200)

    @property
    def answered(self) -> list[Sent]:
        return [each for each in self.sent if each.answer is not None]

    @property
    def unanswered(self) -> list[Sent]:
        return [each for each in self.sent if each.answer is None]

    async def run(self, client: AsyncClient) -> None:
        try:
            while True:
                answer = await self._send(client, self._commands.some())
                if answer.json().get("status") == "active":
                    await self._send(client, self._commands.end(answer.json()))
        except HTTPError:
            self.enough.set()

    async def _send(self, client: AsyncClient, sent: Sent) -> Response:
        self.sent.append(sent)
        sent.answer = await sent.to(client)
        self._left -= 1
        if self._left == 0:
            self.enough.set()
        return sent.answer


@pytest.mark.parametrize("backend", killed_on(), indirect=True)
async def test_a_killed_server_loses_no_command_and_does_none_twice(
    backend: Backend, fresh_database: FreshDatabase
) -> None:
    seed = new_seed()
    print(f"WAREHOUSE_TEST_SEED={seed}")  # noqa: T201 (pytest shows it where a test fails)
    chance = seeded(seed)
    with WarehouseServer(fresh_database(backend)) as server:
        key = server.key(Role.ADMIN)
        for number in range(KILLS):
            load = await _killed_under_load(server, key, chance)
            server.restart()
            async with new_client(server, key) as client:
                answered, unanswered = load.answered, load.unanswered
                assert unanswered, "it was killed when it was idle"
                done = [await replay(client, sent) for sent in unanswered]
                for sent in chance.sample(answered, min(SAMPLE, len(answered))):
                    assert await replay(client, sent)
                print(  # noqa: T201
                    f"kill {number}: {len(answered)} answered, {len(unanswered)} not, though {sum(done)} were done"
                )
                for sent in load.sent:
                    await check_effect(client, sent)
            check(server.database_url)


async def _killed_under_load(server: WarehouseServer, key: str, chance: random.Random) -> Load:
    async with new_client(server, key) as client:
        load = Load(await new_records(client), chance)
    async with crowd(server, key, CLIENTS) as clients:
        running = [asyncio.create_task(load.run(client)) for client in clients]
        await load.enough.wait()
        server.kill()
        await asyncio.gather(*running)
    return load
