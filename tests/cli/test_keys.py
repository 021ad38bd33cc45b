"""`warehouse keys`: the secret is printed once and alone, and keys are listed whole."""

import asyncio
import re

import pytest

from tests.cli.conftest import Warehouse
from warehouse.auth.model import Caller, Role
from warehouse.container import Container
from warehouse.settings import load_settings


def verified(secret: str) -> Caller | None:
    """Whose key it is in the command's own database."""

    async def verify() -> Caller | None:
        container = Container(load_settings())
        try:
            return await container.api_keys.verify(secret)
        finally:
            await container.close()

    return asyncio.run(verify())


def listed(warehouse: Warehouse) -> list[list[str]]:
    run = warehouse("keys", "list")
    assert run.status == 0
    return [[cell.strip() for cell in line.split("│")[1:-1]] for line in run.out.splitlines() if line.startswith("│")]


@pytest.mark.parametrize("role", Role)
def test_create_prints_the_key_alone(role: Role, warehouse: Warehouse) -> None:
    run = warehouse("keys", "create", f"--role={role}", "--name=till 3")
    assert run.status == 0
    assert re.fullmatch(r"wh_[a-z2-7]{12}_[A-Za-z0-9_-]{43}\n", run.out)
    assert run.err == ""
    caller = verified(run.out.strip())
    assert caller
    assert (caller.name, caller.role) == ("till 3", role)


def test_list_has_all_of_a_key_but_its_secret(warehouse: Warehouse) -> None:
    secret = warehouse("keys", "create", "--role=operator", "--name=" + "long name " * 9 + "end").out.strip()
    caller = verified(secret)
    assert caller
    [row] = listed(warehouse)
    assert row[:4] == [str(caller.id), caller.name, "operator", secret.split("_")[1]]
    assert row[6] == "usable"
    assert secret.split("_", 2)[2] not in warehouse("keys", "list").out


@pytest.mark.parametrize("name", ["[/]", "[red]x[/red]", ":bread:", "[link=https://example.org]x"])
def test_a_name_is_listed_as_it_is(name: str, warehouse: Warehouse) -> None:
    warehouse("keys", "create", "--role=viewer", f"--name={name}")
    [row] = listed(warehouse)
    assert row[1] == name


def test_a_revoked_key_is_useless_and_listed_as_such(warehouse: Warehouse) -> None:
    kept, lost = (warehouse("keys", "create", "--role=viewer", f"--name={name}").out.strip() for name in ("a", "b"))
    caller = verified(lost)
    assert caller
    for _ in range(2):
        run = warehouse("keys", "revoke", str(caller.id))
        assert (run.status, run.out, run.err) == (0, "", "")
    assert verified(lost) is None
    assert verified(kept)
    assert {row[1]: row[6] for row in listed(warehouse)} == {"a": "usable", "b": "revoked"}


@pytest.mark.parametrize("key", ["0197a2b0", "0197a2b0-0000-7000-8000-00000000000g"])
def test_what_is_no_id_cannot_be_revoked(key: str, warehouse: Warehouse) -> None:
    assert warehouse("keys", "revoke", key).message == f"{key} is not the id of a key; see `warehouse keys list`."


def test_an_unknown_key_cannot_be_revoked(warehouse: Warehouse) -> None:
    run = warehouse("keys", "revoke", "0197a2b0-0000-7000-8000-000000000000")
    assert run.message == "There is no such API key."


@pytest.mark.parametrize("name", ["", " ", "x" * 101, "a\x00b", "a\nb"])
def test_a_name_that_cannot_be_is_refused(name: str, warehouse: Warehouse) -> None:
    assert warehouse("keys", "create", "--role=viewer", f"--name={name}").message.startswith("--name: ")
    assert listed(warehouse) == []
