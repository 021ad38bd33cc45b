"""Two processes of one server, with a Valkey of their own."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field

from sqlalchemy.engine import make_url

from tests.faults.cache.stage import StagedServer
from tests.faults.proxy import Network, Proxy
from tests.servers import Valkey
from tests.serving import WarehouseServer, check
from warehouse.storage.migrations import migrate

PROCESSES = 2


@dataclass(frozen=True)
class Setting:
    """`away` is how many seconds a piece of data takes to the database, and one from it; `limits` are settings of the
    server other than its own."""

    away: float = 0.0
    limits: Mapping[str, str] = field(default_factory=dict)


NEAR = Setting()
FAR = Setting(0.02, {"LIMITS_IN_FLIGHT": "4", "LIMITS_QUEUED": "16"})
"""What the server can do is bounded by what it may do at once, and not by the processor, so that the machine can bear
three times as much whatever else it does."""


@asynccontextmanager
async def staged(database_url: str, setting: Setting) -> AsyncIterator[WarehouseServer]:
    """On an empty database, checked for drift in the end."""
    await asyncio.to_thread(migrate, database_url)
    async with AsyncExitStack() as stack:
        valkey = stack.enter_context(Valkey())
        url = database_url
        if setting.away:
            address = make_url(database_url)
            proxy = await stack.enter_async_context(Proxy(address.port or 0))
            await proxy.become(Network.PASS, setting.away)
            url = address.set(port=proxy.port).render_as_string(hide_password=False)
        settings = {"REDIS_URL": valkey.url(), "RATE_LIMIT_ENABLED": "false", **setting.limits}
        server = StagedServer(url, workers=PROCESSES, settings=settings)
        # Beside the event loop, which serves the proxy.
        await asyncio.to_thread(server.start)
        stack.push_async_callback(asyncio.to_thread, server.stop)
        yield server
    await asyncio.to_thread(check, database_url)
