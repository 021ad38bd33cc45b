"""Many clients at once, and two processes of the server: stock is never oversold, no update is lost, and no command has
two effects."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from itertools import count
from typing import Any

import pytest
from httpx import AsyncClient, Response

from tests.api.calls import (
    Json,
    Records,
    made,
    new_code,
    new_key,
    new_location,
    new_product,
    new_records,
    new_reservation,
    new_warehouse,
)
from tests.api.crowd import crowd
from tests.serving import WarehouseServer
from warehouse.auth.model import Role

BUYERS = 200
UNITS = 50
CROSSING = 60
EDITORS = 100
COMMANDS = 1000
COPIES = 3
AT_ONCE = 30
"""Commands, each in all its copies."""


@pytest.fixture(scope="module")
def key(server: WarehouseServer) -> str:
    return server.key(Role.ADMIN)


@pytest.fixture(scope="module")
async def admin(server: WarehouseServer, key: str) -> AsyncIterator[AsyncClient]:
    headers = {"Authorization": f"Bearer {key}"}
    async with AsyncClient(base_url=server.url, headers=headers, timeout=60, trust_env=False) as admin:
        yield admin


@pytest.fixture
async def records(admin: AsyncClient) -> AsyncIterator[Records]:
    """Afterwards the ledger must agree with the balances."""
    yield await new_records(admin)
    integrity = (await admin.get("/v1/integrity")).json()
    assert integrity["ok"], integrity


async def test_200_buyers_of_50_units_get_exactly_50(...)
