from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from fastapi import FastAPI
from httpx import ASGITransport, AsyncClient
from hypothesis import settings as searches

from tests import sharing
from tests.process import memory
from tests.servers import Backend, DatabaseServer, Servers, Valkey, backends
from tests.serving import check
from warehouse.app import create_app
from warehouse.auth.model import Role
from warehouse.container import Container
from warehouse.settings import DatabaseSettings, Settings
from warehouse.storage.database import SqlDatabase
from warehouse.storage.migrations import migrate
from warehouse.storage.sql import SqlUnitOfWorkFactory
from warehouse.unit_of_work import UnitOfWorkFactory

ROOT = Path(__file__).parents[1]
LONGEST_BYTES = 16
"""Of a parameter in the name of its test."""


# A busy machine may take any time for an example.
searches.register_profile("suite", parent=searches.default, deadline=None)
searches.load_profile("suite")


def pytest_make_parametrize_id(val: object, argname: str) -> str | None:
    """Compressed bytes hold the time at which they were made: processes that share the tests would know them by
    different names."""
    return argname if isinstance(val, bytes) and len(val) > LONGEST_BYTES else None


def pytest_xdist_make_scheduler(config: pytest.Config, log: object) -> sharing.LoadFileAndBackend:
    config.option.loadscopereorder = False  # for `sharing.sort` has seen to the order
    return sharing.LoadFileAndBackend(config, log)


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    sharing.sort(items)


FreshDatabase = Callable[[Backend], str]


@pytest.fixture(scope="session")
def servers() -> Iterator[Servers]:
    with TemporaryDirectory(dir=memory()) as folder, Servers(Path(folder), durable=False) as servers:
        yield servers


@pytest.fixture(scope="session")
def mariadb(servers: Servers) -> DatabaseServer:
    return servers.database_server("mariadb")


@pytest.fixture(scope="session")
def mysql(servers: Servers) -> DatabaseServer:
    return servers.database_server("mysql")


@pytest.fixture(scope="session")
def postgresql(servers: Servers) -> DatabaseServer:
    return servers.database_server("postgresql")


@pytest.fixture(scope="session")
def valkey() -> Iterator[Valkey]:
    with Valkey() as server:
        yield server


@pytest.fixture(scope="session")
def fresh_database(servers: Servers) -> FreshDatabase:
    """Makes a new, empty database and gives its SQLAlchemy URL, as often as a test likes."""
    return servers.fresh_database


@pytest.fixture(scope="session", params=backends())
def backend(request: pytest.FixtureRequest) -> Backend:
    """Each database of `WAREHOUSE_TEST_BACKENDS` in turn."""
    backend: Backend = request.param
    return backend


@pytest.fixture(scope="session")
def database_url(backend: Backend, fresh_database: FreshDatabase) -> str:
    """One empty database for the whole run, per backend."""
    return fresh_database(backend)


@pytest.fixture(scope="session")
def migrated_url(database_url: str) -> Iterator[str]:
    """The database of this run with its tables, per backend. In the end its balances agree with its ledger."""
    migrate(database_url)
    yield database_url
    check(database_url)


@pytest.fixture(scope="session")
async def database(migrated_url: str) -> AsyncIterator[SqlDatabase]:
    database = SqlDatabase(migrated_url, DatabaseSettings())
    yield database
    await database.close()


@pytest.fixture(scope="session")
def uow_factory(database: SqlDatabase) -> UnitOfWorkFactory:
    return SqlUnitOfWorkFactory(database)


@pytest.fixture(scope="session")
async def container(migrated_url: str) -> AsyncIterator[Container]:
    container = Container(Settings(database=DatabaseSettings(url=migrated_url)))
    yield container
    await container.close()


@pytest.fixture(scope="session")
def app(container: Container) -> FastAPI:
    return create_app(container.settings, container)


ClientAs = Callable[[Role], Awaitable[AsyncClient]]


@pytest.fixture(scope="session")
async def client_as(app: FastAPI, container: Container) -> AsyncIterator[ClientAs]:
    """A client of the application, over its whole stack, with a key of the role."""
    clients: dict[Role, AsyncClient] = {}

    async def client_as(role: Role) -> AsyncClient:
        if role not in clients:
            secret = (await container.api_keys.issue(f"test {role}", role)).secret.text
            headers = {"Authorization": f"Bearer {secret}"}
            clients[role] = AsyncClient(transport=ASGITransport(app), base_url="http://warehouse.test", headers=headers)
        return clients[role]

    yield client_as
    for client in clients.values():
        await client.aclose()


@pytest.fixture(scope="session")
async def client(client_as: ClientAs) -> AsyncClient:
    """A client with an admin key."""
    return await client_as(Role.ADMIN)
