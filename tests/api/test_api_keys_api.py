"""API keys over HTTP."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest
from httpx import AsyncClient, Response
from sqlalchemy import select

from tests.conftest import ClientAs
from warehouse.auth.model import Role
from warehouse.storage.database import SqlDatabase
from warehouse.storage.tables import metadata

FIELDS = ["id", "name", "role", "prefix", "created_at", "expires_at", "last_used_at", "revoked_at"]


async def made_key(client: AsyncClient, **fields: Any) -> Response:
    response = await client.post("/v1/api-keys", json={"name": "Scanner", "role": "viewer", **fields})
    assert response.status_code == 201, response.text
    return response


async def with_key(client: AsyncClient, key: str) -> Response:
    return await client.get("/v1/warehouses?limit=1", headers={"Authorization": f"Bearer {key}"})


async def everything_stored(database: SqlDatabase) -> str:
    """Every value of every row, as text."""
    async with database.connect(read_only=True) as connection:
        rows = [row for table in metadata.sorted_tables for row in await connection.execute(select(table))]
    return "\n".join(str(list(row)) for row in rows)


async def every_key(client: AsyncClient) -> AsyncIterator[dict[str, Any]]:
    path = "/v1/api-keys?limit=7"
    while path:
        page = await client.get(path)
        for key in page.json()["data"]:
            yield key
        path = page.links["next"]["url"] if "next" in page.links else ""


async def listed(client: AsyncClient, **fields: str) -> dict[str, Any]:
    """The one key that has these fields."""
    (found,) = [key async for key in every_key(client) if fields.items() <= key.items()]
    return found


def problem(response: Response, status: int, code: str) -> dict[str, Any]:
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/problem+json"
    document: dict[str, Any] = response.json()
    assert document["code"] == code
    return document


class TestMaking:
    async def test_the_answer_holds_the_key(self, client: AsyncClient) -> None:
        expires_at = (datetime.now(UTC) + timedelta(days=1)).isoformat().replace("+00:00", "Z")
        made = await made_key(client, name="Tablet 3", role="operator", expires_at=expires_at)
        assert list(made.json()) == [*FIELDS, "key"]
        assert made.json()["key"].startswith(f"wh_{made.json()['prefix']}_")
        assert made.json()["expires_at"] == expires_at
        assert made.headers["location"] == f"/v1/api-keys/{made.json()['id']}"
        assert made.headers["cache-control"] == "no-store"
        assert (await with_key(client, made.json()["key"])).status_code == 200

    async def test_the_list_does_not(self, client: AsyncClient) -> None:
        made = await made_key(client)
        key = await listed(client, id=made.json()["id"])
        assert list(key) == FIELDS
        assert key == {name: made.json()[name] for name in FIELDS}

    async def test_the_same_request_under_one_key_gets_the_same_bytes(self, client: AsyncClient) -> None:
        body, headers = {"name": "Scanner", "role": "viewer"}, {"Idempotency-Key": str(uuid4())}
        first, second = [await client.post("/v1/api-keys", json=body, headers=headers) for _ in range(2)]
        assert (second.status_code, second.content) == (201, first.content)
        assert second.headers["idempotent-replayed"] == "true"
        assert second.headers["location"] == first.headers["location"]
        assert (await with_key(client, second.json()["key"])).status_code == 200

    async def test_another_request_under_one_key_is_refused(self, client: AsyncClient) -> None:
        headers = {"Idempotency-Key": str(uuid4())}
        for role, status in (("viewer", 201), ("admin", 422)):
            response = await client.post("/v1/api-keys", json={"name": "A", "role": role}, headers=headers)
            assert response.status_code == status
        problem(response, 422, "idempotency_key_reused")

    async def test_one_key_of_two_callers_makes_two(self, client: AsyncClient) -> None:
        body, key = {"name": "Scanner", "role": "viewer"}, str(uuid4())
        callers = [(await made_key(client, role="admin")).json()["key"] for _ in range(2)]
        headers = [{"Idempotency-Key": key, "Authorization": f"Bearer {caller}"} for caller in callers]
        one, two = [await client.post("/v1/api-keys", json=body, headers=each) for each in headers]
        assert (one.status_code, two.status_code) == (201, 201)
        assert one.json()["id"] != two.json()["id"]

    async def test_the_secret_is_nowhere_in_the_database(self, client: AsyncClient, database: SqlDatabase) -> None:
        headers = {"Idempotency-Key": str(uuid4())}
        body = {"name": "Scanner", "role": "viewer"}
        made = (await client.post("/v1/api-keys", json=body, headers=headers)).json()
        path = f"/v1/api-keys/{made['id']}/rotate"
        rotated = (await client.post(path, headers={"Idempotency-Key": str(uuid4())})).json()
        stored = await everything_stored(database)
        assert rotated["prefix"] in stored
        for key in (made["key"], rotated["key"]):
            assert key.removeprefix("wh_").partition("_")[2] not in stored

    @pytest.mark.parametrize(
        ("body", "pointer"),
        [
            ({"role": "viewer"}, "/name"),
            ({"name": " ", "role": "viewer"}, "/name"),
            ({"name": "x" * 101, "role": "viewer"}, "/name"),
            ({"name": "a\nb", "role": "viewer"}, "/name"),
            ({"name": "a\0b", "role": "viewer"}, "/name"),
            ({"name": "A"}, "/role"),
            ({"name": "A", "role": "owner"}, "/role"),
            ({"name": "A", "role": "viewer", "expires_at": "2001-01-01T00:00:00Z"}, "/expires_at"),
            ({"name": "A", "role": "viewer", "expires_at": "2101-01-01T00:00:00"}, "/expires_at"),
            ({"name": "A", "role": "viewer", "expires_at": "9999-12-31T23:59:59-12:00"}, "/expires_at"),
            ({"name": "A", "role": "viewer", "expires_at": "soon"}, "/expires_at"),
            ({"name": "A", "role": "viewer", "key": "wh_mine"}, "/key"),
        ],
    )
    async def test_a_bad_field_is_named(self, client: AsyncClient, body: dict[str, Any], pointer: str) -> None:
        response = await client.post("/v1/api-keys", json=body)
        assert [error["pointer"] for error in problem(response, 422, "invalid")["errors"]] == [pointer]


class TestRotation:
    async def test_the_new_key_works_and_the_old_one_does_not(self, client: AsyncClient) -> None:
        made = (await made_key(client, role="operator")).json()
        rotated = await client.post(f"/v1/api-keys/{made['id']}/rotate")
        assert rotated.status_code == 200
        assert rotated.headers["cache-control"] == "no-store"
        changed = ("prefix", "key", "last_used_at")
        assert {**rotated.json(), **dict.fromkeys(changed)} == {**made, **dict.fromkeys(changed)}
        assert (await with_key(client, rotated.json()["key"])).status_code == 200
        problem(await with_key(client, made["key"]), 401, "unauthenticated")

    async def test_the_same_request_under_one_key_rotates_once(self, client: AsyncClient) -> None:
        made = (await made_key(client)).json()
        path, headers = f"/v1/api-keys/{made['id']}/rotate", {"Idempotency-Key": str(uuid4())}
        first, second = [await client.post(path, headers=headers) for _ in range(2)]
        assert (second.status_code, second.content) == (200, first.content)
        assert (await with_key(client, second.json()["key"])).status_code == 200

    async def test_a_refusal_is_repeated_as_it_was(self, client: AsyncClient) -> None:
        made = (await made_key(client)).json()
        await client.delete(f"/v1/api-keys/{made['id']}")
        path, headers = f"/v1/api-keys/{made['id']}/rotate", {"Idempotency-Key": str(uuid4())}
        first, second = [await client.post(path, headers=headers) for _ in range(2)]
        problem(first, 409, "archived")
        assert (second.status_code, second.content) == (409, first.content)

    async def test_an_answer_does_not_outlive_the_secret_that_asked_for_it(self, client: AsyncClient) -> None:
        caller = (await made_key(client, role="admin")).json()
        body, key = {"name": "Scanner", "role": "viewer"}, str(uuid4())
        headers = {"Idempotency-Key": key, "Authorization": f"Bearer {caller['key']}"}
        assert (await client.post("/v1/api-keys", json=body, headers=headers)).status_code == 201
        renewed = (await client.post(f"/v1/api-keys/{caller['id']}/rotate")).json()["key"]
        headers["Authorization"] = f"Bearer {renewed}"
        problem(await client.post("/v1/api-keys", json=body, headers=headers), 422, "idempotency_key_reused")

    async def test_an_unknown_key_is_not_found(self, client: AsyncClient) -> None:
        problem(await client.post(f"/v1/api-keys/{uuid4()}/rotate"), 404, "not_found")


class TestRevocation:
    async def test_a_revoked_key_is_refused_and_still_listed(self, client: AsyncClient) -> None:
        made = (await made_key(client)).json()
        assert (await with_key(client, made["key"])).status_code == 200
        for _ in range(2):
            revoked = await client.delete(f"/v1/api-keys/{made['id']}")
            assert (revoked.status_code, revoked.content) == (204, b"")
        problem(await with_key(client, made["key"]), 401, "unauthenticated")
        assert (await listed(client, id=made["id"]))["revoked_at"] is not None

    async def test_a_key_may_end_itself(self, client: AsyncClient) -> None:
        made = (await made_key(client, role="admin")).json()
        own = {"Authorization": f"Bearer {made['key']}"}
        assert (await client.delete(f"/v1/api-keys/{made['id']}", headers=own)).status_code == 204
        problem(await with_key(client, made["key"]), 401, "unauthenticated")

    async def test_an_unknown_key_is_not_found(self, client: AsyncClient) -> None:
        problem(await client.delete(f"/v1/api-keys/{uuid4()}"), 404, "not_found")


class TestAccess:
    @pytest.mark.parametrize("role", [Role.VIEWER, Role.OPERATOR, Role.MANAGER])
    async def test_admins_alone_see_and_change_keys(self, client_as: ClientAs, role: Role) -> None:
        client = await client_as(role)
        for response in (
            await client.get("/v1/api-keys"),
            await client.post("/v1/api-keys", json={"name": "A", "role": "viewer"}),
            await client.post(f"/v1/api-keys/{uuid4()}/rotate"),
            await client.delete(f"/v1/api-keys/{uuid4()}"),
        ):
            problem(response, 403, "forbidden")

    @pytest.mark.parametrize("key", ["", "wh_", "wh_abcdefghijkl_unknown", "wh_abcdefghijk\x7f_x", "sk_1"])
    async def test_what_is_no_key_is_refused(self, client: AsyncClient, key: str) -> None:
        refused = await with_key(client, key)
        problem(refused, 401, "unauthenticated")
        assert refused.headers["www-authenticate"].startswith("Bearer")

    async def test_pages_lead_through_all_keys(self, client: AsyncClient) -> None:
        made = [(await made_key(client)).json()["id"] for _ in range(3)]
        ids = [key["id"] async for key in every_key(client)]
        assert ids == sorted(set(ids))
        assert ids[-3:] == made
