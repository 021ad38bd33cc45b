import pytest
from fastapi import FastAPI, Request

from tests.unit.http.asgi import application, http_scope
from tests.unit.http.lasting import EVENTS, FILE, UPLOAD, Lastings
from warehouse.http.lasting import Lasting, lasting_of, sends_events
from warehouse.http.route_classes import RouteClass, RouteClasses, heavy


@pytest.fixture(scope="module")
def app() -> FastAPI:
    app = application()
    app.include_router(Lastings().router())

    @app.get("/v1/products")
    async def list_products() -> None: ...

    return app


@pytest.mark.parametrize(
    ("method", "path", "lasting"),
    [
        ("POST", UPLOAD, Lasting.UPLOAD),
        ("GET", EVENTS, Lasting.EVENTS),
        ("HEAD", EVENTS, Lasting.EVENTS),
        ("GET", FILE, Lasting.DOWNLOAD),
        ("HEAD", FILE, Lasting.DOWNLOAD),
        ("GET", UPLOAD, None),
        ("POST", EVENTS, None),
        ("GET", "/v1/tasks/1/2/events", None),
        ("GET", "/v1/products", None),
        ("GET", "/", None),
    ],
)
def test_a_request_is_known_for_one_that_lasts_before_it_is_routed(
    app: FastAPI, method: str, path: str, lasting: Lasting | None
) -> None:
    assert lasting_of({**http_scope(path, method), "app": app}) is lasting
    assert lasting_of({**http_scope(f"/proxy{path}", method), "app": app, "root_path": "/proxy"}) is lasting


def test_nothing_lasts_where_there_is_no_application_to_ask() -> None:
    assert lasting_of(http_scope(UPLOAD, "POST")) is None


def test_it_is_looked_for_once(app: FastAPI) -> None:
    scope = {**http_scope(UPLOAD, "POST"), "app": app}
    lasting_of(scope)
    del scope["app"], scope["path"]
    assert lasting_of(scope) is Lasting.UPLOAD


def test_the_mark_is_seen_through_another_decorator() -> None:
    app = application()

    @app.get("/news")
    @heavy
    @sends_events
    async def list_products(request: Request) -> None: ...

    scope = {**http_scope("/news"), "app": app}
    assert lasting_of(scope) is Lasting.EVENTS
    assert RouteClasses().of(scope) is RouteClass.HEAVY


def test_uploads_are_heavy_and_what_is_sent_is_not(app: FastAPI) -> None:
    classes = RouteClasses()
    assert classes.of({**http_scope(UPLOAD, "POST"), "app": app}) is RouteClass.HEAVY
    assert classes.of({**http_scope(EVENTS), "app": app}) is RouteClass.DEFAULT
