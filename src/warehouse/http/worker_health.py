"""How a worker is doing, for those who watch it: /livez, /readyz and /metrics, and nothing else."""

import asyncio
from collections.abc import AsyncIterator, Callable, Generator, Mapping
from contextlib import asynccontextmanager, contextmanager

import uvicorn
from fastapi import FastAPI

from warehouse.http.draining import DRAINING
from warehouse.http.health import Check, health_router
from warehouse.http.metrics import router as metrics
from warehouse.http.problems import install_problem_handlers


class _Server(uvicorn.Server):
    """Signals are for the worker."""

    @contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        yield


@asynccontextmanager
async def health_served(checks: Mapping[str, Check], host: str, port: int) -> AsyncIterator[Callable[[], None]]:
    """Answers as long as the block runs. What it gives is to be called when the worker begins to drain."""
    app = FastAPI(openapi_url=None)
    app.include_router(health_router(checks))
    app.include_router(metrics)
    install_problem_handlers(app)
    server = _Server(uvicorn.Config(app, host=host, port=port, log_config=None, access_log=False, server_header=False))

    def drain() -> None:
        server.lifespan.state[DRAINING] = True

    serving = asyncio.create_task(server.serve())
    try:
        yield drain
    finally:
        server.should_exit = True
        await serving
