"""What operators see and order of the circuits, in every process of the server."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence

import pytest
from httpx import AsyncClient, Response

from tests.api.calls import new_key, new_product
from tests.api.crowd import crowd
from tests.conftest import ClientAs, FreshDatabase
from tests.serving import WarehouseServer
from warehouse.auth.model import Role
from warehouse.policies import table

CLIENTS = 6
SOON_SECONDS = 30.0
POLICIES = sorted(table(5.0, 0.5))
WRITES = "/v1/ops/breakers/database_writes"


@pytest.fixture(scope="module")
def server(fresh_database: FreshDatabase) -> Iterator[WarehouseServer]:
    with WarehouseServer(fresh_database("sqlite"), workers=2) as server:
        yield server


@pytest.fixture
async def admins(server: WarehouseServer) -> AsyncIterator[Sequence[AsyncClient]]:
    """Connected to every process."""
    async with crowd(server, await asyncio.to_thread(server.key, Role.ADMIN), CLIENTS) as clients:
        yield clients


async def states(client: AsyncClient) -> dict[str, str]:
    return {each["name"]: each["state"] for each in (await client.get("/v1/ops/breakers")).json()["data"]}


async def until_all(clients: Sequence[AsyncClient], holds: Callable[[AsyncClient], Awaitable[bool]]) -> None:
    async with asyncio.timeout(SOON_SECONDS):
        while True:
            if all([await holds(each) for each in clients]):
                return
            await asyncio.sleep(0.05)


async def until_state(clients: Sequence[AsyncClient], name: str, state: str) -> None:
    async def has_it(client: AsyncClient) -> bool:
        return (await states(client))[name] == state

    await until_all(clients, has_it)


async def is_hit(client: AsyncClient, path: str) -> bool:
    """A server that has just started does without its cache for some seconds."""
    return (await client.get(path)).headers["cache-status"].startswith("Warehouse; hit")


async def test_every_policy_is_listed_with_its_state_and_its_counts(client: AsyncClient) -> None:
    page = (await client.get("/v1/ops/breakers")).json()

    assert [each["name"] for each in page["data"]] == POLICIES
    assert {each["state"] for each in page["data"]} == {"closed"}
    assert page["data"][0].keys() == {
        "name",
        "state",
        "retry_after",
        "calls",
        "failures",
        "slow",
        "consecutive_failures",
        "in_flight",
        "queued",
        "retries_left",
    }
    assert (page["has_more"], page["next_cursor"]) == (False, None)


@pytest.mark.parametrize("role", [role for role in Role if role is not Role.ADMIN])
async def test_breakers_are_for_admins_alone(client_as: ClientAs, role: Role) -> None:
    client = await client_as(role)
    assert (await client.get("/v1/ops/breakers")).status_code == 403
    assert (await client.post(WRITES, json={"order": "open"})).status_code == 403


async def test_without_a_key_nothing_is_ordered(anonymous: AsyncClient) -> None:
    assert (await anonymous.post(WRITES, json={"order": "open"})).status_code == 401


@pytest.mark.parametrize("order", ["open", "close", "auto"])
@pytest.mark.parametrize("name", ["nonsense", "DATABASE_WRITES", "%2e%2e", "a%00b", "caf%C3%A9"])
async def test_a_breaker_that_there_is_not_is_not_found(client: AsyncClient, name: str, order: str) -> None:
    response = await client.post(f"/v1/ops/breakers/{name}", json={"order": order})
    assert (response.status_code, response.json()["code"]) in ((404, "not_found"), (422, "invalid"))


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({}, "/order"),
        ({"order": "shut"}, "/order"),
        ({"order": None}, "/order"),
        ({"order": "auto", "seconds": 0}, "/seconds"),
        ({"order": "auto", "seconds": -1}, "/seconds"),
        ({"order": "auto", "seconds": 86_401}, "/seconds"),
        ({"order": "auto", "seconds": "60"}, "/seconds"),
        ({"order": "auto", "for": 60}, "/for"),
    ],
)
async def test_an_order_that_makes_no_sense_is_refused(client: AsyncClient, body: object, pointer: str) -> None:
    response = await client.post(WRITES, json=body)
    assert (response.status_code, response.json()["code"]) == (422, "invalid")
    assert [each["pointer"] for each in response.json()["errors"]] == [pointer]
    assert (await states(client))["database_writes"] == "closed"


async def test_an_order_is_followed_by_every_process_until_it_is_taken_back(admins: Sequence[AsyncClient]) -> None:
    product = await new_product(admins[0])
    path = f"/v1/products/{product['id']}"
    await until_all(admins, lambda admin: is_hit(admin, path))

    ordered = await admins[0].post(WRITES, json={"order": "open"})
    assert (ordered.status_code, ordered.json()["state"]) == (200, "forced_open")
    await until_state(admins, "database_writes", "forced_open")

    for admin in admins:
        assert refusal(await admin.post("/v1/products", json={"sku": "x", "name": "x"}, headers=new_key()))
        read = await admin.get(path)
        assert read.status_code == 200
        assert read.headers["cache-status"].startswith("Warehouse; hit")

    assert (await admins[-1].post(WRITES, json={"order": "auto"})).json()["state"] == "closed"
    await until_state(admins, "database_writes", "closed")
    for admin in admins:
        await new_product(admin)


def refusal(response: Response) -> bool:
    return (response.status_code, response.json()["code"]) == (503, "unavailable") and (
        int(response.headers["retry-after"]) >= 1
    )


async def test_an_order_ends_by_itself_in_every_process(admins: Sequence[AsyncClient]) -> None:
    ordered = await admins[0].post("/v1/ops/breakers/queue", json={"order": "close", "seconds": 3})
    assert ordered.json()["state"] == "disabled"
    await until_state(admins, "queue", "closed")


async def test_while_reads_of_the_database_are_refused_what_is_cached_is_shown(admins: Sequence[AsyncClient]) -> None:
    path = f"/v1/products/{(await new_product(admins[0]))['id']}"
    await until_all(admins, lambda admin: is_hit(admin, path))
    await admins[0].post("/v1/ops/breakers/database_reads", json={"order": "open", "seconds": 10})
    await until_state(admins, "database_reads", "forced_open")
    for admin in admins:
        shown = await admin.get(path)
        assert (shown.status_code, shown.headers["cache-status"]) == (200, "Warehouse; hit; detail=stale-if-error")
        assert refusal(await admin.get("/v1/stock/movements"))
    await until_state(admins, "database_reads", "closed")

    async def answers(client: AsyncClient) -> bool:
        return (await client.get("/v1/stock/movements")).status_code == 200

    await until_all(admins, answers)
