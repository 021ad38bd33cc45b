"""Who may do what: every operation of the document with every role, and keys that are no longer good."""

import time
from collections.abc import Sequence

import httpx
import pytest
from httpx import AsyncClient, Response

from tests.api.calls import new_call
from tests.api.document import OPERATIONS, Operation
from tests.conftest import ClientAs
from tests.process import TLS
from tests.serving import WarehouseServer
from warehouse.auth.model import Role

GUARDED = [operation for operation in OPERATIONS.values() if not operation.is_public]
PUBLIC = [operation for operation in OPERATIONS.values() if operation.is_public]
REVOCATION_SECONDS = 1.0


@pytest.mark.parametrize("operation", GUARDED, ids=str)
async def test_each_role_may_do_what_the_document_says_and_no_more(
    client: AsyncClient, anonymous: AsyncClient, client_as: ClientAs, operation: Operation
) -> None:
    callers: dict[Role | None, AsyncClient] = {None: anonymous}
    callers.update({role: await client_as(role) for role in Role})
    found = {role: await _verdict(client, operation, caller) for role, caller in callers.items()}
    assert operation.role is not None
    expected: dict[Role | None, str] = {role: "done" if role.covers(operation.role) else "403" for role in Role}
    if "task_id" in operation.path_parameters:  # of a task of the admin's
        expected |= {role: "404" for role in Role if role is not Role.ADMIN}
    assert found == {None: "401", **expected}


@pytest.mark.parametrize("operation", PUBLIC, ids=str)
async def test_what_the_document_calls_public_needs_no_key(
    client: AsyncClient, anonymous: AsyncClient, operation: Operation
) -> None:
    assert await _verdict(client, operation, anonymous) == "done"


async def _verdict(client: AsyncClient, operation: Operation, caller: AsyncClient) -> str:
    """What the caller is told on asking for what an admin would get."""
    call = await new_call(client, operation.name)
    response = await call.send(caller)
    if response.status_code == 401:
        _refused(response)
    elif response.status_code == 403:
        assert response.json()["code"] == "forbidden"
    return "done" if response.is_success else str(response.status_code)


def _refused(response: Response) -> None:
    assert (response.status_code, response.json()["code"]) == (401, "unauthenticated")
    assert response.headers["www-authenticate"] == "Bearer"


@pytest.mark.parametrize("path", ["/v1", "/v1/", "/v1/nothing", "/v2/products", "/admin", "/livez/x", "//v1/products"])
@pytest.mark.parametrize("method", ["GET", "POST", "OPTIONS", "TRACE"])
async def test_what_nobody_thought_of_is_closed(anonymous: AsyncClient, method: str, path: str) -> None:
    _refused(await anonymous.request(method, path))


@pytest.mark.parametrize(
    "given",
    [
        "",
        "Bearer",
        "Bearer ",
        "Bearer wh_",
        "Bearer wh_abcdefghijkl_" + "x" * 43,
        "Bearer wh_abcdefghijkl_" + "x" * 100_000,
        "Bearer wh_' or 1=1--_x",
        "Basic d2g6d2g=",
        "Digest wh_abcdefghijkl_x",
        "wh_abcdefghijkl_x",
        ", ,",
    ],
)
async def test_what_is_no_key_is_no_key(anonymous: AsyncClient, given: str) -> None:
    _refused(await anonymous.get("/v1/products", headers={"Authorization": given}))


async def test_the_key_may_follow_the_scheme_in_any_case(client: AsyncClient) -> None:
    for scheme in ("bearer", "BEARER", "Bearer  "):
        _, key = client.headers["Authorization"].split()
        response = await client.get("/v1/products?limit=1", headers={"Authorization": f"{scheme} {key}"})
        assert response.status_code == 200


async def test_a_key_of_other_than_ascii_is_no_key(anonymous: AsyncClient) -> None:
    _refused(await anonymous.get("/v1/products", headers=[(b"Authorization", b"Bearer wh_abcdefghijkl_\xff\xfe")]))


async def test_a_key_with_one_character_changed_is_refused(client: AsyncClient) -> None:
    key = client.headers["Authorization"]
    for position in (10, 20, len(key) - 1):
        changed = key[:position] + ("a" if key[position] != "a" else "b") + key[position + 1 :]
        _refused(await client.get("/v1/products", headers={"Authorization": changed}))


def test_a_revoked_key_is_refused_by_every_process_within_a_second(server: WarehouseServer) -> None:
    """The connections stay open, so that the processes which know the key are asked."""
    admin = {"Authorization": f"Bearer {server.key(Role.ADMIN)}"}
    issued = httpx.post(
        f"{server.url}/v1/api-keys", json={"name": "A", "role": "viewer"}, headers=admin, verify=TLS
    ).json()
    own = {"Authorization": f"Bearer {issued['key']}"}
    clients: list[httpx.Client] = []
    while not all(server.connections()) or len(clients) < 20:
        assert len(clients) < 1000, "one process serves everybody"
        clients.append(httpx.Client(base_url=server.url, headers=own, trust_env=False, verify=TLS))
        assert _statuses(clients[-1:]) == {200}
    httpx.delete(f"{server.url}/v1/api-keys/{issued['id']}", headers=admin, verify=TLS).raise_for_status()
    revoked = time.monotonic()
    while time.monotonic() - revoked < REVOCATION_SECONDS:
        assert _statuses(clients) <= {200, 401}
    assert _statuses(clients) == {401}
    for each in clients:
        each.close()


def _statuses(clients: Sequence[httpx.Client]) -> set[int]:
    return {client.get("/v1/products?limit=1").status_code for client in clients}
