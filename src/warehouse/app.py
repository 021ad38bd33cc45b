"""The HTTP application."""

import asyncio
import logging
from collections.abc import AsyncIterator, Coroutine, Iterator
from contextlib import asynccontextmanager
from typing import Any

from fastapi import Depends, FastAPI
from starlette.types import ASGIApp, Receive, Scope, Send

from warehouse import __version__
from warehouse.auth.router import router as api_keys
from warehouse.cache.decorator import Kind
from warehouse.catalogue.router import router as products
from warehouse.container import Container
from warehouse.ending import ended
from warehouse.exchange.router import router as exchange
from warehouse.http.access import admit, check_access_table
from warehouse.http.admission import AdmissionMiddleware
from warehouse.http.authentication import AuthenticationMiddleware
from warehouse.http.caching import CacheMiddleware
from warehouse.http.client_address import ClientAddresses, parse_networks
from warehouse.http.compression import CompressionMiddleware
from warehouse.http.deadline import BodyLimitMiddleware, DeadlineMiddleware
from warehouse.http.decoding import RequestDecodingMiddleware
from warehouse.http.docs import install_docs
from warehouse.http.encodings import MIN_SIZE
from warehouse.http.head import HeadMiddleware
from warehouse.http.health import health_router
from warehouse.http.lag import LagMiddleware, LoopLag
from warehouse.http.logging import configure_logging
from warehouse.http.metrics import router as metrics
from warehouse.http.openapi import customise
from warehouse.http.operations import router as operations
from warehouse.http.problems import InternalErrorMiddleware, install_problem_handlers
from warehouse.http.rate_limits import RateLimitMiddleware
from warehouse.http.request_id import RequestIdMiddleware
from warehouse.http.route_classes import RouteClass
from warehouse.http.snapshots import Snapshots
from warehouse.interpreter import settle_in
from warehouse.limiting import parse_quota
from warehouse.locations.router import router as locations
from warehouse.settings import Settings, load_settings
from warehouse.stock.reservation_router import router as reservations
from warehouse.stock.router import router as stock
from warehouse.tasks.router import router as tasks
from warehouse.tasks.worker import run_in_process

CLOSING_SECONDS = 5.0

log = logging.getLogger(__name__)


def create_app(settings: Settings, container: Container | None = None) -> FastAPI:
    """The application over a container, which is closed with it if it was made here."""
    parts = container or Container(settings)
    lag = LoopLag()

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        running = [asyncio.create_task(work) for work in (*_background(parts), lag.run())]
        yield
        await ended(*running)
        if container is None:
            await _close(parts)

    app = FastAPI(
        title="Warehouse", version=__version__, lifespan=lifespan, docs_url=None, redoc_url=None, redirect_slashes=False
    )
    _provide(app, parts)
    _route(app, parts)
    _wrap(app, parts, lag)
    return app


def _background(parts: Container) -> Iterator[Coroutine[Any, Any, None]]:
    """What goes on beside the requests until the server ends."""
    if parts.settings.jobs.in_process:
        yield run_in_process(parts.settings.redis.url, parts.duties())
    yield parts.orders.run()
    if parts.cache is not None and parts.store is not None:
        yield parts.fence.run(parts.store)


async def _close(parts: Container) -> None:
    """Whoever does not let go of what it holds does not keep the server from its end."""
    try:
        async with asyncio.timeout(CLOSING_SECONDS):
            await parts.close()
    except TimeoutError:
        log.warning("server.closing_given_up")


def from_environment() -> ASGIApp:
    """What the server's processes run."""
    settings = load_settings()
    configure_logging(settings.log_level)
    app = create_app(settings)
    stack = app.middleware_stack or app.build_middleware_stack()

    settle_in()

    async def served(scope: Scope, receive: Receive, send: Send) -> None:
        # Without FastAPI's own entrance, which asks for each request whether somebody traces it.
        scope["app"] = app
        await stack(scope, receive, send)

    return served


def _provide(app: FastAPI, parts: Container) -> None:
    """Where the routers' dependencies look for the services."""
    app.state.catalogue = parts.catalogue
    app.state.snapshots = Snapshots(parts.catalogue, parts.segments)
    app.state.locations = parts.locations
    app.state.moving = parts.moving
    app.state.counting = parts.counting
    app.state.reservations = parts.reservations
    app.state.stock_queries = parts.stock_queries
    app.state.api_keys = parts.api_keys
    app.state.tasks = parts.tasks
    app.state.uploads = parts.uploads
    app.state.blobs = parts.blobs
    app.state.feed = parts.feed
    app.state.registry = parts.policies.registry
    app.state.orders = parts.orders


def _route(app: FastAPI, parts: Container) -> None:
    # Routes are tried one after the other: the busiest first.
    for router in (products, stock, reservations, locations, tasks, exchange, api_keys, operations):
        app.include_router(router, prefix="/v1", dependencies=[Depends(admit)])
    app.include_router(health_router(parts.checks()))
    app.include_router(metrics)
    install_docs(app)
    install_problem_handlers(app)
    customise(app)
    check_access_table(app)


def _wrap(app: FastAPI, parts: Container, lag: LoopLag) -> None:
    """From the inside out, around FastAPI's own stack: what is answered here costs nothing of that."""
    settings = parts.settings
    limits = settings.limits
    # Inside as well: Starlette would answer in plain text what it does not know.
    app.add_middleware(InternalErrorMiddleware)
    stack: ASGIApp = CompressionMiddleware(app.build_middleware_stack(), min_size=MIN_SIZE)
    stack = AdmissionMiddleware(stack, limits.in_flight, limits.queued, limits.streams)
    seconds = {kind: settings.cache.seconds(kind) for kind in Kind}
    stack = CacheMiddleware(stack, parts.cache, seconds, parts.is_database_down)
    stack = _limited(AuthenticationMiddleware(stack, parts.api_keys, parts.is_database_down), parts)
    stack = RequestDecodingMiddleware(stack, limits.body_bytes, limits.upload_bytes)
    stack = LagMiddleware(stack, lag)
    stack = BodyLimitMiddleware(stack, limits.body_bytes, limits.upload_bytes)
    stack = DeadlineMiddleware(stack, settings.request_timeout, limits.upload_seconds)
    stack = HeadMiddleware(stack)
    app.middleware_stack = RequestIdMiddleware(stack)


def _limited(app: ASGIApp, parts: Container) -> ASGIApp:
    if parts.limiter is None:
        return app
    settings = parts.settings.rate_limit
    addresses = ClientAddresses(parse_networks(settings.trusted_proxies))
    quotas = {each: parse_quota(getattr(settings, each)) for each in RouteClass}
    return RateLimitMiddleware(app, parts.limiter, parts.api_keys, addresses, quotas, parse_quota(settings.strangers))
