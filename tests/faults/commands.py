"""Commands at random, sent again by their keys, and what the ledger has to hold of them."""

import random
from dataclasses import dataclass

from httpx import AsyncClient, Response

from tests.api.calls import Json, Records, new_key
from warehouse.errors import Code

FINAL = (200, 201, 409)
"""What a command is answered with once and for all."""


def is_final(answer: Response) -> bool:
    return answer.status_code in FINAL and not (
        answer.status_code == 409 and answer.json()["code"] == Code.IDEMPOTENCY_IN_PROGRESS
    )


@dataclass
class Sent:
    """A command, and its answer where it has got one that is final."""

    path: str
    body: Json | None
    headers: Json
    answer: Response | None = None

    @property
    def key(self) -> str:
        key: str = self.headers["Idempotency-Key"]
        return key

    async def send(self, client: AsyncClient) -> Response:
        return await client.post(self.path, json=self.body, headers=self.headers)

    async def to(self, client: AsyncClient) -> Response:
        response = await self.send(client)
        assert response.status_code in FINAL, response.text
        return response


class Commands:
    """About one product at two locations, that there is too little of for everybody."""

    def __init__(self, records: Records, chance: random.Random) -> None:
        self.records = records
        self._chance = chance

    def some(self) -> Sent:
        kind = self._chance.choice(("receipts", "receipts", "shipments", "transfers", "reservations"))
        return self.of(kind, self._chance.randint(1, 3))

    def of(self, kind: str, quantity: int) -> Sent:
        """`kind` is `receipts`, `shipments`, `transfers` or `reservations`."""
        line = {**self.records.line, "quantity": quantity}
        here, there = self.records.location["id"], self.records.other_location["id"]
        if kind == "transfers":
            line = {name: line[name] for name in ("sku", "quantity")}
            line |= {"from_location_id": here, "to_location_id": there}
        headers = new_key()
        body = {"lines": [line], "reference": headers["Idempotency-Key"]}
        return Sent("/v1/reservations" if kind == "reservations" else f"/v1/stock/{kind}", body, headers)

    def end(self, reservation: Json) -> Sent:
        return self.confirmation(reservation, self._chance.choice(("confirm", "release")))

    @staticmethod
    def confirmation(reservation: Json, end: str = "confirm") -> Sent:
        return Sent(f"/v1/reservations/{reservation['id']}/{end}", None, new_key())


async def replay(client: AsyncClient, sent: Sent) -> bool:
    """Sends it twice again, and gets the answer that it had, or else one answer twice. Whether it was done before."""
    answers = [await sent.to(client) for _ in range(2)]
    sent.answer = sent.answer or answers[0]
    for again in answers:
        assert (again.status_code, again.content) == (sent.answer.status_code, sent.answer.content)
    first, second = ["idempotent-replayed" in again.headers for again in answers]
    assert second
    return first


async def check_effect(client: AsyncClient, sent: Sent) -> None:
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
