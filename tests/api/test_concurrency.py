"""Many clients at once, and two processes of the server: stock is not oversold, no update is lost, and no command has
two effects."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Mapping, Sequence

import pytest
from httpx import AsyncClient, Response

from tests.api.calls import Json, Records, made, new_code, new_key, new_product, new_records, new_reservation
from tests.api.crowd import crowd, new_client, sent
from tests.serving import WarehouseServer
from warehouse.auth.model import Role

BUYERS, UNITS = 200, 50
CROSSING, ENOUGH_FOR = 60, 40
EDITORS = 100
COMMANDS, COPIES, AT_ONCE = 1000, 3, 30


@pytest.fixture(scope="module")
def key(server: WarehouseServer) -> str:
    return server.key(Role.ADMIN)


@pytest.fixture(scope="module")
async def admin(server: WarehouseServer, key: str) -> AsyncIterator[AsyncClient]:
    async with new_client(server, key) as admin:
        yield admin


@pytest.fixture
async def records(admin: AsyncClient) -> AsyncIterator[Records]:
    """With `UNITS` of the product in the first location. Afterwards the ledger and the balances must agree."""
    records = await new_records(admin)
    await made(admin, "/v1/stock/receipts", {"lines": [{**records.line, "quantity": UNITS - 10}]})
    yield records
    integrity = (await admin.get("/v1/integrity")).json()
    assert integrity["ok"], integrity


@pytest.fixture(params=["location", "warehouse"])
def place(request: pytest.FixtureRequest, records: Records) -> Json:
    """Where a line is served from: a location that it names, or wherever the service finds it in the warehouse."""
    return {f"{request.param}_id": getattr(records, request.param)["id"]}


def outcomes(responses: Sequence[Response]) -> Mapping[str, int]:
    """How many were answered with which status, and code where they were refused."""
    return Counter(
        str(each.status_code) if each.is_success else f"{each.status_code} {each.json()['code']}" for each in responses
    )


@pytest.mark.parametrize("act", ["stock/shipments", "reservations"])
async def test_200_buyers_of_50_units_get_exactly_50(
    server: WarehouseServer, key: str, admin: AsyncClient, records: Records, place: Json, act: str
) -> None:
    body = {"lines": [{"sku": records.product["sku"], "quantity": 1, **place}]}
    async with crowd(server, key, BUYERS) as buyers:
        bought = await asyncio.gather(*(sent(buyer, f"/v1/{act}", body, new_key()) for buyer in buyers))
    assert outcomes(bought) == {"201": UNITS, "409 insufficient_stock": BUYERS - UNITS}
    totals = (await admin.get(f"/v1/stock/summary/{records.product['id']}")).json()
    assert totals["available"] == 0
    assert totals["on_hand"] == totals["reserved"] == (UNITS if act == "reservations" else 0)


@pytest.mark.parametrize("act", ["stock/shipments", "reservations", "stock/transfers"])
async def test_60_commands_that_cross_each_other_succeed_or_lack_stock(
    server: WarehouseServer, key: str, admin: AsyncClient, records: Records, place: Json, act: str
) -> None:
    here, there = records.location["id"], records.other_location["id"]
    skus = [(await new_product(admin))["sku"] for _ in range(2)]
    arrivals = [{"sku": sku, "location_id": here, "quantity": ENOUGH_FOR} for sku in skus]
    await made(admin, "/v1/stock/receipts", {"lines": arrivals})
    if act == "stock/transfers":
        place = {"from_location_id": here, "to_location_id": there}
    lines = [{"sku": sku, "quantity": 1, **place} for sku in skus]
    bodies = [{"lines": lines}, {"lines": lines[::-1]}]
    async with crowd(server, key, CROSSING) as clients:
        answers = await asyncio.gather(
            *(sent(client, f"/v1/{act}", bodies[number % 2], new_key()) for number, client in enumerate(clients))
        )
    assert outcomes(answers) == {"201": ENOUGH_FOR, "409 insufficient_stock": CROSSING - ENOUGH_FOR}


async def test_transfers_to_and_fro_change_no_total(
    server: WarehouseServer, key: str, admin: AsyncClient, records: Records
) -> None:
    places = [records.location["id"], records.other_location["id"]]
    arrival = {"sku": records.product["sku"], "location_id": places[1], "quantity": UNITS}
    await made(admin, "/v1/stock/receipts", {"lines": [arrival]})

    def body(number: int) -> Json:
        one, other = places if number % 2 else places[::-1]
        return {
            "lines": [{"sku": records.product["sku"], "quantity": 1, "from_location_id": one, "to_location_id": other}]
        }

    async with crowd(server, key, CROSSING) as clients:
        answers = await asyncio.gather(
            *(sent(client, "/v1/stock/transfers", body(number), new_key()) for number, client in enumerate(clients))
        )
    assert outcomes(answers) == {"201": CROSSING}
    totals = (await admin.get(f"/v1/stock/summary/{records.product['id']}")).json()
    assert totals["on_hand"] == 2 * UNITS


@pytest.mark.parametrize("kind", ["product", "warehouse", "location"])
async def test_of_100_changes_of_one_version_one_is_made(
    server: WarehouseServer, key: str, admin: AsyncClient, records: Records, kind: str
) -> None:
    path = f"/v1/{kind}s/{getattr(records, kind)['id']}"
    seen = {"If-Match": (await admin.get(path)).headers["etag"]}
    async with crowd(server, key, EDITORS) as editors:
        changed = await asyncio.gather(
            *(editor.patch(path, json={"name": f"Name {n}"}, headers=seen) for n, editor in enumerate(editors))
        )
    assert outcomes(changed) == {"200": 1, "412 stale_version": EDITORS - 1}
    (winner,) = [each for each in changed if each.is_success]
    assert (await admin.get(path)).content == winner.content
    assert {each.json()["current_version"] for each in changed if not each.is_success} == {2}


async def test_1000_commands_sent_3_times_at_once_have_1000_effects(
    server: WarehouseServer, key: str, admin: AsyncClient, records: Records
) -> None:
    movements = (await admin.get("/v1/integrity")).json()["movements"]
    numbers = iter(range(COMMANDS))
    body = {"lines": [{**records.line, "quantity": 1}]}

    async def send(copies: Sequence[AsyncClient]) -> list[Sequence[Response]]:
        answers: list[Sequence[Response]] = []
        for _ in numbers:
            headers = new_key()
            copied = (sent(client, "/v1/stock/receipts", body, headers) for client in copies)
            answers.append(await asyncio.gather(*copied))
        return answers

    async with crowd(server, key, COPIES * AT_ONCE) as clients:
        groups = [clients[start : start + COPIES] for start in range(0, len(clients), COPIES)]
        commands = [command for some in await asyncio.gather(*map(send, groups)) for command in some]
    assert outcomes([answer for command in commands for answer in command]) == {"201": COMMANDS * COPIES}
    assert {len({answer.content for answer in command}) for command in commands} == {1}
    assert {sum("idempotent-replayed" in answer.headers for answer in command) for command in commands} == {COPIES - 1}
    assert len({command[0].json()["command_id"] for command in commands}) == COMMANDS
    assert (await admin.get("/v1/integrity")).json()["movements"] == movements + COMMANDS
    totals = (await admin.get(f"/v1/stock/summary/{records.product['id']}")).json()
    assert totals["on_hand"] == UNITS + COMMANDS


async def test_a_reservation_is_ended_once(
    server: WarehouseServer, key: str, admin: AsyncClient, records: Records
) -> None:
    reservations = [await new_reservation(admin, records) for _ in range(10)]
    ends = [(reservation["id"], end) for reservation in reservations for end in ("confirm", "release") * 3]
    async with crowd(server, key, len(ends)) as clients:
        answers = await asyncio.gather(
            *(
                client.post(f"/v1/reservations/{id_}/{end}", headers=new_key())
                for client, (id_, end) in zip(clients, ends, strict=True)
            )
        )
    assert outcomes(answers) == {"200": len(reservations), "409 reservation_not_active": len(ends) - len(reservations)}
    confirmed = sum(each.is_success and each.json()["status"] == "confirmed" for each in answers)
    totals = (await admin.get(f"/v1/stock/summary/{records.product['id']}")).json()
    assert (totals["on_hand"], totals["reserved"]) == (UNITS - 2 * confirmed, 0)


async def test_of_many_counts_against_one_belief_one_counts(
    server: WarehouseServer, key: str, records: Records
) -> None:
    place = {"sku": records.product["sku"], "location_id": records.location["id"]}
    async with crowd(server, key, CROSSING) as clients:
        answers = await asyncio.gather(
            *(
                client.post(
                    "/v1/stock/counts",
                    json={"lines": [{**place, "on_hand": UNITS + number, "expected_on_hand": UNITS}]},
                    headers=new_key(),
                )
                for number, client in enumerate(clients, start=1)
            )
        )
    assert outcomes(answers) == {"201": 1, "409 count_mismatch": CROSSING - 1}


async def test_a_sku_is_taken_once(server: WarehouseServer, key: str) -> None:
    body = {"sku": new_code(), "name": "Rye bread"}
    async with crowd(server, key, CROSSING) as clients:
        answers = await asyncio.gather(*(client.post("/v1/products", json=body) for client in clients))
    assert outcomes(answers) == {"201": 1, "409 duplicate_sku": CROSSING - 1}


async def test_batches_that_cross_each_other_all_go_in(server: WarehouseServer, key: str, admin: AsyncClient) -> None:
    skus = [new_code() for _ in range(200)]

    def body(number: int) -> Json:
        rows = [{"sku": sku, "name": f"Name {number}"} for sku in skus]
        return {"products": rows[::-1] if number % 2 else rows}

    async with crowd(server, key, 20) as clients:
        answers = await asyncio.gather(
            *(client.post("/v1/products/batch", json=body(number)) for number, client in enumerate(clients))
        )
    assert outcomes(answers) == {"200": 20}
    assert sum(each.json()["created"] for each in answers) == len(skus)
    assert {each.json()["failed"] for each in answers} == {0}
    names = [(await admin.get(f"/v1/products/by-sku/{sku}")).json() for sku in skus[::10]]
    assert {(product["name"], product["version"]) for product in names} == {(names[0]["name"], 20)}
