"""Many clients at once, each with a connection of its own."""

import ssl
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager

from httpx import AsyncClient

from tests.serving import WarehouseServer

ANSWER_SECONDS = 60
GATHERINGS = 20
TLS = ssl.create_default_context()
"""Made once: it takes longer than a request, and no request here needs it."""


@asynccontextmanager
async def crowd(server: WarehouseServer, key: str, size: int) -> AsyncIterator[Sequence[AsyncClient]]:
    """`size` clients, connected; every process of the server serves some of them."""
    for _ in range(GATHERINGS):
        async with AsyncExitStack() as stack:
            clients = [await stack.enter_async_context(new_client(server, key)) for _ in range(size)]
            for client in clients:  # one by one, lest one process accepts them all
                await client.get("/livez")
            if all(server.connections()):
                yield clients
                return
    raise AssertionError("one process serves everybody")


def new_client(server: WarehouseServer, key: str) -> AsyncClient:
    headers = {"Authorization": f"Bearer {key}"}
    return AsyncClient(base_url=server.url, headers=headers, timeout=ANSWER_SECONDS, verify=TLS, trust_env=False)
