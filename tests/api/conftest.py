from collections.abc import AsyncIterator, Iterator

import pytest
from fastapi import FastAPI
from httpx import ASGITransport, AsyncClient

from tests.api.contract import Contract
from tests.conftest import ClientAs, FreshDatabase
from tests.servers import Backend
from tests.serving import WarehouseServer
from warehouse.auth.model import Role


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


@pytest.fixture(scope="session")
def server(backend: Backend, fresh_database: FreshDatabase) -> Iterator[WarehouseServer]:
    """Two processes of the server on a database of their own."""
    with WarehouseServer(fresh_database(backend), workers=2) as server:
        yield server
