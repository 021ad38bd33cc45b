"""The server killed with -9, every process of it, in the middle of its work: after its restart no acknowledged command
is lost, none has two effects, and the ledger agrees with the balances."""

import asyncio
import os
import random
import secrets
from collections.abc import Sequence
from dataclasses import dataclass

import pytest
from httpx import AsyncClient, HTTPError, Response

from tests.api.calls import Json, Records, new_key, new_records
from tests.api.crowd import crowd, new_client
from tests.conftest import FreshDatabase
from tests.servers import Backend, backends
from tests.serving import WarehouseServer, check
from warehouse.auth.model import Role

LONG = os.environ.get("WAREHOUSE_TEST_STEPS") == "long"
KILLS = 20 if LONG else 3
CLIENTS = 20
SAMPLE = 50
FINAL = (200, 201, 409)
"""What a command is answered with once and for all."""


def killed_on() -> Sequence[Backend]:
    """In the short run one database that is in the server's process and one that is not."""
    asked = backends()
    return asked if LONG else [backend for backend in asked if backend != "postgresql"] or asked


@dataclass
class Sent:
    """A command, and its answer where it was answered before the kill."""

    path: str
    body: Json | None
    headers: Json
    answer: Response | None = None

    @property
    def key(self) -> str:
        key: str = self.headers["Idempotency-Key"]
        return key

    async def to(self, client: AsyncClient) -> Response:
        response = await client.post(self.path, json=self.body, headers=self.headers)
        assert response.status_code in FINAL, response.text
        return response


class Load:
    """Clients that send commands until the connection breaks. `enough` is set after so many answers."""

    def __init__(self, records: Records, chance: random.Random) -> None:
        self.sent: list[Sent] = []
        self.enough = asyncio.Event()
        self._records = records
        self._chance = chance
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
                answer = await self._send(client, *self._command())
                if answer.json().get("status") == "active":
                    end = self._chance.choice(("confirm", "release"))
                    await self._send(client, f"/v1/reservations/{answer.json()['id']}/{end}", None)
        except HTTPError:
            self.enough.set()

    def _command(self) -> tuple[str, Json]:
        line = {**self._records.line, "quantity": self._chance.randint(1, 3)}
        here, there = self._records.location["id"], self._records.other_location["id"]
        kind = self._chance.choice(("receipts", "receipts", "shipments", "transfers", "reservations"))
        if kind == "transfers":
            line = {name: line[name] for name in ("sku", "quantity")}
            line |= {"from_location_id": here, "to_location_id": there}
        return "/v1/reservations" if kind == "reservations" else f"/v1/stock/{kind}", {"lines": [line]}

    async def _send(self, client: AsyncClient, path: str, body: Json | None) -> Response:
        headers = new_key()
        if body is not None:
            body = {**body, "reference": headers["Idempotency-Key"]}
        sent = Sent(path, body, headers)
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
    seed = secrets.randbits(32)
    print(f"seed {seed}")  # noqa: T201 (pytest shows it where a test fails)
    chance = random.Random(seed)  # noqa: S311 (nothing here is secret)
    with WarehouseServer(fresh_database(backend)) as server:
        key = server.key(Role.ADMIN)
        for number in range(KILLS):
            load = await _killed_under_load(server, key, chance)
            server.restart()
            async with new_client(server, key) as client:
                answered, unanswered = load.answered, load.unanswered
                assert unanswered, "it was killed when it was idle"
                done = [await _replay(client, sent) for sent in unanswered]
                for sent in chance.sample(answered, min(SAMPLE, len(answered))):
                    assert await _replay(client, sent)
                print(  # noqa: T201
                    f"kill {number}: {len(answered)} answered, {len(unanswered)} not, though {sum(done)} were done"
                )
                for sent in load.sent:
                    await _check_effect(client, sent)
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


async def _replay(client: AsyncClient, sent: Sent) -> bool:
    """Sends it twice again, and gets the answer that it had, or else one answer twice. Whether it was done before."""
    answers = [await sent.to(client) for _ in range(2)]
    sent.answer = sent.answer or answers[0]
    for again in answers:
        assert (again.status_code, again.content) == (sent.answer.status_code, sent.answer.content)
    first, second = ["idempotent-replayed" in again.headers for again in answers]
    assert second
    return first


async def _check_effect(client: AsyncClient, sent: Sent) -> None:
    """The ledger holds what the answer says, and nothing else of this command."""
    assert sent.answer is not None
    answer, done = sent.answer.json(), sent.answer.is_success
    if sent.body is None:
        assert (await client.get(f"/v1/reservations/{answer['id']}")).json() == answer
        shipped = await _listed(client, "/v1/stock/movements", answer["reference"])
        assert len(shipped) == (len(answer["lines"]) if answer["status"] == "confirmed" else 0)
    elif sent.path == "/v1/reservations":
        held = await _listed(client, sent.path, sent.key)
        assert [each["id"] for each in held] == ([answer["id"]] if done else [])
    else:
        moved = await _listed(client, "/v1/stock/movements", sent.key)
        assert moved[::-1] == (answer["movements"] if done else [])


async def _listed(client: AsyncClient, path: str, reference: str) -> list[Json]:
    found: list[Json] = (await client.get(path, params={"reference": reference})).json()["data"]
    return found
