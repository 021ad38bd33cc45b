"""Many clients at once, each with a connection of its own."""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager

from httpx import AsyncClient, Response

from tests.process import TLS
from tests.serving import WarehouseServer

ANSWER_SECONDS = 60
GATHERINGS = 20


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


async def sent(client: AsyncClient, path: str, body: object, headers: Mapping[str, str]) -> Response:
    """The answer to a POST; one that is refused because too much is asked at once is sent again when it may be, as
    clients do. A machine that is busy with something else has as much to do as it can sooner."""
    while True:
        answer = await client.post(path, json=body, headers=headers)
        if answer.status_code != 503 or answer.json()["code"] != "overloaded":
            return answer
        await asyncio.sleep(int(answer.headers["retry-after"]))
