from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

import pytest
from fastapi import FastAPI
from httpx import ASGITransport, AsyncClient
from sqlalchemy import func, select

from tests.api.contract import Contract
from tests.conftest import ClientAs, FreshDatabase
from tests.servers import Backend
from tests.serving import WarehouseServer, check
from warehouse.auth.model import Role
from warehouse.storage.database import SqlDatabase
from warehouse.storage.tables import metadata


@pytest.fixture(scope="session")
def contract(app: FastAPI) -> Contract:
    return Contract(app)


@pytest.fixture(scope="session")
async def client_as(client_as: ClientAs, contract: Contract) -> ClientAs:
    """As elsewhere, and every answer is held against the OpenAPI document."""

    async def checked(role: Role) -> AsyncClient:
        client = await client_as(role)
        client.event_hooks = {"response": [contract.check]}
        return client

    return checked


@pytest.fixture(scope="session")
async def client(client_as: ClientAs) -> AsyncClient:
    """A client with an admin's key."""
    return await client_as(Role.ADMIN)


@pytest.fixture(scope="session")
async def anonymous(app: FastAPI, contract: Contract) -> AsyncIterator[AsyncClient]:
    """A client without a key."""
    transport, hooks = ASGITransport(app), {"response": [contract.check]}
    async with AsyncClient(transport=transport, base_url="http://warehouse.test", event_hooks=hooks) as anonymous:
        yield anonymous


Unchanged = Callable[[], AbstractAsyncContextManager[None]]


@pytest.fixture(scope="session")
def unchanged(database: SqlDatabase) -> Unchanged:
    """`async with unchanged():` what is done there must leave every record as it is."""

    @asynccontextmanager
    async def unchanged() -> AsyncIterator[None]:
        before = await _state(database)
        yield
        assert await _state(database) == before

    return unchanged


async def _state(database: SqlDatabase) -> Mapping[str, Sequence[Any]]:
    """For each table how many rows it has, the sums of its numbers, and its latest times."""
    state: dict[str, Sequence[Any]] = {}
    async with database.connect(read_only=True) as connection:
        for table in metadata.sorted_tables:
            if table.name != "commands":  # keeps refusals by the state of the records as answers
                sums = [func.sum(table.c[name]) for name in NUMBERS if name in table.c]
                latest = [func.max(table.c[name]) for name in TIMES if name in table.c]
                statement = select(func.count(), *sums, *latest).select_from(table)
                state[table.name] = tuple((await connection.execute(statement)).one())
    return state


NUMBERS = ("version", "on_hand", "reserved", "delta", "quantity")
TIMES = ("updated_at", "revoked_at")


@pytest.fixture(scope="session")
def server(backend: Backend, fresh_database: FreshDatabase) -> Iterator[WarehouseServer]:
    """Two processes of the server on a database of their own. In the end its balances agree with its ledger."""
    with WarehouseServer(fresh_database(backend), workers=2) as server:
        yield server
        check(server.database_url)
