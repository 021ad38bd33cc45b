"""The HTTP application."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from fastapi import Depends, FastAPI

from warehouse import __version__
from warehouse.auth.router import router as api_keys
from warehouse.catalogue.router import router as products
from warehouse.container import Container
from warehouse.http.access import admit, check_access_table
from warehouse.http.authentication import AuthenticationMiddleware
from warehouse.http.deadline import BodyLimitMiddleware, DeadlineMiddleware
from warehouse.http.docs import install_docs
from warehouse.http.health import health_router
from warehouse.http.logging import configure_logging
from warehouse.http.openapi import customise
from warehouse.http.problems import InternalErrorMiddleware, install_problem_handlers
from warehouse.http.request_id import RequestIdMiddleware
from warehouse.locations.router import router as locations
from warehouse.settings import Settings, load_settings
from warehouse.stock.reservation_router import router as reservations
from warehouse.stock.router import router as stock
from warehouse.tasks.worker import run_in_process


def create_app(settings: Settings, container: Container | None = None) -> FastAPI:
    """The application over a container, which is closed with it if it was made here."""
    parts = container or Container(settings)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        worker: asyncio.Task[None] | None = None
        if settings.jobs.in_process:
            worker = asyncio.create_task(run_in_process(settings.redis.url, parts.reservations))
        yield
        if worker is not None:
            worker.cancel()
            with suppress(asyncio.CancelledError):
                await worker
        if container is None:
            await parts.close()

    app = FastAPI(
        title="Warehouse", version=__version__, lifespan=lifespan, docs_url=None, redoc_url=None, redirect_slashes=False
    )
    _provide(app, parts)
    _route(app, parts)
    _wrap(app, parts)
    return app


def from_environment() -> FastAPI:
    """What the server's processes run."""
    settings = load_settings()
    configure_logging(settings.log_level)
    return create_app(settings)


def _provide(app: FastAPI, parts: Container) -> None:
    """Where the routers' dependencies look for the services."""
    app.state.catalogue = parts.catalogue
    app.state.locations = parts.locations
    app.state.moving = parts.moving
    app.state.counting = parts.counting
    app.state.reservations = parts.reservations
    app.state.stock_queries = parts.stock_queries
    app.state.api_keys = parts.api_keys


def _route(app: FastAPI, parts: Container) -> None:
    # Routes are tried one after the other: the busiest first.
    for router in (products, stock, reservations, locations, api_keys):
        app.include_router(router, prefix="/v1", dependencies=[Depends(admit)])
    app.include_router(health_router(parts.checks()))
    install_docs(app)
    install_problem_handlers(app)
    customise(app)
    check_access_table(app)


def _wrap(app: FastAPI, parts: Container) -> None:
    """From the inside out."""
    settings = parts.settings
    app.add_middleware(AuthenticationMiddleware, verifier=parts.api_keys)
    app.add_middleware(BodyLimitMiddleware, max_bytes=settings.limits.body_bytes)
    app.add_middleware(DeadlineMiddleware, seconds=settings.request_timeout)
    app.add_middleware(InternalErrorMiddleware)
    app.add_middleware(RequestIdMiddleware)
